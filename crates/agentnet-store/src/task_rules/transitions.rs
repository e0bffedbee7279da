//! The steps that the rules share.

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::task::TaskState;
use agentnet_protocol::{RawJson, Timestamp};

use crate::model::{NewTaskEvent, Progress, Task};

/// Events of one task, from which on progresses and ignored messages make no further ones.
pub(super) const MAX_EVENTS: i64 = 10_000;

/// Whether a lease is in force.
pub(super) fn has_worker(task: &Task, now: Timestamp) -> bool {
    task.lease.as_ref().is_some_and(|lease| lease.until > now)
}

/// An event of the attempt and the state that the task has.
pub(super) fn event(task: &Task, kind: &'static str) -> NewTaskEvent {
    NewTaskEvent {
        kind,
        attempt: task.attempt,
        state: Some(task.state),
        ..NewTaskEvent::default()
    }
}

/// A JSON object; `None` for one without members.
pub(super) fn object(mut data: ObjectWriter) -> Option<RawJson> {
    let json = data.finish();
    (json != "{}").then(|| RawJson::parse(json).ok()).flatten()
}

/// It waits for a worker.
pub(super) fn submit(task: &mut Task, not_before: Timestamp) {
    task.state = TaskState::Submitted;
    task.lease = None;
    task.not_before = task.not_before.max(not_before);
}

/// It ends.
pub(super) fn end(
    task: &mut Task,
    state: TaskState,
    code: Option<&str>,
    detail: Option<&str>,
    now: Timestamp,
) -> NewTaskEvent {
    task.state = state;
    task.lease = None;
    task.cancel_requested_at = None;
    task.code = code.map(str::to_owned);
    task.detail = detail.map(str::to_owned);
    task.finished_at = Some(now);
    // No attempt follows that needs them.
    if state != TaskState::Failed {
        task.checkpoint = None;
        task.input = None;
    }
    let mut data = ObjectWriter::new();
    data.opt_text("code", code).opt_text("detail", detail);
    NewTaskEvent {
        data: object(data),
        ..event(task, "finished")
    }
}

/// Notes how far the worker is.
pub(super) fn note_progress(task: &mut Task, progress: &Progress) -> NewTaskEvent {
    if let Some(text) = &progress.text {
        task.latest_text.clone_from(text);
        task.latest_progress_text = Some(text.clone());
    }
    task.percent = progress.percent.or(task.percent);
    if progress.phase.is_some() {
        task.phase.clone_from(&progress.phase);
    }
    task.progress_count += 1;
    let mut data = ObjectWriter::new();
    if let Some(percent) = progress.percent {
        data.int("percent", percent);
    }
    data.opt_text("phase", progress.phase.as_deref());
    NewTaskEvent {
        text: progress.text.clone(),
        data: object(data),
        ..event(task, "progress")
    }
}
