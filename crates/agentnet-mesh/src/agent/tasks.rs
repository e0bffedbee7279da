//! From a task to its end: the same loop as for a message.
//!
//! The calls of tools are the progress of the task, the answer is its result. A cancellation, a lost lease and the end of
//! the host drop the loop, which ends the HTTP request and the tools. A thread that has become long is not compacted here,
//! because that would keep the result waiting; the next message of the thread does it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agentnet::protocol::json::ascii;
use agentnet::protocol::rpc::TaskProgress;
use agentnet::{
    ClaimedWork, Envelope, Message, RawJson, TaskContext, TaskFailure, TaskHandlerResult, TaskOutput, Text,
};
use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::answering::Answering;
use super::failure::{AnswerFailure, CANCELLED, SHUTTING_DOWN};
use super::incoming::Question;
use super::reply::{MAX_RESULT_BYTES, shorten};
use super::reply_sink::ReplySink;
use super::turns::to_payload;
use super::work::{Deadlines, Progress, Work};
use super::{AgentParts, AnswerOutcome, Responder, spans};
use crate::config::AgentConfig;
use crate::memory::entry::TASK_MEMBER;
use crate::memory::estimate::cut;
use crate::tools::network::allowance::TaskAllowance;
use crate::tools::network::chain::CallChain;
use crate::tools::network::thread_of;

/// Kind of the message that stands for a task. No such message is ever sent.
const KIND: &str = "task";
/// Reports of progress that wait for the registry. Those beyond are left out.
const MAX_PENDING_REPORTS: usize = 64;
/// How long the end of a task waits for the last of them.
const LAST_REPORTS_TIMEOUT: Duration = Duration::from_secs(3);
/// Characters of the task that its result repeats.
const MAX_REPEATED_CHARS: usize = 4_000;

/// Works at a task until it has a result, or cannot have one.
pub(super) async fn work_at(
    responder: &Responder,
    parts: &AgentParts,
    claimed: &ClaimedWork,
    context: &TaskContext,
) -> TaskHandlerResult {
    let started = Instant::now();
    let node = context.node();
    let (Some(own), false) = (node.account_id(), responder.stopping.is_cancelled()) else {
        return Err(TaskFailure::released());
    };
    let parts = &with_limits_of_tasks(parts);
    let config = &*parts.config;
    let message = &message_of(claimed);
    let chain = CallChain::of(message);
    // Ends what tools have begun elsewhere, when this future is dropped.
    let cancelled = CancellationToken::new();
    let _ends = cancelled.clone().drop_guard();
    let work = Work {
        parts,
        node,
        message,
        task_id: Some(Arc::from(claimed.id())),
        task_allowance: TaskAllowance::new(chain.tasks),
        thread_id: thread_of(message),
        own,
        chain,
        deadlines: Deadlines::new(started, config.limits.max_time),
        cancelled,
    };
    let question = Question {
        text: text_of(claimed),
        wants_stream: false,
        is_debate_round: false,
    };
    let answering = Answering {
        responder,
        work: &work,
        question: &question,
    };
    let span = spans::agent(&config.name, &config.agent_id, &work.thread_id);
    let outcome = output(&answering, context).instrument(span.clone()).await;
    let code = outcome.as_ref().map_or_else(|failure| failure.code, |_| "ok");
    parts.metrics.record_task(&config.key, code, started.elapsed());
    match outcome {
        Ok((output, text)) => {
            responder.observe(message, AnswerOutcome::Answered(&text), started.elapsed());
            Ok(output)
        }
        Err(failure) => {
            let (code, detail) = (failure.code, &*failure.detail);
            spans::failed(&span, code, detail);
            tracing::warn!(task_id = claimed.id(), code, detail, "the task has no result");
            responder.observe(message, AnswerOutcome::Failed { code, detail }, started.elapsed());
            Err(to_task_failure(failure))
        }
    }
}

/// The result of the task and its text, unless the task is not wanted any more, or the lease is lost. Progress is reported
/// meanwhile, in its order.
async fn output(answering: &Answering<'_>, context: &TaskContext) -> Result<(TaskOutput, String), AnswerFailure> {
    let (sender, receiver) = mpsc::channel(MAX_PENDING_REPORTS);
    let mut reporting = pin!(report_all(receiver, context).fuse());
    let mut answer = pin!(async {
        let mut progress = Progress::default();
        let mut sink = ReplySink::Task(sender);
        let (answer, _) = answering.answer_in_time(&mut progress, &mut sink).await?;
        let payload = to_payload(&answer, &answer.text, &progress, answering.work);
        let result = result_of(payload, &answer.text, &answering.question.text);
        Ok((TaskOutput::new(result, &*answer.text), answer.text))
    });
    let outcome = loop {
        tokio::select! {
            biased;
            () = context.cancelled() => break Err(AnswerFailure::new(CANCELLED, "the task is cancelled, or its lease is lost")),
            outcome = &mut answer => break outcome,
            () = &mut reporting => {}
        }
    };
    if outcome.is_ok() && timeout(LAST_REPORTS_TIMEOUT, reporting).await.is_err() {
        tracing::debug!(
            task_id = context.task_id(),
            "the last progress of the task is not reported"
        );
    }
    outcome
}

