//! Gives tasks to other agents: work that goes on when the message at hand has its answer.

use std::time::Duration;

use agentnet::{ResolveError, SendError, TaskError, TaskHandle, TaskOutcome};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::agents::{MAX_NAME_CHARS, account_of};
use super::chain::CallChain;
use super::{MAX_TEXT_CHARS, ToolFailure, cut, own_account, read, thread_of};
use crate::tools::ToolContext;

/// Wait for a result where the model names none, in seconds.
const DEFAULT_WAIT_SECONDS: f64 = 90.0;
/// A task is given up after this time where the model names none, in seconds: it may never be claimed.
const DEFAULT_DEADLINE_SECONDS: f64 = 86_400.0;
/// Characters of the detail of an error.
const MAX_DETAIL_CHARS: usize = 500;

#[derive(Deserialize)]
struct AssignArguments {
    agent: Option<String>,
    capability: Option<String>,
    title: Option<String>,
    text: String,
    #[serde(default)]
    wait: bool,
    timeout_seconds: Option<f64>,
    deadline_seconds: Option<f64>,
    #[serde(default)]
    retries: u32,
}

pub(super) async fn assign(arguments: Value, context: &ToolContext) -> Result<Value, ToolFailure> {
    let arguments: AssignArguments = read(arguments)?;
    let own = own_account(context)?;
    let chain = CallChain::of_context(context);
    chain.check_hops(context.max_hops)?;
    let (to, shown) = receiver(&arguments, &own, &chain, context).await?;
    let passed_on = context.task_allowance.take_task().ok_or_else(|| {
        ToolFailure::new(
            "task_limit",
            "no further tasks may come of this question: do the rest yourself, or wait for the tasks that there are",
        )
    })?;
    let mesh = match arguments.wait {
        true => chain.member_of_request(&own, passed_on),
        false => chain.member_of_message(&own, passed_on),
    };
    let deadline = arguments.deadline_seconds.unwrap_or(DEFAULT_DEADLINE_SECONDS);
    let mut task = context
        .node
        .task(to)
        .text(&*arguments.text)
        .thread(thread_of(&context.message))
        .deadline(Duration::from_secs_f64(deadline.clamp(1.0, 604_800.0)))
        .retries(arguments.retries)
        .metadata(json!({ "mesh": mesh }));
    if let Some(title) = arguments.title.filter(|title| !title.trim().is_empty()) {
        task = task.title(title);
    }
    if let Some(parent) = &context.task_id {
        task = task.parent(&**parent);
    }
    let handle = match Box::pin(task.start()).await {
        Ok(handle) => handle,
        Err(error) => {
            context.task_allowance.give_back_task(passed_on);
            return Err(task_failure(&error));
        }
    };
    if arguments.wait {
        let seconds = arguments
            .timeout_seconds
            .unwrap_or(DEFAULT_WAIT_SECONDS)
            .clamp(1.0, 300.0);
        return result_of(&handle, &shown, seconds, context).await;
    }
    let note = match handle.not_told() {
        Some(error) => format!(
            "the task is kept, but {shown} could not be notified of it: {}",
            cut(&error.to_string(), MAX_DETAIL_CHARS)
        ),
        None => "the task is kept until it is done, also while its agent is offline".to_owned(),
    };
    Ok(json!({ "task_id": handle.id(), "to": shown, "state": "submitted", "note": note }))
}

