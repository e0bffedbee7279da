//! What those who want a task done ask for.

use agentnet_protocol::task::{TaskState, code};
use agentnet_protocol::{RawJson, Timestamp};

use super::transitions::{end, event, has_worker, submit};
use crate::model::{NewTaskEvent, Task, TaskDelivery, TaskRefusal};

/// The task is not wanted any more. A worker with a lease is asked to stop.
pub(super) fn cancel(
    task: &mut Task,
    reason: Option<&str>,
    account_id: Option<&str>,
    now: Timestamp,
) -> Result<Vec<NewTaskEvent>, TaskRefusal> {
    if task.state.is_terminal() {
        return Err(TaskRefusal::Finished);
    }
    let mut told = if !has_worker(task, now) {
        end(task, TaskState::Canceled, Some(code::CANCELED), reason, now)
    } else if task.cancel_requested_at.is_some() {
        return Err(TaskRefusal::Nothing);
    } else {
        task.cancel_requested_at = Some(now);
        event(task, "cancel_requested")
    };
    told.text = reason.map(str::to_owned);
    told.from_account_id = account_id.map(str::to_owned);
    Ok(vec![told])
}

/// The answer to a worker that waits for one. The attempt goes on: with the worker that reports by messages, else with the
/// session that claims the task next.
pub(super) fn input(
    task: &mut Task,
    payload: Option<&RawJson>,
    account_id: &str,
    now: Timestamp,
) -> Result<Vec<NewTaskEvent>, TaskRefusal> {
    if !task.state.is_blocked() {
        return Err(TaskRefusal::NoInput);
    }
    task.input = payload.cloned();
    match task.delivery {
        TaskDelivery::Message => task.state = TaskState::Working,
        TaskDelivery::Lease => submit(task, now),
    }
    let answered = NewTaskEvent {
        data: payload.cloned(),
        from_account_id: Some(account_id.to_owned()),
        ..event(task, "input")
    };
    if task.delivery == TaskDelivery::Lease {
        // The claim counts it again.
        task.attempt -= 1;
    }
    Ok(vec![answered])
}

/// Another attempt of a task that failed.
pub(super) fn retry(
    task: &mut Task,
    not_before: Timestamp,
    account_id: &str,
    now: Timestamp,
) -> Result<Vec<NewTaskEvent>, TaskRefusal> {
    if task.state != TaskState::Failed {
        return Err(TaskRefusal::NotRetriable);
    }
    let not_before = not_before.max(now);
    task.max_attempts = task.max_attempts.max(task.attempt + 1);
    task.finished_at = None;
    task.code = None;
    task.detail = None;
    task.result = None;
    // Its time was over: it would fail at once.
    if task.deadline_at.is_some_and(|deadline| deadline <= not_before) {
        task.deadline_at = None;
    }
    task.not_before = not_before;
    task.unconfirmed = 0;
    task.releases = 0;
    submit(task, not_before);
    Ok(vec![NewTaskEvent {
        from_account_id: Some(account_id.to_owned()),
        ..event(task, "retried")
    }])
}