/// The result of a task: what the reply to a message would be, and what was asked for, as far as they fit.
fn result_of(mut reply: Value, text: &str, task: &str) -> Value {
    // As the registry counts it: every character outside of ASCII escaped.
    let size = |value: &Value| ascii(&value.to_string()).len();
    if size(&reply) > MAX_RESULT_BYTES {
        shorten(&mut reply, text);
    }
    let task = Value::from(cut(task, MAX_REPEATED_CHARS));
    if size(&reply) + size(&task) <= MAX_RESULT_BYTES {
        reply[TASK_MEMBER] = task;
    }
    reply
}

/// Reports progress until its sender is gone, or the lease.
async fn report_all(mut reports: mpsc::Receiver<TaskProgress>, context: &TaskContext) {
    while let Some(progress) = reports.recv().await {
        if context.report(progress).await.is_err() {
            return;
        }
    }
}

/// The agent with the limits that it has for tasks.
fn with_limits_of_tasks(parts: &AgentParts) -> AgentParts {
    let mut parts = parts.clone();
    if let Some(tasks) = &parts.config.tasks {
        let limits = tasks.limits(&parts.config.limits);
        parts.config = Arc::new(AgentConfig {
            limits,
            ..(*parts.config).clone()
        });
    }
    parts
}

/// A task as a message of its coordinator, which the loop, its observers and the log understand. Its id is that of the task.
pub(crate) fn message_of(claimed: &ClaimedWork) -> Message {
    let task = &claimed.task;
    let mut payload = json!({ "text": text_of(claimed) });
    let metadata = task.metadata.deserialize::<Value>().ok();
    if let Some(mesh) = metadata.and_then(|mut metadata| metadata.get_mut("mesh").map(Value::take)) {
        payload["mesh"] = mesh;
    }
    Message::from(Envelope {
        message_id: Text::from(&*task.task_id),
        from_agent: Text::from(task.coordinator.as_deref().unwrap_or_default()),
        from_account_id: task.coordinator_account_id.as_deref().map(Text::from),
        payload: RawJson::from(payload),
        sent_at: Text::from(&*task.created_at),
        kind: Text::from_static(KIND),
        trace_id: Some(Text::from(&*task.task_id)),
        thread_id: task.thread_id.as_deref().map(Text::from),
        ..Envelope::default()
    })
}

/// What is to be done, as the model is shown it.
fn text_of(claimed: &ClaimedWork) -> String {
    let title = claimed
        .task
        .title
        .as_deref()
        .map(str::trim)
        .filter(|title| !title.is_empty());
    let mut text = title.map_or_else(|| "Task:".to_owned(), |title| format!("Task: {title}"));
    let mut add = |heading: &str, part: &str| {
        if !part.trim().is_empty() {
            text.push_str("\n\n");
            text.push_str(heading);
            text.push_str(part.trim());
        }
    };
    add("", claimed.text());
    add("Data:\n", &shown(claimed.payload.as_ref()));
    add("Left by an earlier attempt:\n", &shown(claimed.checkpoint.as_ref()));
    add("Answer to a question about the task:\n", &shown(claimed.input.as_ref()));
    text
}

/// A JSON value for a model: a text as it is, anything else as JSON.
fn shown(value: Option<&RawJson>) -> String {
    let Some(value) = value else { return String::new() };
    let text = value.view().as_str().map(std::borrow::Cow::into_owned);
    text.unwrap_or_else(|| value.get().to_owned())
}

/// What becomes of a task without a result.
fn to_task_failure(failure: AnswerFailure) -> TaskFailure {
    match failure.code {
        CANCELLED => TaskFailure::canceled(),
        SHUTTING_DOWN => TaskFailure::released(),
        code if failure.is_transient => TaskFailure::retryable(code, failure.detail),
        code => TaskFailure::failed(code, failure.detail),
    }
}

#[cfg(test)]
mod tests;
