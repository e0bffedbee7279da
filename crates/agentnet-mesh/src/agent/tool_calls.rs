//! Runs the tool calls of one answer: several at a time, each with a result, whatever happens.

use futures::StreamExt as _;
use futures::stream;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::activity::{Activity, StepState};
use super::reply_sink::ReplySink;
use super::spans;
use super::work::{Progress, Work};
use crate::model::{ToolCall, ToolResult};
use crate::tools::{ToolContext, ToolSet};

/// Tools that run at the same time.
const CONCURRENCY: usize = 4;
/// Bytes of all results that a reply has.
const MAX_REPLIED_BYTES: usize = 64 * 1024;
/// Characters of a tool's name, which a model may have made up.
const MAX_NAME_CHARS: usize = 64;

/// Runs the calls. A model's API refuses a conversation in which a call has no result, so calls beyond a limit get an
/// error.
pub(super) async fn run(
    work: &Work<'_>,
    calls: &[ToolCall],
    progress: &mut Progress,
    sink: &mut ReplySink,
) -> Result<Vec<ToolResult>, agentnet::StreamError> {
    let parts = work.parts;
    let context = work.tool_context();
    let limit = parts.config.limits.max_tool_calls;
    let allowed = usize::try_from(limit.saturating_sub(progress.tool_calls))
        .unwrap_or(usize::MAX)
        .min(calls.len());
    progress.tool_calls = progress
        .tool_calls
        .saturating_add(u32::try_from(allowed).unwrap_or(u32::MAX));
    for call in &calls[..allowed] {
        sink.event(step(&call.name, StepState::Started)).await?;
    }
    let mut results: Vec<Option<ToolResult>> = vec![None; calls.len()];
    {
        let jobs = (0..allowed).map(|index| one(&parts.tools, &calls[index], &context, index));
        let mut running = Box::pin(stream::iter(jobs).buffer_unordered(CONCURRENCY));
        while let Some((index, result)) = sink.during(running.next()).await? {
            let state = if result.is_error {
                StepState::Failed
            } else {
                StepState::Done
            };
            sink.event(step(&result.name, state)).await?;
            results[index] = Some(result);
        }
    }
    let known = parts.tools.specs();
    for result in results.iter().flatten() {
        if known.iter().any(|spec| spec.name == result.name) {
            parts.metrics.record_tool_call(&result.name, !result.is_error);
        }
    }
    let over = |call: &ToolCall| {
        failure(
            call,
            "limit_reached",
            &format!("at most {limit} tool calls are allowed for one message"),
        )
    };
    let results = results.into_iter().zip(calls);
    let results: Vec<ToolResult> = results
        .map(|(result, call)| result.unwrap_or_else(|| over(call)))
        .collect();
    if parts.config.reply.include_tool_results {
        keep(&results, &mut progress.tool_results);
    }
    Ok(results)
}

async fn one(tools: &ToolSet, call: &ToolCall, context: &ToolContext, index: usize) -> (usize, ToolResult) {
    let span = spans::tool_call(&crate::memory::estimate::cut(&call.name, MAX_NAME_CHARS), &call.id);
    // The set ends a tool at the deadline by itself; here is the end of one that does not let it.
    let end = context.deadline.max(Instant::now()) + std::time::Duration::from_millis(500);
    let running = tools.call(call, context).instrument(span.clone());
    let result = match timeout_at(end, running).await {
        Ok(result) => result,
        Err(_) => failure(call, "timeout", "the time for the whole answer is over"),
    };
    if result.is_error {
        spans::failed(
            &span,
            "tool_failed",
            &crate::memory::estimate::cut(&result.content, 300),
        );
    }
    (index, result)
}

fn failure(call: &ToolCall, code: &str, detail: &str) -> ToolResult {
    ToolResult {
        call_id: call.id.clone(),
        name: call.name.clone(),
        content: json!({ "ok": false, "tool": call.name, "error": code, "detail": detail }).to_string(),
        is_error: true,
    }
}

fn step(name: &str, state: StepState) -> Activity<'_> {
    Activity::Tool { name, state }
}

/// Keeps results for the reply, as far as they fit.
fn keep(results: &[ToolResult], kept: &mut Vec<Value>) {
    let mut bytes: usize = kept.iter().map(|result| result.to_string().len()).sum();
    for result in results {
        bytes += result.content.len();
        if bytes > MAX_REPLIED_BYTES {
            return;
        }
        kept.push(serde_json::from_str(&result.content).unwrap_or_else(|_| Value::from(result.content.as_str())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_as_many_results_as_fit() {
        let call = ToolCall {
            id: "1".into(),
            name: "disk".into(),
            arguments: String::new(),
        };
        let mut kept = Vec::new();
        keep(&[failure(&call, "timeout", "late")], &mut kept);
        assert_eq!(
            kept,
            [json!({ "ok": false, "tool": "disk", "error": "timeout", "detail": "late" })]
        );
        let large = failure(&call, "timeout", &"x".repeat(40_000));
        keep(&[large.clone(), large], &mut kept);
        assert_eq!(kept.len(), 2);
    }
}
