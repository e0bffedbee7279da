//! Changing tasks. What each change does is tested with the rules.

use std::sync::Arc;

use agentnet_protocol::task::TaskState;

use super::sample::{at, json};
use super::sample_tasks::{
    COORDINATOR, WORKER, attempt_of, cancel, change, claim_at, claimed, create, event_kinds, finish, finish_of,
    heartbeat_of, new_task, refusal, report,
};
use crate::model::{Finish, Progress, REQUEST_ID_PREFIX, Task, TaskChange, TaskChanged, TaskClaimQuery, TaskRefusal};
use crate::store::Store;

async fn working(store: &dyn Store, task_id: &str) -> Task {
    create(store, &[new_task(task_id)]).await;
    claimed(store, &claim_at(0)).await.remove(0)
}

/// As if they came one after the other, also several of one task; refused ones leave no trace.
pub async fn changes_are_applied_in_their_order(store: Arc<dyn Store>) {
    let first = working(&*store, "t1").await;
    create(&*store, &[new_task("t2")]).await;
    let named = |task_id: &str, change| (task_id.to_owned(), change);
    let changes = [
        named("t1", heartbeat_of(&first)),
        named("t3", cancel()),
        named("t2", report("m1", TaskState::Working)),
        named("t1", finish_of(&first, "f1", TaskState::Completed)),
        named("t1", finish_of(&first, "f1", TaskState::Completed)),
        named("t1", finish_of(&first, "f2", TaskState::Failed)),
        named("t2", report("m1", TaskState::Completed)),
        named("t2", report("m2", TaskState::Completed)),
    ];
    let outcomes = store.change_tasks(&changes, at(5)).await.unwrap();
    let shown: Vec<String> = outcomes
        .iter()
        .map(|outcome| match outcome {
            TaskChanged::Changed(task, events) => format!("{} {} {}", task.task_id, task.state, events.len()),
            TaskChanged::Refused(refusal, task) => format!("{} {} {refusal:?}", task.task_id, task.state),
            TaskChanged::Unknown => "unknown".to_owned(),
        })
        .collect();
    let expected = [
        "t1 working 0",
        "unknown",
        "t2 working 1",
        "t1 completed 1",
        "t1 completed Duplicate",
        "t1 completed Finished",
        "t2 working Duplicate",
        "t2 completed 1",
    ];
    assert_eq!(shown, expected);
    let kinds = |kinds: &[&str]| {
        (1..)
            .zip(kinds.iter().map(|kind| (*kind).to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        event_kinds(&*store, "t1").await,
        kinds(&["created", "claimed", "finished"])
    );
    assert_eq!(
        event_kinds(&*store, "t2").await,
        kinds(&["created", "progress", "finished"])
    );
    assert!(store.task_events("t3", 0, 9).await.unwrap().is_empty());
}

/// The stored task is the one that the change returned, with every member.
pub async fn every_member_of_a_change_is_kept(store: Arc<dyn Store>) {
    let task = working(&*store, "t1").await;
    let heartbeat = TaskChange::Heartbeat {
        attempt: attempt_of(&task),
        progress: Some(Progress {
            text: Some("tests\0run".into()),
            percent: Some(40),
            phase: Some("tool".into()),
        }),
        checkpoint: Some(json(r#"{"step": 3.0}"#)),
        request_id: None,
    };
    let failure = |id: &str| TaskChange::Finish {
        attempt: attempt_of(&task),
        finish: Finish {
            result: Some(json("[ 1 ]")),
            text: Some("in vain".into()),
            code: Some("boom".into()),
            detail: Some("it broke".into()),
            ..finish(id, TaskState::Failed)
        },
    };
    let retry = TaskChange::Retry {
        not_before: at(9),
        account_id: "acct_c".into(),
        request_id: None,
    };
    let input = TaskChange::Input {
        payload: Some(json("[2.50]")),
        account_id: "acct_c".into(),
        request_id: None,
    };
    let steps = [
        ("progress", heartbeat),
        ("cancel_requested", cancel()),
        ("finished", failure("f1")),
        ("retried", retry),
        ("ignored", report("m1", TaskState::Completed)),
    ];
    let mut events = store.task_events("t1", 0, 9).await.unwrap();
    for (seconds, (kind, step)) in (5..).zip(steps) {
        let (changed, new) = change(&*store, "t1", step, seconds).await;
        assert_eq!((new.len(), new[0].kind.as_str()), (1, kind));
        assert_eq!(store.task("t1").await.unwrap(), Some(changed), "{kind}");
        events.extend(new);
    }
    assert_eq!(store.task_events("t1", 0, 99).await.unwrap(), events);
    let again = claimed(&*store, &claim_at(9)).await.remove(0);
    let (blocked, _) = change(&*store, "t1", finish_of(&again, "f2", TaskState::AuthRequired), 10).await;
    assert_eq!(store.task("t1").await.unwrap(), Some(blocked));
    let (answered, _) = change(&*store, "t1", input, 11).await;
    assert_eq!(answered.input, Some(json("[2.50]")));
    assert_eq!(store.task("t1").await.unwrap(), Some(answered));
}

/// Its reply may be lost, and the worker may be slow to ask again.
pub async fn a_repeated_end_is_known_after_the_next_attempt(store: Arc<dyn Store>) {
    let task = working(&*store, "t1").await;
    let failure = TaskChange::Finish {
        attempt: attempt_of(&task),
        finish: Finish {
            retryable: true,
            ..finish("f1", TaskState::Failed)
        },
    };
    let (waiting, _) = change(&*store, "t1", failure.clone(), 1).await;
    assert_eq!(waiting.state, TaskState::Submitted);
    assert_eq!(refusal(&*store, "t1", failure.clone(), 2).await, TaskRefusal::Duplicate);
    let second = claimed(&*store, &claim_at(20)).await.remove(0);
    assert_eq!(second.attempt, 2);
    assert_eq!(refusal(&*store, "t1", failure, 21).await, TaskRefusal::Duplicate);
    // The worker's own message about the first attempt.
    let told = report("f1", TaskState::Failed);
    assert_eq!(refusal(&*store, "t1", told, 22).await, TaskRefusal::Duplicate);
    let other = finish_of(&task, "f2", TaskState::Completed);
    assert_eq!(refusal(&*store, "t1", other, 23).await, TaskRefusal::LeaseLost);
    change(&*store, "t1", finish_of(&second, "f3", TaskState::Completed), 24).await;
    assert_eq!(store.task("t1").await.unwrap().unwrap().state, TaskState::Completed);
}

/// The stream may give it again, also after a restart.
pub async fn a_message_counts_once(store: Arc<dyn Store>) {
    let assigned = Task {
        message_id: Some("m0".into()),
        ..new_task("t1")
    };
    create(&*store, &[assigned, new_task("t2")]).await;
    assert_eq!(
        refusal(&*store, "t1", report("m0", TaskState::Working), 1).await,
        TaskRefusal::Duplicate
    );
    change(&*store, "t1", report("m1", TaskState::Working), 1).await;
    assert_eq!(
        refusal(&*store, "t1", report("m1", TaskState::Working), 2).await,
        TaskRefusal::Duplicate
    );
    assert_eq!(store.task("t1").await.unwrap().unwrap().progress_count, 1);
    // Ids of messages are those of one task.
    change(&*store, "t2", report("m1", TaskState::Working), 3).await;
}

/// The connection may break behind the commit, and the registry makes the call again.
pub async fn a_repeated_request_has_one_effect(store: Arc<dyn Store>) {
    let request_id = |name: &str| Some(format!("{REQUEST_ID_PREFIX}{name}"));
    let task = working(&*store, "t1").await;
    let heartbeat = TaskChange::Heartbeat {
        attempt: attempt_of(&task),
        progress: Some(Progress::default()),
        checkpoint: None,
        request_id: request_id("progress"),
    };
    let input = TaskChange::Input {
        payload: None,
        account_id: COORDINATOR.into(),
        request_id: request_id("input"),
    };
    let retry = TaskChange::Retry {
        not_before: at(5),
        account_id: COORDINATOR.into(),
        request_id: request_id("retry"),
    };
    let cancel = TaskChange::Cancel {
        reason: None,
        account_id: None,
        request_id: request_id("cancel"),
    };
    let twice = async |step: &TaskChange, seconds| {
        change(&*store, "t1", step.clone(), seconds).await;
        assert_eq!(
            refusal(&*store, "t1", step.clone(), seconds).await,
            TaskRefusal::Duplicate,
            "{step:?}"
        );
    };
    twice(&heartbeat, 1).await;
    change(&*store, "t1", finish_of(&task, "f1", TaskState::InputRequired), 2).await;
    twice(&input, 3).await;
    let task = claimed(&*store, &claim_at(4)).await.remove(0);
    change(&*store, "t1", finish_of(&task, "f2", TaskState::Failed), 4).await;
    twice(&retry, 5).await;
    twice(&cancel, 6).await;
    let kinds: Vec<String> = event_kinds(&*store, "t1")
        .await
        .into_iter()
        .map(|(_, kind)| kind)
        .collect();
    let expected = [
        "created", "claimed", "progress", "blocked", "input", "claimed", "finished", "retried", "finished",
    ];
    assert_eq!(kinds, expected);
    // Another task has requests of its own, and no message takes the place of one.
    create(&*store, &[new_task("t2")]).await;
    let told = report(&request_id("cancel").unwrap(), TaskState::Working);
    assert_eq!(refusal(&*store, "t2", told, 7).await, TaskRefusal::Nothing);
    change(&*store, "t2", cancel, 7).await;
}

/// Also where no sweep has noticed yet.
pub async fn a_lost_task_lease_changes_nothing(store: Arc<dyn Store>) {
    let task = working(&*store, "t1").await;
    let before = store.task("t1").await.unwrap();
    for change in [finish_of(&task, "f1", TaskState::Completed), heartbeat_of(&task)] {
        assert_eq!(refusal(&*store, "t1", change, 30).await, TaskRefusal::LeaseLost);
    }
    assert_eq!(store.task("t1").await.unwrap(), before);
    assert_eq!(event_kinds(&*store, "t1").await.len(), 2);
}

/// More changes than one statement holds.
pub async fn a_large_call_changes_all(store: Arc<dyn Store>) {
    let tasks: Vec<Task> = (0..150).map(|number| new_task(&format!("t{number}"))).collect();
    create(&*store, &tasks).await;
    let query = TaskClaimQuery {
        max: 150,
        ..claim_at(0)
    };
    let claimed = claimed(&*store, &query).await;
    let beat: Vec<_> = claimed
        .iter()
        .map(|task| (task.task_id.clone(), heartbeat_of(task)))
        .collect();
    let end: Vec<_> = claimed
        .iter()
        .map(|task| (task.task_id.clone(), finish_of(task, "f", TaskState::Completed)))
        .collect();
    for changes in [beat, end] {
        let outcomes = store.change_tasks(&changes, at(1)).await.unwrap();
        assert_eq!(outcomes.len(), 150);
        assert!(outcomes.iter().all(|one| matches!(one, TaskChanged::Changed(..))));
    }
    assert_eq!(store.task_counts().await.unwrap(), [(TaskState::Completed, 150)]);
}

/// Of ends that come at the same time, one counts; the other changes are as if they came before or after it.
pub async fn concurrent_ends_are_one(store: Arc<dyn Store>) {
    let task = working(&*store, "t1").await;
    create(&*store, &[new_task("t2")]).await;
    let calls: Vec<_> = (0..12)
        .map(|number| {
            let store = Arc::clone(&store);
            let mut changes = vec![
                (
                    "t1".to_owned(),
                    finish_of(&task, &format!("f{number}"), TaskState::Completed),
                ),
                ("t2".to_owned(), report(&format!("m{number}"), TaskState::Working)),
            ];
            if number % 2 == 0 {
                changes.reverse();
            }
            tokio::spawn(async move { store.change_tasks(&changes, at(1)).await.unwrap() })
        })
        .collect();
    let (mut ends, mut progresses) = (0, 0);
    for call in calls {
        for outcome in call.await.unwrap() {
            match outcome {
                TaskChanged::Changed(task, _) if task.task_id == "t1" => ends += 1,
                TaskChanged::Changed(..) => progresses += 1,
                TaskChanged::Refused(TaskRefusal::Finished, _) => {}
                other => panic!("unexpected outcome: {other:?}"),
            }
        }
    }
    assert_eq!((ends, progresses), (1, 12));
    assert_eq!(event_kinds(&*store, "t1").await.len(), 3);
    let numbers: Vec<i64> = event_kinds(&*store, "t2")
        .await
        .into_iter()
        .map(|(seq, _)| seq)
        .collect();
    assert_eq!(numbers, (1..=13).collect::<Vec<_>>());
    let worker = store.task("t2").await.unwrap().unwrap().worker_account_id;
    assert_eq!(worker.as_deref(), Some(WORKER));
}
