//! The steps that the rules share.

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::task::TaskState;
use agentnet_protocol::{RawJson, Timestamp};

use crate::model::{NewTaskEvent, Progress, Task};

/// Events of one task, from which on progresses and ignored messages make no further ones.
pub(super) const MAX_EVENTS: i64 = 10_000;

/// Bytes of the texts and the JSON of one task's events, from which on progresses and ignored messages make no further ones, and
/// the others are shortened.
pub(super) const MAX_EVENT_BYTES: i64 = 8 * 1024 * 1024;
/// Bytes of a text, or of JSON, in an event that is shortened.
const SHORT_EVENT_BYTES: usize = 1_024;

/// The event as far as the task has room for it, which is counted. The task itself has the whole texts and values.
pub(super) fn within_bytes(task: &mut Task, mut event: NewTaskEvent) -> Option<NewTaskEvent> {
    if task.event_bytes.saturating_add(event.bytes()) > MAX_EVENT_BYTES {
        if matches!(event.kind, "progress" | "ignored") {
            return None;
        }
        if let Some(text) = &mut event.text {
            text.truncate(text.floor_char_boundary(SHORT_EVENT_BYTES));
        }
        event.data = event.data.filter(|data| data.get().len() <= SHORT_EVENT_BYTES);
    }
    task.event_bytes = task.event_bytes.saturating_add(event.bytes());
    Some(event)
}

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
