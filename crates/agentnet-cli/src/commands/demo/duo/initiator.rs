//! Agent A: asks questions about a goal.

use agentnet::{AgentNode, Message, json};
use agentnet_mesh::model::ModelError;

use super::settings::Settings;
use super::speaker::Speaker;
use crate::did_you_mean::answer_failure;
use crate::exit::{Exit, Failure};
use crate::failures::refusal;
use crate::global::Global;
use crate::output::Output;
use crate::output::log_block::{BlockLog, LogBlock};
use crate::output::spinner::Spinner;

const SYSTEM: &str = "\
You interview another agent to reach a goal. Write exactly one question, in plain text, of fewer than 30 words, and nothing else.";
/// Shown for a reply without text.
const NO_TEXT: &str = "<empty response>";
/// Characters of an answer that the next question is made from.
const MAX_ANSWER: usize = 4_000;

/// Asks all questions, each in a thread of its own. Returns the thread of the last one.
pub(super) async fn converse(
    node: &AgentNode,
    settings: &Settings,
    speaker: &Speaker,
    log: BlockLog,
    global: &Global,
    output: Output,
) -> Result<String, Exit> {
    let peer = format!("@{}", settings.target);
    let session = node.session_tag().unwrap_or_default();
    let mut thread = String::new();
    print_head(settings, speaker, &peer, log)?;
    let mut question = question(speaker, format!("Goal: {}", settings.goal), settings, output).await?;
    for turn in 1..=settings.turns {
        let facts = [("peer", peer.as_str()), ("session", session.as_str())];
        print(log, "SEND", turn, &facts, &question)?;
        let payload = json!({ "text": question, "goal": settings.goal, "turn": turn });
        let request = node
            .request_username(&settings.target, payload)
            .timeout(settings.request_timeout);
        let spinner = Spinner::start(output, format!("waiting for {peer}"));
        let reply = request.await;
        spinner.end();
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => return Err(answer_failure(global, error).await.into()),
        };
        let answer = answer(&reply)?;
        thread = reply.thread_id.as_deref().unwrap_or_default().to_owned();
        let from = reply.from_session_tag.as_deref().unwrap_or_default();
        let trace = reply.trace_id.as_deref().unwrap_or_default();
        let facts = [("peer", peer.as_str()), ("session", from), ("trace", trace)];
        print(log, "RECV", turn, &facts, answer.as_deref().unwrap_or(NO_TEXT))?;
        if turn < settings.turns {
            let answer: String = answer.unwrap_or_default().chars().take(MAX_ANSWER).collect();
            let context = format!(
                "Goal: {}\nYour last question: {question}\nThe answer:\n{answer}\n\nAsk what follows from it.",
                settings.goal
            );
            question = self::question(speaker, context, settings, output).await?;
        }
    }
    Ok(thread)
}

/// The text of a reply, if it has any.
///
/// # Errors
/// It is an error reply.
fn answer(reply: &Message) -> Result<Option<String>, Failure> {
    if let Some(code) = reply.error_code() {
        let payload = reply.payload().view();
        let detail = payload.as_object().and_then(|object| object.get("detail").as_str());
        return Err(refusal(&code, &detail.unwrap_or_default()));
    }
    Ok(reply.text().filter(|text| !text.trim().is_empty()))
}

/// Has the model write a question; a question about the goal itself where the model writes nothing.
async fn question(speaker: &Speaker, context: String, settings: &Settings, output: Output) -> Result<String, Failure> {
    let spinner = Spinner::start(output, format!("{} thinks", speaker.model));
    let question = speaker.say(SYSTEM, context).await;
    spinner.end();
    let question = question.map_err(|error| model_failure(&error))?;
    if question.is_empty() {
        return Ok(format!("What should be decided first? The goal: {}", settings.goal));
    }
    Ok(question)
}

fn model_failure(error: &ModelError) -> Failure {
    Failure::error(format!("the model does not answer: {error}"))
        .with_code("model_unavailable")
        .hint("check NOVITA_BASE_URL, NOVITA_API_KEY and NOVITA_MODEL")
}

fn print_head(settings: &Settings, speaker: &Speaker, peer: &str, log: BlockLog) -> Result<(), Exit> {
    let turns = settings.turns.to_string();
    let facts = [
        ("peer", peer),
        ("model", speaker.model.as_str()),
        ("turns", turns.as_str()),
    ];
    Ok(log.print(&LogBlock {
        role: "AGENT A",
        label: "START",
        turn: None,
        facts: &facts,
        text: &settings.goal,
    })?)
}

fn print(log: BlockLog, label: &str, turn: u32, facts: &[(&str, &str)], text: &str) -> Result<(), Exit> {
    Ok(log.print(&LogBlock {
        role: "AGENT A",
        label,
        turn: Some(turn),
        facts,
        text,
    })?)
}
