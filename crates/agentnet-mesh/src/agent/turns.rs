//! The loop: the model answers or calls tools, the tools' results go back to it, until it answers or a limit is
//! reached.
//!
//! At a limit the model is asked once more, without tools, so that it can say how far it has come.

use serde_json::Value;
use tokio::time::Instant;

use super::failure::{AnswerFailure, CallFailure, LIMIT_REACHED, MODEL_REFUSED, out_of_time};
use super::reply_sink::ReplySink;
use super::tool_calls;
use super::work::{Answer, Progress, Work};
use crate::memory::conversation::Recalled;
use crate::memory::estimate::cut_to_tokens;
use crate::model::{AssistantTurn, ChatMessage, ChatRequest, StopReason, ToolChoice};

/// Answers that a provider pauses in the middle.
const MAX_PAUSES: u32 = 8;
/// Tokens of a tool's result in a conversation that was too long.
const SHORTENED_RESULT_TOKENS: u64 = 500;

/// What the model is asked.
pub(super) struct Prompt {
    /// System prompt.
    pub(super) system: String,
    /// What was said before.
    pub(super) recalled: Recalled,
    /// The question, as the model is shown it.
    pub(super) question: String,
}

impl Prompt {
    /// The first call of the model.
    pub(super) fn to_request(&self, work: &Work<'_>) -> ChatRequest {
        ChatRequest {
            system: self.system.clone(),
            messages: self
                .recalled
                .to_conversation(&work.own, &self.question, work.parts.config.memory.max_tokens),
            tools: work.parts.tools.specs(),
            tool_choice: ToolChoice::Auto,
            ..ChatRequest::default()
        }
    }

    /// The same call for a model that reads less: half of what was said before, short results of tools.
    pub(super) fn shorten(&self, request: &mut ChatRequest, turns: usize, work: &Work<'_>) {
        let max_tokens = work.parts.config.memory.max_tokens / 2;
        let rest = request.messages.split_off(request.messages.len() - turns);
        request.messages = self.recalled.to_conversation(&work.own, &self.question, max_tokens);
        request.messages.extend(rest.into_iter().map(|message| match message {
            ChatMessage::ToolResults(mut results) => {
                for result in &mut results {
                    result.content = cut_to_tokens(&result.content, SHORTENED_RESULT_TOKENS);
                }
                ChatMessage::ToolResults(results)
            }
            message => message,
        }));
    }
}

