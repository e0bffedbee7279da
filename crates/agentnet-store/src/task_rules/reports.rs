//! Messages of workers that hold no lease.

use agentnet_protocol::Timestamp;
use agentnet_protocol::limits::{MAX_ID_BYTES, MAX_NAME_BYTES};
use agentnet_protocol::task::{MAX_TEXT_BYTES, TaskState};

use super::transitions::{MAX_EVENTS, end, event, has_worker, note_progress};
use crate::model::{NewTaskEvent, Progress, REQUEST_ID_PREFIX, Report, Task, TaskDelivery, TaskRefusal};

/// A message of a worker that holds no lease.
pub(super) fn reported(
    task: &mut Task,
    account_id: &str,
    message_id: &str,
    report: &Report,
    now: Timestamp,
) -> Result<Vec<NewTaskEvent>, TaskRefusal> {
    // The worker's own message about the end of its attempt.
    if task.finish_id.as_deref() == Some(message_id) {
        return Err(TaskRefusal::Duplicate);
    }
    let is_known_state = matches!(
        report.state,
        TaskState::Working | TaskState::Completed | TaskState::Failed
    ) || report.state.is_blocked();
    // Indexes hold both.
    let is_storable = !message_id.is_empty()
        && message_id.len() <= MAX_ID_BYTES
        && !message_id.starts_with(REQUEST_ID_PREFIX)
        && account_id.len() <= MAX_NAME_BYTES;
    if !is_known_state || !is_storable {
        return Err(TaskRefusal::Nothing);
    }
    let text = truncated(&report.text);
    let told = if is_ignored(task, account_id, report, now) {
        if task.event_count >= MAX_EVENTS {
            return Err(TaskRefusal::Nothing);
        }
        event(task, "ignored")
    } else {
        applied(task, account_id, report, text, now)
    };
    task.message_id = Some(message_id.to_owned());
    // A progress beyond the bound counts, without an event.
    if told.kind == "progress" && task.event_count >= MAX_EVENTS {
        return Ok(Vec::new());
    }
    Ok(vec![NewTaskEvent {
        text: Some(text.to_owned()),
        from_account_id: Some(account_id.to_owned()),
        message_id: Some(message_id.to_owned()),
        ..told
    }])
}

/// An end stays one, and of a task that was claimed only its lease decides, also after its worker has given it back or got an
/// answer: messages of its worker tell no more than how far it is.
fn is_ignored(task: &Task, account_id: &str, report: &Report, now: Timestamp) -> bool {
    if task.state.is_terminal() {
        return true;
    }
    let was_claimed = task.delivery == TaskDelivery::Lease && task.worker_account_id.is_some();
    let is_progress_of_worker = report.state == TaskState::Working
        && has_worker(task, now)
        && task.worker_account_id.as_deref() == Some(account_id);
    (was_claimed || task.lease.is_some()) && !is_progress_of_worker
}

fn applied(task: &mut Task, account_id: &str, report: &Report, text: &str, now: Timestamp) -> NewTaskEvent {
    let progress = Progress {
        text: Some(text.to_owned()),
        percent: report.percent,
        phase: report.phase.clone(),
    };
    if task.lease.is_some() {
        task.unconfirmed = 0;
        return note_progress(task, &progress);
    }
    task.delivery = TaskDelivery::Message;
    task.worker_account_id = Some(account_id.to_owned());
    task.heartbeat_at = task.heartbeat_at.max(Some(now));
    task.attempt = task.attempt.max(1);
    text.clone_into(&mut task.latest_text);
    match report.state {
        TaskState::Working => {
            task.state = TaskState::Working;
            note_progress(task, &progress)
        }
        state if state.is_blocked() => {
            task.state = state;
            event(task, "blocked")
        }
        state => {
            task.result.clone_from(&report.result);
            end(task, state, None, None, now)
        }
    }
}

/// The text up to the bound of texts of tasks.
fn truncated(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}
