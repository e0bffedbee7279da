//! Every rule: what each change does in each state.

mod attempts;
mod reports;
mod requests;

use agentnet_protocol::task::TaskState;

use super::{apply, created};
use crate::contract::sample::{at, json};
use crate::contract::sample_tasks::{COORDINATOR, WORKER, attempt_of, finish, finish_of, new_task};
use crate::model::{Finish, StoredTaskEvent, Task, TaskChange, TaskRefusal};

const GRACE_MS: i64 = 20_000;

fn claim(lease: &str) -> TaskChange {
    TaskChange::Claim {
        account_id: WORKER.into(),
        session_tag: "tag".into(),
        lease: lease.into(),
    }
}

fn tick() -> TaskChange {
    TaskChange::Tick {
        cancel_grace_ms: GRACE_MS,
    }
}

fn input() -> TaskChange {
    TaskChange::Input {
        payload: Some(json("[7]")),
        account_id: COORDINATOR.into(),
        request_id: None,
    }
}

fn retry(not_before: i64) -> TaskChange {
    TaskChange::Retry {
        not_before: at(not_before),
        account_id: COORDINATOR.into(),
        request_id: None,
    }
}

/// Applies a change that is not refused; returns its events.
fn changed(task: &mut Task, change: &TaskChange, seconds: i64) -> Vec<StoredTaskEvent> {
    let before = task.revision;
    let events = apply(task, change, at(seconds)).unwrap();
    assert_eq!(task.revision, before + 1);
    events
}

/// Why a change is refused; it changes nothing.
fn refused(task: &Task, change: &TaskChange, seconds: i64) -> TaskRefusal {
    let mut same = task.clone();
    let refusal = apply(&mut same, change, at(seconds)).unwrap_err();
    assert_eq!(same, *task);
    refusal
}

/// A task that was claimed at the fixed moment: its lease ends 30 seconds later.
fn working() -> Task {
    let (mut task, _) = created(&new_task("t"));
    changed(&mut task, &claim("l1"), 0);
    task
}

/// The task after the end of its attempt at the second 1.
fn finished(state: TaskState) -> Task {
    let mut task = working();
    let end = finish_of(&task, "f", state);
    changed(&mut task, &end, 1);
    task
}

fn failing(task: &Task, retryable: bool) -> TaskChange {
    TaskChange::Finish {
        attempt: attempt_of(task),
        finish: Finish {
            retryable,
            code: Some("boom".into()),
            detail: Some("it broke".into()),
            ..finish("f", TaskState::Failed)
        },
    }
}

fn kinds(events: &[StoredTaskEvent]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}
