//! The rules of a task's life: what each change does, as a pure function of the task and the time (PROTOCOL.md section 22.3).
//! The backends read a task, apply a change, and write the task and its events in one transaction.
//!
//! ```text
//!              claim                  finish
//!  submitted ----------> working ----------------> completed, failed, rejected, canceled
//!      ^ ^                 | | ^                       |
//!      | |  lost, released | | | input (by message)    | retry (failed)
//!      | +-----------------+ | +----- input_required   |
//!      |   input             +------> auth_required    |
//!      +----------------------------------/------------+
//! ```
//!
//! These hold after every change: a lease is there exactly while a claimed attempt runs; a task that is submitted has an attempt
//! left; a task in an end state has no lease and no request to stop.

mod attempts;
mod reports;
mod requests;
#[cfg(test)]
mod tests;
mod transitions;

use agentnet_protocol::Timestamp;

use self::attempts::{claim, finished, heartbeat, tick, unclaim};
use self::reports::reported;
use self::requests::{cancel, input, retry};
use self::transitions::within_bytes;
use crate::model::{NewTaskEvent, StoredTaskEvent, Task, TaskChange, TaskRefusal};

/// Applies a change. A refused one changes nothing.
///
/// # Errors
/// [`TaskRefusal`]
pub(crate) fn apply(task: &mut Task, change: &TaskChange, now: Timestamp) -> Result<Vec<StoredTaskEvent>, TaskRefusal> {
    let mut next = task.clone();
    let events = match change {
        TaskChange::Claim {
            account_id,
            session_tag,
            lease,
        } => claim(&mut next, account_id, session_tag, lease, now),
        TaskChange::Heartbeat {
            attempt,
            progress,
            checkpoint,
            request_id: _,
        } => heartbeat(&mut next, attempt, progress.as_ref(), checkpoint.as_ref(), now),
        TaskChange::Finish { attempt, finish } => finished(&mut next, attempt, finish, now),
        TaskChange::Unclaim { attempt } => unclaim(&mut next, attempt, now),
        TaskChange::Cancel { reason, account_id, .. } => {
            cancel(&mut next, reason.as_deref(), account_id.as_deref(), now)
        }
        TaskChange::Input {
            payload, account_id, ..
        } => input(&mut next, payload.as_ref(), account_id, now),
        TaskChange::Retry {
            not_before, account_id, ..
        } => retry(&mut next, *not_before, account_id, now),
        TaskChange::Tick { cancel_grace_ms } => tick(&mut next, *cancel_grace_ms, now),
        TaskChange::Reported {
            account_id,
            message_id,
            report,
        } => reported(&mut next, account_id, message_id, report, now),
    }?;
    let events = numbered(&mut next, named(events, change), now);
    next.revision += 1;
    // A heartbeat that says nothing new does not move the task in lists.
    if !events.is_empty() {
        next.updated_at = now.max(next.updated_at);
    }
    *task = next;
    Ok(events)
}

/// A task as it is stored at its creation, and its first event.
pub(crate) fn created(task: &Task) -> (Task, StoredTaskEvent) {
    let mut task = task.clone();
    let first = NewTaskEvent {
        text: Some(task.text.clone()).filter(|text| !text.is_empty()),
        from_account_id: Some(task.coordinator_account_id.clone()),
        message_id: task.message_id.clone(),
        ..transitions::event(&task, "created")
    };
    task.event_count = 1;
    task.event_bytes = first.bytes();
    task.revision = task.revision.max(1);
    let event = stored(&task, 1, first, task.created_at);
    (task, event)
}

/// When [`TaskChange::Tick`] has something to do for this task, unless it is to stop.
pub(crate) fn due_at(task: &Task) -> Option<Timestamp> {
    if task.state.is_terminal() {
        return None;
    }
    let lease_until = task.lease.as_ref().map(|lease| lease.until);
    [lease_until, task.deadline_at].into_iter().flatten().min()
}

/// The id under which the event of a change is found again, where the change may be repeated.
pub(crate) fn repeatable_id(change: &TaskChange) -> Option<&str> {
    match change {
        TaskChange::Finish { finish, .. } => Some(&finish.finish_id),
        TaskChange::Reported { message_id, .. } => Some(message_id),
        _ => request_id(change),
    }
}

/// The id of a request that makes an event and has no id of its own.
fn request_id(change: &TaskChange) -> Option<&str> {
    match change {
        TaskChange::Cancel { request_id, .. }
        | TaskChange::Input { request_id, .. }
        | TaskChange::Retry { request_id, .. }
        | TaskChange::Heartbeat {
            request_id,
            progress: Some(_),
            ..
        } => request_id.as_deref(),
        _ => None,
    }
}

/// Events with the id of the request that they are found by.
fn named(mut events: Vec<NewTaskEvent>, change: &TaskChange) -> Vec<NewTaskEvent> {
    if let (Some(event), Some(id)) = (events.last_mut(), request_id(change)) {
        event.message_id = Some(id.to_owned());
    }
    events
}

/// Counts events, and gives them their numbers.
fn numbered(task: &mut Task, events: Vec<NewTaskEvent>, now: Timestamp) -> Vec<StoredTaskEvent> {
    let number = |event| {
        let event = within_bytes(task, event)?;
        task.event_count += 1;
        Some(stored(task, task.event_count, event, now))
    };
    events.into_iter().filter_map(number).collect()
}

fn stored(task: &Task, seq: i64, event: NewTaskEvent, at: Timestamp) -> StoredTaskEvent {
    StoredTaskEvent {
        task_id: task.task_id.clone(),
        seq,
        at,
        kind: event.kind.to_owned(),
        attempt: event.attempt,
        state: event.state,
        text: event.text,
        data: event.data,
        from_account_id: event.from_account_id,
        message_id: event.message_id,
    }
}