/// Who is to do the task: for the SDK, and for the model.
async fn receiver(
    arguments: &AssignArguments,
    own: &str,
    chain: &CallChain,
    context: &ToolContext,
) -> Result<(String, String), ToolFailure> {
    let named = |text: &Option<String>| {
        text.as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    match (named(&arguments.agent), named(&arguments.capability)) {
        (Some(agent), None) => {
            let account_id = account_of(&agent, context).await?;
            if account_id == own {
                return Err(ToolFailure::new(
                    "wait_cycle",
                    "an agent cannot give itself a task: do it now",
                ));
            }
            if arguments.wait {
                chain.check_ask(own, &account_id, context.max_hops)?;
            }
            Ok((account_id, cut(&agent, MAX_NAME_CHARS)))
        }
        (None, Some(capability)) => {
            let name = capability.strip_prefix("capability:").unwrap_or(&capability);
            let to = format!("capability:{name}");
            Ok((to.clone(), cut(&to, MAX_NAME_CHARS)))
        }
        _ => Err(ToolFailure::new("bad_args", "give either agent or capability")),
    }
}

/// Waits until the task has ended, or its worker needs something. A task that takes longer goes on.
async fn result_of(handle: &TaskHandle, to: &str, seconds: f64, context: &ToolContext) -> Result<Value, ToolFailure> {
    // The set ends the tool at the deadline, and the model would not learn the id.
    let left = context.deadline.saturating_duration_since(Instant::now());
    let wait = Duration::from_secs_f64(seconds).min(left.saturating_sub(Duration::from_millis(500)));
    match timeout(wait, handle.settled()).await {
        Ok(Ok(outcome)) => Ok(shown_outcome(&outcome, to)),
        Ok(Err(error)) => {
            let ToolFailure { code, detail } = task_failure(&error);
            Err(ToolFailure::new(
                code,
                format!("the task {} is kept: {detail}", handle.id()),
            ))
        }
        Err(_) => Ok(json!({
            "task_id": handle.id(),
            "to": to,
            "state": "open",
            "note": format!("it is not done after {:.0} s, and continues", wait.as_secs_f64()),
        })),
    }
}

fn shown_outcome(outcome: &TaskOutcome, to: &str) -> Value {
    let mut shown = json!({ "task_id": outcome.task_id, "to": to, "state": outcome.state.as_str() });
    let mut add = |name: &str, text: &Option<String>, max| {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            shown[name] = cut(text, max).into();
        }
    };
    add("text", &outcome.text, MAX_TEXT_CHARS);
    add("code", &outcome.code, MAX_NAME_CHARS);
    add("detail", &outcome.detail, MAX_DETAIL_CHARS);
    if let Some(result) = outcome
        .result
        .as_ref()
        .and_then(|result| shown_result(result, outcome.text.as_deref()))
    {
        shown["result"] = result;
    }
    if outcome.state.is_blocked() {
        shown["note"] = "its worker waits for an answer, which a person gives it: agentnet task input".into();
    }
    shown
}

/// A result, unless its text is told already: agents of a mesh repeat the text in it.
pub(super) fn shown_result(result: &agentnet::RawJson, text: Option<&str>) -> Option<Value> {
    let value: Value = result.deserialize().unwrap_or_else(|_| Value::from(result.get()));
    let repeats = text.is_some_and(|text| value == text || value.get("text").is_some_and(|inner| inner == text));
    if repeats {
        return None;
    }
    Some(match result.get().chars().count() > MAX_TEXT_CHARS {
        true => cut(result.get(), MAX_TEXT_CHARS).into(),
        false => value,
    })
}

/// Why a call about a task failed.
pub(super) fn task_failure(error: &TaskError) -> ToolFailure {
    if let Some(code) = error.code() {
        let detail = error.detail().unwrap_or(match code {
            "not_found" => "there is no such task",
            "task_unsupported" => "the registry of this network keeps no tasks",
            _ => "",
        });
        return ToolFailure::new(cut(code, MAX_NAME_CHARS), cut(detail, MAX_DETAIL_CHARS));
    }
    let code = match error {
        TaskError::Invalid(_) => "bad_args",
        TaskError::Send(SendError::NotRunning) => "shutting_down",
        TaskError::Send(SendError::Resolve(ResolveError::Registry(_))) | TaskError::Registry(_) => {
            "registry_unavailable"
        }
        TaskError::Send(SendError::Resolve(_)) => "account_not_found",
        _ => "task_not_made",
    };
    ToolFailure::new(code, cut(&error.to_string(), MAX_DETAIL_CHARS))
}

#[cfg(test)]
mod tests {
    use agentnet::{RawJson, RegistryError};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::repeated(json!({ "text": "done", "model": "m" }), Some("done"), None)]
    #[case::the_text_itself(json!("done"), Some("done"), None)]
    #[case::more(json!({ "files": 3 }), Some("done"), Some(json!({ "files": 3 })))]
    #[case::alone(json!({ "text": "done" }), None, Some(json!({ "text": "done" })))]
    fn a_result_is_shown_once(#[case] result: Value, #[case] text: Option<&str>, #[case] expected: Option<Value>) {
        assert_eq!(shown_result(&RawJson::from(result), text), expected);
    }

    #[test]
    fn a_large_result_is_cut() {
        let result = RawJson::from(json!({ "log": "x".repeat(MAX_TEXT_CHARS) }));
        let shown = shown_result(&result, None).unwrap();
        assert_eq!(shown.as_str().map(|text| text.chars().count()), Some(MAX_TEXT_CHARS));
    }

    #[rstest]
    #[case("not_found", "not_found", "there is no such task")]
    #[case("task_limit_reached: too many", "task_limit_reached", "too many")]
    fn a_refusal_of_the_registry_is_told(#[case] text: &str, #[case] code: &str, #[case] detail: &str) {
        let failure = task_failure(&RegistryError::Refused(text.to_owned()).into());
        assert_eq!((&*failure.code, &*failure.detail), (code, detail));
    }
}
