//! Agent B: answers each question by one call of its model.

use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentBuilder, Context, HandlerResult, Limits, Message, json};

use super::settings::Settings;
use super::speaker::Speaker;
use crate::output::log_block::{BlockLog, LogBlock};

/// Capability of the Python implementation's agent B: programs find it by this name. No messages can be routed by it, for it
/// contains a `.`.
const CAPABILITY: &str = "novita.chat";
/// What is asked where a question is blank.
const NO_QUESTION: &str = "No question was provided.";
/// How long an answer may take.
const WORK_TIMEOUT: Duration = Duration::from_secs(130);
/// Questions a second that one agent may ask.
const RATE_PER_SENDER: f64 = 100.0;

/// Gives the agent its capability, limits and handler.
pub(super) fn attach(
    agent: AgentBuilder,
    settings: Arc<Settings>,
    speaker: Arc<Speaker>,
    log: Option<BlockLog>,
) -> AgentBuilder {
    agent
        .advertise([CAPABILITY])
        .limits(|limits: &mut Limits| {
            limits.work_timeout = WORK_TIMEOUT;
            limits.rate_limit_per_sender_per_sec = RATE_PER_SENDER;
            limits.rate_limit_burst = limits.rate_limit_burst.max(100);
        })
        .on_message(move |message: Message, context: Context| {
            let (settings, speaker) = (Arc::clone(&settings), Arc::clone(&speaker));
            async move { answer(&message, &context, &settings, &speaker, log).await }
        })
}

/// Answers a message. A failure of the model is reported to the sender as `handler_error`.
async fn answer(
    message: &Message,
    context: &Context,
    settings: &Settings,
    speaker: &Speaker,
    log: Option<BlockLog>,
) -> HandlerResult {
    if !message.wants_reply() {
        return Ok(());
    }
    let question = message.text().unwrap_or_else(|| message.payload().get().to_owned());
    let question = match question.trim() {
        "" => NO_QUESTION.to_owned(),
        question => question.to_owned(),
    };
    print(log, "RECV", message, &question);
    let text = speaker.say(&settings.b_prompt, question).await?;
    print(log, "SEND", message, &text);
    let payload = json!({ "text": text, "model": speaker.model, "answered_by": settings.b.agent_id });
    context.reply(payload).ttl_ms(settings.reply_ttl_ms).await?;
    Ok(())
}

fn print(log: Option<BlockLog>, label: &str, message: &Message, text: &str) {
    let facts = [
        ("peer", &*message.from_agent),
        ("session", message.from_session_tag.as_deref().unwrap_or_default()),
        ("trace", message.trace_id.as_deref().unwrap_or_default()),
    ];
    if let Some(log) = log {
        // The agent answers also where its output is closed.
        let _ = log.print(&LogBlock {
            role: "AGENT B",
            label,
            turn: None,
            facts: &facts,
            text,
        });
    }
}
