//! Tasks for the cases: ordinary values, of which a case changes what it is about.

use agentnet_protocol::RawJson;
use agentnet_protocol::task::TaskState;

use super::sample::at;
use crate::model::{
    Attempt, Finish, Report, StoredTaskEvent, Task, TaskChange, TaskChanged, TaskClaimQuery, TaskCreated, TaskDelivery,
    TaskQuery, TaskRefusal, TaskTarget,
};
use crate::store::Store;

/// The coordinator of every task.
pub const COORDINATOR: &str = "acct_c";
/// The account that tasks are for.
pub const WORKER: &str = "acct_w";

/// A task of [`COORDINATOR`] for [`WORKER`], created at the fixed moment: three attempts, a second of backoff, 30 seconds of
/// silence at most, no deadline.
#[must_use]
pub fn new_task(task_id: &str) -> Task {
    Task {
        task_id: task_id.to_owned(),
        coordinator_account_id: COORDINATOR.to_owned(),
        coordinator: None,
        idempotency_key: None,
        content_sha256: "content".into(),
        target: TaskTarget::Account(WORKER.to_owned()),
        delivery: TaskDelivery::Lease,
        title: None,
        text: "do it".into(),
        payload: None,
        thread_id: format!("thread_{task_id}"),
        parent_task_id: None,
        metadata: RawJson::empty_object(),
        priority: 0,
        not_before: at(0),
        deadline_at: None,
        max_attempts: 3,
        backoff_ms: 1_000,
        heartbeat_ms: 30_000,
        state: TaskState::Submitted,
        attempt: 0,
        lease: None,
        worker_account_id: None,
        heartbeat_at: None,
        cancel_requested_at: None,
        finish_id: None,
        unconfirmed: 0,
        releases: 0,
        is_assigned_by_message: false,
        result: None,
        code: None,
        detail: None,
        checkpoint: None,
        input: None,
        latest_text: "do it".into(),
        latest_progress_text: None,
        progress_count: 0,
        percent: None,
        phase: None,
        message_id: None,
        event_count: 0,
        event_bytes: 0,
        revision: 0,
        created_at: at(0),
        updated_at: at(0),
        finished_at: None,
    }
}

/// The task under this idempotency key.
#[must_use]
pub fn key(task: Task, key: &str) -> Task {
    Task {
        idempotency_key: Some(key.to_owned()),
        ..task
    }
}

/// The task as a part of another.
#[must_use]
pub fn part_of(task: Task, parent_task_id: &str) -> Task {
    Task {
        parent_task_id: Some(parent_task_id.to_owned()),
        ..task
    }
}

/// The task for any agent with this capability.
#[must_use]
pub fn for_capability(task: Task, capability: &str) -> Task {
    Task {
        target: TaskTarget::Capability(capability.to_owned()),
        ..task
    }
}

/// A claim of one task for [`WORKER`] at this second; the token names the second.
#[must_use]
pub fn claim_at(seconds: i64) -> TaskClaimQuery {
    TaskClaimQuery {
        account_id: WORKER.to_owned(),
        session_tag: "tag".into(),
        capabilities: Vec::new(),
        task_id: None,
        max: 1,
        token: format!("token{seconds}"),
        now: at(seconds),
    }
}

/// The attempt of a task that is claimed.
#[must_use]
pub fn attempt_of(task: &Task) -> Attempt {
    Attempt {
        number: task.attempt,
        lease: task.lease.as_ref().map(|lease| lease.token.clone()).unwrap_or_default(),
    }
}

/// An attempt ends in this state.
#[must_use]
pub fn finish(finish_id: &str, state: TaskState) -> Finish {
    Finish {
        finish_id: finish_id.to_owned(),
        state,
        result: None,
        text: None,
        code: None,
        detail: None,
        retryable: false,
    }
}

/// The end of the attempt of a task that is claimed.
#[must_use]
pub fn finish_of(task: &Task, finish_id: &str, state: TaskState) -> TaskChange {
    TaskChange::Finish {
        attempt: attempt_of(task),
        finish: finish(finish_id, state),
    }
}

/// The heartbeat of a task that is claimed.
#[must_use]
pub fn heartbeat_of(task: &Task) -> TaskChange {
    TaskChange::Heartbeat {
        attempt: attempt_of(task),
        progress: None,
        checkpoint: None,
        request_id: None,
    }
}

/// The coordinator does not want the task any more.
#[must_use]
pub fn cancel() -> TaskChange {
    TaskChange::Cancel {
        reason: Some("not needed".into()),
        account_id: Some(COORDINATOR.to_owned()),
        request_id: None,
    }
}

/// A message of [`WORKER`].
#[must_use]
pub fn report(message_id: &str, state: TaskState) -> TaskChange {
    TaskChange::Reported {
        account_id: WORKER.to_owned(),
        message_id: message_id.to_owned(),
        report: Report {
            state,
            text: format!("text of {message_id}"),
            percent: None,
            phase: None,
            result: None,
        },
    }
}

/// All tasks, up to 100.
#[must_use]
pub fn any_task() -> TaskQuery {
    TaskQuery {
        limit: 100,
        ..TaskQuery::default()
    }
}

/// Stores tasks, all of which are new; returns them as they are stored.
pub async fn create(store: &dyn Store, tasks: &[Task]) -> Vec<Task> {
    let outcomes = store.create_tasks(tasks, 10_000).await.unwrap();
    let stored = outcomes.into_iter().map(|outcome| match outcome {
        TaskCreated::New(task, _) => *task,
        other => panic!("a task is not stored: {other:?}"),
    });
    stored.collect()
}

/// Claims as the query says.
pub async fn claimed(store: &dyn Store, query: &TaskClaimQuery) -> Vec<Task> {
    let claimed = store.claim_tasks(query).await.unwrap();
    claimed.into_iter().map(|(task, _)| task).collect()
}

/// The ids of the tasks that the query claims.
pub async fn claimed_ids(store: &dyn Store, query: &TaskClaimQuery) -> Vec<String> {
    claimed(store, query)
        .await
        .into_iter()
        .map(|task| task.task_id)
        .collect()
}

/// Applies a change that is not refused.
pub async fn change(
    store: &dyn Store,
    task_id: &str,
    change: TaskChange,
    seconds: i64,
) -> (Task, Vec<StoredTaskEvent>) {
    match change_outcome(store, task_id, change, seconds).await {
        TaskChanged::Changed(task, events) => (*task, events),
        other => panic!("the change is refused: {other:?}"),
    }
}

/// Why a change is refused.
pub async fn refusal(store: &dyn Store, task_id: &str, change: TaskChange, seconds: i64) -> TaskRefusal {
    match change_outcome(store, task_id, change, seconds).await {
        TaskChanged::Refused(refusal, _) => refusal,
        other => panic!("the change is not refused: {other:?}"),
    }
}

async fn change_outcome(store: &dyn Store, task_id: &str, change: TaskChange, seconds: i64) -> TaskChanged {
    let mut outcomes = store
        .change_tasks(&[(task_id.to_owned(), change)], at(seconds))
        .await
        .unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// The ids of the tasks that match.
pub async fn task_ids(store: &dyn Store, query: &TaskQuery) -> Vec<String> {
    let page = store.tasks(query).await.unwrap();
    page.items.into_iter().map(|task| task.task_id).collect()
}

/// The numbers and kinds of a task's events.
pub async fn event_kinds(store: &dyn Store, task_id: &str) -> Vec<(i64, String)> {
    let events = store.task_events(task_id, 0, 1_000).await.unwrap();
    events.into_iter().map(|event| (event.seq, event.kind)).collect()
}
