//! Storing new tasks.

use std::sync::Arc;

use agentnet_protocol::task::TaskState;

use super::sample::{at, json};
use super::sample_tasks::{
    COORDINATOR, claim_at, claimed, create, event_kinds, for_capability, key, new_task, part_of, report,
};
use crate::model::{StoredTaskEvent, Task, TaskChanged, TaskCreated, TaskDelivery, TaskLease, TaskTarget};
use crate::store::Store;

/// Every member, texts with NUL and noncharacters, JSON byte for byte.
fn full(task_id: &str) -> Task {
    Task {
        coordinator: Some("lead\0".into()),
        idempotency_key: Some("key\u{fdd0}".into()),
        delivery: TaskDelivery::Message,
        title: Some("fix \u{fdd0}0".into()),
        text: "do\0it".into(),
        payload: Some(json("{\"a\": 1.0, \"\u{fdd0}\": [ ]}")),
        metadata: json(r#"{"b" : 2e1}"#),
        priority: -7,
        not_before: at(3),
        deadline_at: Some(at(500)),
        max_attempts: 20,
        backoff_ms: 5,
        heartbeat_ms: 3_600_000,
        state: TaskState::Working,
        attempt: 2,
        lease: Some(TaskLease {
            token: "token-t".into(),
            session_tag: "tag".into(),
            until: at(40),
        }),
        worker_account_id: Some("acct_w\0".into()),
        heartbeat_at: Some(at(10)),
        cancel_requested_at: Some(at(11)),
        finish_id: Some("f".into()),
        unconfirmed: 2,
        releases: 3,
        is_assigned_by_message: true,
        result: Some(json("[1.00]")),
        code: Some("code".into()),
        detail: Some("detail".into()),
        checkpoint: Some(json("null")),
        input: Some(json("\"in\"")),
        latest_text: "latest".into(),
        latest_progress_text: Some("progress".into()),
        progress_count: 4,
        percent: Some(40),
        phase: Some("tool".into()),
        message_id: Some("m".into()),
        revision: 9,
        created_at: at(1),
        updated_at: at(2),
        finished_at: Some(at(12)),
        ..for_capability(new_task(task_id), "build\0")
    }
}

/// With its first event.
pub async fn a_task_comes_back_as_it_was(store: Arc<dyn Store>) {
    for task in [new_task("t1"), full("t2\0")] {
        let expected = Task {
            event_count: 1,
            event_bytes: i64::try_from(task.text.len()).unwrap(),
            revision: task.revision.max(1),
            ..task.clone()
        };
        let event = StoredTaskEvent {
            task_id: task.task_id.clone(),
            seq: 1,
            at: task.created_at,
            kind: "created".into(),
            attempt: task.attempt,
            state: Some(task.state),
            text: Some(task.text.clone()),
            data: None,
            from_account_id: Some(COORDINATOR.into()),
            message_id: task.message_id.clone(),
        };
        let outcomes = store.create_tasks(std::slice::from_ref(&task), 100).await.unwrap();
        assert_eq!(
            outcomes,
            [TaskCreated::New(Box::new(expected.clone()), vec![event.clone()])]
        );
        assert_eq!(store.task(&task.task_id).await.unwrap(), Some(expected));
        assert_eq!(store.task_events(&task.task_id, 0, 9).await.unwrap(), [event]);
    }
    assert_eq!(store.task("t3").await.unwrap(), None);
}

/// By its id, and by the key of its coordinator; other content is a conflict. Also within one call.
pub async fn a_task_is_made_once(store: Arc<dyn Store>) {
    let other = |task: Task| Task {
        content_sha256: "other".into(),
        ..task
    };
    let theirs = |task: Task| Task {
        coordinator_account_id: "acct_other".into(),
        ..task
    };
    let calls = [
        new_task("t1"),
        new_task("t1"),
        other(new_task("t1")),
        theirs(new_task("t1")),
        key(new_task("t2"), "k"),
        key(new_task("t3"), "k"),
        other(key(new_task("t4"), "k")),
        theirs(key(new_task("t5"), "k")),
    ];
    let outcome = |created: &TaskCreated| match created {
        TaskCreated::New(task, _) => format!("new {}", task.task_id),
        TaskCreated::Known(task) => format!("known {}", task.task_id),
        other => format!("{other:?}"),
    };
    let expected = [
        "new t1", "known t1", "Conflict", "Conflict", "new t2", "known t2", "Conflict", "new t5",
    ];
    let outcomes = store.create_tasks(&calls, 100).await.unwrap();
    assert_eq!(outcomes.iter().map(outcome).collect::<Vec<_>>(), expected);
    let again = store.create_tasks(&calls, 100).await.unwrap();
    let known: Vec<String> = expected.iter().map(|text| text.replace("new", "known")).collect();
    assert_eq!(again.iter().map(outcome).collect::<Vec<_>>(), known);
    // What is known is the task as it is now.
    claimed(&*store, &claim_at(1)).await;
    let [TaskCreated::Known(task)] = &store.create_tasks(&calls[..1], 100).await.unwrap()[..] else {
        panic!("the task is known");
    };
    assert_eq!((task.state, task.event_count), (TaskState::Working, 2));
    assert_eq!(event_kinds(&*store, "t1").await.len(), 2);
}

/// Tasks earlier in the call count, ended ones and those of others do not; what is known is no new task.
pub async fn open_tasks_are_limited(store: Arc<dyn Store>) {
    let batch = [new_task("t1"), new_task("t2"), new_task("t3")];
    let outcomes = store.create_tasks(&batch, 2).await.unwrap();
    assert!(matches!(
        &outcomes[..],
        [TaskCreated::New(..), TaskCreated::New(..), TaskCreated::TooMany]
    ));
    let outcomes = store.create_tasks(&batch[1..], 2).await.unwrap();
    assert!(matches!(&outcomes[..], [TaskCreated::Known(_), TaskCreated::TooMany]));
    assert_eq!(store.task("t3").await.unwrap(), None);
    let theirs = Task {
        coordinator_account_id: "acct_other".into(),
        ..new_task("t4")
    };
    let outcomes = store.create_tasks(&[theirs], 2).await.unwrap();
    assert!(matches!(&outcomes[..], [TaskCreated::New(..)]));
    let done = [("t1".to_owned(), report("m", TaskState::Completed))];
    let changed = store.change_tasks(&done, at(1)).await.unwrap();
    assert!(matches!(&changed[..], [TaskChanged::Changed(..)]));
    let outcomes = store.create_tasks(&batch[2..], 2).await.unwrap();
    assert!(matches!(&outcomes[..], [TaskCreated::New(..)]));
}

/// It may be stored, or come earlier in the call.
pub async fn a_part_needs_its_parent(store: Arc<dyn Store>) {
    let batch = [
        part_of(new_task("t2"), "t1"),
        new_task("t1"),
        part_of(new_task("t3"), "t1"),
    ];
    let outcomes = store.create_tasks(&batch, 100).await.unwrap();
    assert!(matches!(
        &outcomes[..],
        [TaskCreated::NoParent, TaskCreated::New(..), TaskCreated::New(..)]
    ));
    let outcomes = store.create_tasks(&batch[..1], 100).await.unwrap();
    assert!(matches!(&outcomes[..], [TaskCreated::New(..)]));
}

/// The other tasks of the call are stored.
pub async fn a_task_that_no_index_holds_is_refused(store: Arc<dyn Store>) {
    let long = "x".repeat(100_000);
    let batch = [
        new_task("t1"),
        new_task(&long),
        key(new_task("t2"), &long),
        Task {
            target: TaskTarget::Account(long.clone()),
            ..new_task("t3")
        },
        new_task("t4"),
    ];
    let outcomes = store.create_tasks(&batch, 100).await.unwrap();
    let refused: Vec<bool> = outcomes
        .iter()
        .map(|outcome| *outcome == TaskCreated::Refused)
        .collect();
    assert_eq!(refused, [false, true, true, true, false]);
    assert!(store.task("t4").await.unwrap().is_some());
}

/// More tasks than one statement holds, in the order of the call.
pub async fn a_large_call_creates_all(store: Arc<dyn Store>) {
    let batch: Vec<Task> = (0..300)
        .map(|number| key(new_task(&format!("t{number:03}")), &number.to_string()))
        .collect();
    let stored = create(&*store, &batch).await;
    assert_eq!(stored.len(), 300);
    let query = crate::model::TaskClaimQuery {
        max: 300,
        ..claim_at(1)
    };
    let ids: Vec<String> = claimed(&*store, &query)
        .await
        .into_iter()
        .map(|task| task.task_id)
        .collect();
    let expected: Vec<String> = batch.iter().map(|task| task.task_id.clone()).collect();
    assert_eq!(ids, expected);
}

/// Coordinators that repeat a request at the same time get one task.
pub async fn concurrent_requests_make_one_task(store: Arc<dyn Store>) {
    let requests: Vec<_> = (0..16)
        .map(|number| {
            let store = Arc::clone(&store);
            let tasks = [
                key(new_task(&format!("t{number}")), "a"),
                key(new_task(&format!("u{number}")), "b"),
            ];
            tokio::spawn(async move { store.create_tasks(&tasks, 100).await.unwrap() })
        })
        .collect();
    let mut new = 0;
    let mut ids = Vec::new();
    for request in requests {
        for outcome in request.await.unwrap() {
            match outcome {
                TaskCreated::New(task, _) => {
                    new += 1;
                    ids.push(task.task_id);
                }
                TaskCreated::Known(task) => ids.push(task.task_id),
                other => panic!("unexpected outcome: {other:?}"),
            }
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((new, ids.len()), (2, 2));
}