/// How an overflow of the model's context is repaired: by a checkpoint of the thread, if one can be written.
#[async_trait::async_trait]
pub(super) trait Overflow: Send + Sync {
    /// Makes the thread shorter, and reads it again; `None` where that is not possible.
    async fn compact(&self, work: &Work<'_>) -> Option<Recalled>;
}

/// Asks the model until it answers.
pub(super) async fn run(
    work: &Work<'_>,
    mut prompt: Prompt,
    overflow: &dyn Overflow,
    progress: &mut Progress,
    sink: &mut ReplySink,
) -> Result<Answer, AnswerFailure> {
    let limits = &work.parts.config.limits;
    let mut request = prompt.to_request(work);
    // Messages behind the conversation: what the model and the tools have added.
    let mut turns = 0;
    let mut is_shortened = false;
    let mut pauses = 0;
    let mut paused_text = String::new();
    let mut limit = None;
    loop {
        let called = work.caller().call(&request, &mut progress.spent, sink).await;
        let answer = match called {
            Ok(answer) => answer,
            Err(failure) if failure.is_overflow() && !is_shortened => {
                is_shortened = true;
                if let Some(recalled) = sink.during(overflow.compact(work)).await? {
                    prompt.recalled = recalled;
                }
                prompt.shorten(&mut request, turns, work);
                continue;
            }
            Err(failure) => return Err(at_limit(failure, limit, work)),
        };
        progress.steps += 1;
        sink.begin_turn();
        let (turn, stop) = (answer.turn, answer.stop);
        if stop == StopReason::Refused {
            return Err(refused(&turn));
        }
        if stop == StopReason::Paused && turn.tool_calls.is_empty() && pauses < MAX_PAUSES {
            pauses += 1;
            paused_text.push_str(&turn.text);
            request.messages.push(ChatMessage::Assistant(turn));
            turns += 1;
            continue;
        }
        if turn.tool_calls.is_empty() || limit.is_some() {
            let text = paused_text + &turn.text;
            return finished(&text, &stop, answer.model, limit, work);
        }
        let results = tool_calls::run(work, &turn.tool_calls, progress, sink).await?;
        request.messages.push(ChatMessage::Assistant(turn));
        request.messages.push(ChatMessage::ToolResults(results));
        turns += 2;
        limit = if progress.steps >= limits.max_steps {
            Some("max_steps")
        } else if progress.tool_calls >= limits.max_tool_calls {
            Some("max_tool_calls")
        } else if Instant::now() >= work.deadlines.tools {
            Some("max_seconds")
        } else {
            None
        };
        if limit.is_some() {
            request.tool_choice = ToolChoice::None;
        }
    }
}

/// The text of the model's last turn as the answer.
fn finished(
    text: &str,
    stop: &StopReason,
    model: String,
    limit: Option<&'static str>,
    work: &Work<'_>,
) -> Result<Answer, AnswerFailure> {
    let text = text.trim();
    if text.is_empty() {
        return Err(match limit {
            Some(limit) => limit_reached(limit, work),
            None => AnswerFailure::new(LIMIT_REACHED, no_text(stop)),
        });
    }
    Ok(Answer {
        text: text.to_owned(),
        model,
        limit,
        is_truncated: *stop == StopReason::MaxTokens,
        debate: None,
    })
}

fn no_text(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::MaxTokens => "the model used up max_tokens before it wrote a text",
        _ => "the model ended without a text",
    }
}

/// The failure of a call: at a limit, the limit is what happened.
fn at_limit(failure: CallFailure, limit: Option<&'static str>, work: &Work<'_>) -> AnswerFailure {
    let failure = failure.into_answer_failure(&work.parts.config);
    match limit {
        Some(limit) if !failure.is_cancelled() => limit_reached(limit, work),
        _ => failure,
    }
}

fn limit_reached(limit: &'static str, work: &Work<'_>) -> AnswerFailure {
    let limits = &work.parts.config.limits;
    match limit {
        "max_steps" => AnswerFailure::new(
            LIMIT_REACHED,
            format!("no answer after {} calls of the model (max_steps)", limits.max_steps),
        ),
        "max_tool_calls" => AnswerFailure::new(
            LIMIT_REACHED,
            format!(
                "no answer after {} calls of tools (max_tool_calls)",
                limits.max_tool_calls
            ),
        ),
        _ => out_of_time(&work.parts.config),
    }
}

fn refused(turn: &AssistantTurn) -> AnswerFailure {
    let text = turn.text.trim();
    if text.is_empty() {
        return AnswerFailure::new(MODEL_REFUSED, "the model refused to answer");
    }
    AnswerFailure::new(MODEL_REFUSED, format!("the model refused to answer: {text}"))
}

/// Adds what a reply tells beside the text.
pub(super) fn to_payload(answer: &Answer, text: &str, progress: &Progress, work: &Work<'_>) -> Value {
    let tokens = progress.spent.tokens;
    let mut usage = serde_json::json!({
        "input": tokens.input,
        "output": tokens.output,
        "cached": tokens.cached_input,
    });
    if let Some(usd) = progress.spent.usd {
        usage["usd"] = usd.into();
    }
    let mut payload = serde_json::json!({
        "text": text,
        "model": answer.model,
        "agent_key": work.parts.config.key,
        "usage": usage,
    });
    if let Some(limit) = answer.limit {
        payload["limit"] = limit.into();
    }
    if answer.is_truncated {
        payload["truncated"] = true.into();
    }
    if let Some(debate) = &answer.debate {
        payload["debate"] = debate.clone();
    }
    if !progress.tool_results.is_empty() {
        payload["tool_results"] = progress.tool_results.clone().into();
    }
    payload
}
