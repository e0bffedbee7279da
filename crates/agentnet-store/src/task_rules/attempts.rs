//! Attempts: what workers do with a lease, and what time does.

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::task::{MAX_BACKOFF_MS, TaskState, code};
use agentnet_protocol::{RawJson, Timestamp};

use super::transitions::{MAX_EVENTS, end, event, has_worker, note_progress, object, submit};
use crate::model::{Attempt, Finish, NewTaskEvent, Progress, Task, TaskDelivery, TaskLease, TaskRefusal};

/// Claims in a row that are given back because nothing was heard of the worker; a further one counts as an attempt.
pub(super) const MAX_UNCONFIRMED: i64 = 3;
/// A task fails when its workers give it back so often in a row.
pub(super) const MAX_RELEASES: i64 = 100;
/// The longest delay after a release, in milliseconds.
const MAX_RELEASE_DELAY_MS: i64 = 60_000;

/// A session takes the task.
pub(super) fn claim(
    task: &mut Task,
    account_id: &str,
    session_tag: &str,
    lease: &str,
    now: Timestamp,
) -> Result<Vec<NewTaskEvent>, TaskRefusal> {
    let is_due = task.state == TaskState::Submitted && task.not_before <= now;
    if !is_due || task.deadline_at.is_some_and(|deadline| deadline <= now) || task.attempt >= task.max_attempts {
        return Err(TaskRefusal::NotClaimable);
    }
    task.state = TaskState::Working;
    task.delivery = TaskDelivery::Lease;
    task.attempt += 1;
    task.unconfirmed += 1;
    task.finish_id = None;
    task.code = None;
    task.detail = None;
    task.lease = Some(TaskLease {
        token: lease.to_owned(),
        session_tag: session_tag.to_owned(),
        until: now.saturating_add_millis(i128::from(task.heartbeat_ms)),
    });
    task.worker_account_id = Some(account_id.to_owned());
    task.heartbeat_at = Some(now);
    let mut claimed = event(task, "claimed");
    claimed.from_account_id = Some(account_id.to_owned());
    Ok(vec![claimed])
}

/// Whether this lease of this attempt is in force.
fn check_lease(task: &Task, attempt: &Attempt, now: Timestamp) -> Result<(), TaskRefusal> {
    let is_held = task
        .lease
        .as_ref()
        .is_some_and(|lease| lease.token == attempt.lease && lease.until > now);
    match is_held && task.attempt == attempt.number {
        true => Ok(()),
        false => Err(TaskRefusal::LeaseLost),
    }
}

/// The worker is still there.
pub(super) fn heartbeat(
    task: &mut Task,
    attempt: &Attempt,
    progress: Option<&Progress>,
    checkpoint: Option<&RawJson>,
    now: Timestamp,
) -> Result<Vec<NewTaskEvent>, TaskRefusal> {
    check_lease(task, attempt, now)?;
    task.unconfirmed = 0;
    task.heartbeat_at = task.heartbeat_at.max(Some(now));
    let until = now.saturating_add_millis(i128::from(task.heartbeat_ms));
    if let Some(lease) = &mut task.lease {
        // The clock of another registry may be behind.
        lease.until = lease.until.max(until);
    }
    if let Some(checkpoint) = checkpoint {
        task.checkpoint = Some(checkpoint.clone());
    }
    let Some(progress) = progress else {
        return Ok(Vec::new());
    };
    let mut told = note_progress(task, progress);
    if task.event_count >= MAX_EVENTS {
        return Ok(Vec::new());
    }
    told.from_account_id.clone_from(&task.worker_account_id);
    Ok(vec![told])
}

/// The worker has finished, needs something, or gives the task back.
pub(super) fn finished(
    task: &mut Task,
    attempt: &Attempt,
    finish: &Finish,
    now: Timestamp,
) -> Result<Vec<NewTaskEvent>, TaskRefusal> {
    if task.finish_id.as_deref() == Some(finish.finish_id.as_str()) {
        return Err(TaskRefusal::Duplicate);
    }
    if task.state.is_terminal() {
        return Err(TaskRefusal::Finished);
    }
    check_lease(task, attempt, now)?;
    task.finish_id = Some(finish.finish_id.clone());
    task.heartbeat_at = Some(now);
    task.unconfirmed = 0;
    task.releases = match finish.state {
        TaskState::Submitted => task.releases + 1,
        _ => 0,
    };
    if let Some(text) = &finish.text {
        task.latest_text.clone_from(text);
    }
    let is_unwanted = task.cancel_requested_at.is_some();
    let mut ended = match finish.state {
        TaskState::Working => return Err(TaskRefusal::Nothing),
        // Nobody goes on with a task that is not wanted any more.
        TaskState::Submitted | TaskState::InputRequired | TaskState::AuthRequired if is_unwanted => {
            let detail = finish.detail.as_deref();
            end(task, TaskState::Canceled, Some(code::CANCELED), detail, now)
        }
        TaskState::Submitted if task.releases >= MAX_RELEASES => {
            let detail = finish.detail.as_deref();
            end(task, TaskState::Failed, Some(code::RELEASED), detail, now)
        }
        TaskState::Submitted => {
            let delay = release_delay_ms(task.releases);
            release(task, now.saturating_add_millis(i128::from(delay)))
        }
        TaskState::InputRequired | TaskState::AuthRequired => {
            task.lease = None;
            task.state = finish.state;
            event(task, "blocked")
        }
        TaskState::Failed if finish.retryable && may_try_again(task) => {
            failed_attempt(task, finish.code.as_deref(), finish.detail.as_deref(), now)
        }
        TaskState::Completed | TaskState::Failed | TaskState::Canceled | TaskState::Rejected => {
            task.result.clone_from(&finish.result);
            let default = match finish.state {
                TaskState::Canceled => Some(code::CANCELED),
                TaskState::Rejected => Some(code::REJECTED),
                _ => None,
            };
            let code = finish.code.as_deref().or(default);
            end(task, finish.state, code, finish.detail.as_deref(), now)
        }
    };
    ended.text.clone_from(&finish.text);
    ended.from_account_id.clone_from(&task.worker_account_id);
    // The worker's own message about it has this id.
    ended.message_id = Some(finish.finish_id.clone());
    Ok(vec![ended])
}

/// The claim is undone: its worker did not get the task.
pub(super) fn unclaim(task: &mut Task, attempt: &Attempt, now: Timestamp) -> Result<Vec<NewTaskEvent>, TaskRefusal> {
    check_lease(task, attempt, now)?;
    task.unconfirmed = (task.unconfirmed - 1).max(0);
    let mut released = match task.cancel_requested_at {
        Some(_) => end(task, TaskState::Canceled, Some(code::CANCELED), None, now),
        None => release(task, now),
    };
    released.from_account_id.clone_from(&task.worker_account_id);
    Ok(vec![released])
}

/// It is given back: the attempt does not count.
fn release(task: &mut Task, not_before: Timestamp) -> NewTaskEvent {
    submit(task, not_before);
    let released = event(task, "released");
    task.attempt -= 1;
    released
}

/// The delay after so many releases in a row, in milliseconds: none after the first one, then doubled with each.
fn release_delay_ms(releases: i64) -> i64 {
    let doublings = u32::try_from(releases - 2).map(|doublings| doublings.min(16));
    doublings.map_or(0, |doublings| MAX_RELEASE_DELAY_MS.min(1_000 << doublings))
}

/// Time has passed.
pub(super) fn tick(task: &mut Task, cancel_grace_ms: i64, now: Timestamp) -> Result<Vec<NewTaskEvent>, TaskRefusal> {
    if task.state.is_terminal() {
        return Err(TaskRefusal::Nothing);
    }
    if let Some(requested) = task.cancel_requested_at {
        let over = requested.saturating_add_millis(i128::from(cancel_grace_ms));
        if over <= now || !has_worker(task, now) {
            let forced = end(task, TaskState::Canceled, Some(code::CANCEL_FORCED), None, now);
            return Ok(vec![forced]);
        }
    }
    if task.deadline_at.is_some_and(|deadline| deadline <= now) {
        return Ok(vec![end(task, TaskState::Failed, Some(code::DEADLINE), None, now)]);
    }
    if task.lease.is_none() || has_worker(task, now) {
        return Err(TaskRefusal::Nothing);
    }
    let mut lost = event(task, "lost");
    lost.from_account_id.clone_from(&task.worker_account_id);
    // Nothing was heard of the worker after its claim: the reply may have found nobody.
    if (1..=MAX_UNCONFIRMED).contains(&task.unconfirmed) {
        return Ok(vec![lost, release(task, now)]);
    }
    task.unconfirmed = 0;
    task.releases = 0;
    let then = match may_try_again(task) {
        true => failed_attempt(task, Some(code::WORKER_LOST), None, now),
        false => end(task, TaskState::Failed, Some(code::WORKER_LOST), None, now),
    };
    Ok(vec![lost, then])
}

fn may_try_again(task: &Task) -> bool {
    task.attempt < task.max_attempts && task.cancel_requested_at.is_none()
}

/// The attempt has failed, and another one is left.
fn failed_attempt(task: &mut Task, code: Option<&str>, detail: Option<&str>, now: Timestamp) -> NewTaskEvent {
    task.code = code.map(str::to_owned);
    task.detail = detail.map(str::to_owned);
    submit(task, now.saturating_add_millis(i128::from(delay_ms(task))));
    let mut data = ObjectWriter::new();
    data.opt_text("code", code)
        .opt_text("detail", detail)
        .text("not_before", &task.not_before.to_string());
    NewTaskEvent {
        data: object(data),
        ..event(task, "retried")
    }
}

/// The delay before the next attempt, in milliseconds: doubled with each, with up to a fifth more that differs from task to task.
pub(super) fn delay_ms(task: &Task) -> i64 {
    let doublings = u32::try_from(task.attempt.saturating_sub(1))
        .unwrap_or_default()
        .min(22);
    let delay = task
        .backoff_ms
        .max(0)
        .saturating_mul(1 << doublings)
        .min(MAX_BACKOFF_MS);
    let spread = task.task_id.bytes().fold(task.attempt.unsigned_abs(), |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    delay + delay * i64::try_from(spread % 21).unwrap_or_default() / 100
}
