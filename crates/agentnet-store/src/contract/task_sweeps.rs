//! What time does to tasks, and deleting old ones.

use std::sync::Arc;

use agentnet_protocol::task::{TaskState, code};

use super::sample::at;
use super::sample_tasks::{
    any_task, cancel, change, claim_at, claimed, create, event_kinds, finish_of, heartbeat_of, new_task, part_of,
    report, task_ids,
};
use crate::model::{Task, TaskClaimQuery};
use crate::store::Store;

const GRACE_MS: i64 = 20_000;

async fn ticked(store: &dyn Store, seconds: i64, limit: usize) -> Vec<(String, TaskState, Option<String>)> {
    let mut ticked: Vec<_> = store
        .tick_tasks(at(seconds), GRACE_MS, limit)
        .await
        .unwrap()
        .into_iter()
        .map(|(task, _)| (task.task_id, task.state, task.code))
        .collect();
    ticked.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    ticked
}

fn named(task_id: &str, state: TaskState, code: &str) -> (String, TaskState, Option<String>) {
    (task_id.to_owned(), state, Some(code.to_owned()))
}

/// Leases, deadlines and times to stop; each once.
pub async fn what_is_over_is_noticed(store: Arc<dyn Store>) {
    let with_deadline = |id: &str, seconds| Task {
        deadline_at: Some(at(seconds)),
        priority: -9,
        ..new_task(id)
    };
    let once = Task {
        max_attempts: 1,
        ..new_task("once")
    };
    let tasks = [
        once,
        new_task("retry"),
        new_task("beats"),
        new_task("stop"),
        with_deadline("late", 50),
    ];
    create(&*store, &tasks).await;
    let four = TaskClaimQuery { max: 4, ..claim_at(0) };
    let claimed = claimed(&*store, &four).await;
    for task in &claimed {
        change(&*store, &task.task_id, heartbeat_of(task), 0).await;
    }
    change(&*store, "stop", cancel(), 1).await;
    for seconds in [10, 20] {
        for task in &claimed[2..] {
            change(&*store, &task.task_id, heartbeat_of(task), seconds).await;
        }
    }
    assert_eq!(ticked(&*store, 20, 9).await, []);
    assert_eq!(
        ticked(&*store, 21, 9).await,
        [named("stop", TaskState::Canceled, code::CANCEL_FORCED)]
    );
    assert_eq!(ticked(&*store, 29, 9).await, []);
    assert_eq!(
        ticked(&*store, 30, 9).await,
        [
            named("once", TaskState::Failed, code::WORKER_LOST),
            named("retry", TaskState::Submitted, code::WORKER_LOST)
        ]
    );
    assert_eq!(ticked(&*store, 49, 9).await, []);
    assert_eq!(
        ticked(&*store, 50, 9).await,
        [
            named("beats", TaskState::Submitted, code::WORKER_LOST),
            named("late", TaskState::Failed, code::DEADLINE)
        ]
    );
    assert_eq!(ticked(&*store, 9_999, 9).await, []);
    let kinds: Vec<String> = event_kinds(&*store, "retry")
        .await
        .into_iter()
        .map(|(_, kind)| kind)
        .collect();
    assert_eq!(kinds, ["created", "claimed", "lost", "retried"]);
}

/// So many at a time, until none is left; a task that is due for two reasons counts once.
pub async fn a_sweep_is_bounded(store: Arc<dyn Store>) {
    let tasks: Vec<Task> = (0..150).map(|number| new_task(&format!("t{number}"))).collect();
    create(&*store, &tasks).await;
    let all = TaskClaimQuery {
        max: 150,
        ..claim_at(0)
    };
    for task in claimed(&*store, &all).await.iter().take(10) {
        change(&*store, &task.task_id, cancel(), 1).await;
    }
    let mut counts = Vec::new();
    loop {
        let ticked = store.tick_tasks(at(100), GRACE_MS, 80).await.unwrap();
        if ticked.is_empty() {
            break;
        }
        assert!(ticked.len() <= 80);
        counts.push(ticked.len());
    }
    assert_eq!(counts.iter().sum::<usize>(), 150);
    assert_eq!(
        store
            .task_counts()
            .await
            .unwrap()
            .into_iter()
            .map(|(_, count)| count)
            .sum::<i64>(),
        150
    );
}

/// Registries that sweep at the same time do not end one task twice.
pub async fn concurrent_sweeps_end_each_task_once(store: Arc<dyn Store>) {
    let tasks: Vec<Task> = (0..40)
        .map(|number| Task {
            deadline_at: Some(at(5)),
            ..new_task(&format!("t{number}"))
        })
        .collect();
    create(&*store, &tasks).await;
    let sweeps: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.tick_tasks(at(5), GRACE_MS, 100).await.unwrap().len() })
        })
        .collect();
    let mut total = 0;
    for sweep in sweeps {
        total += sweep.await.unwrap();
    }
    total += store.tick_tasks(at(5), GRACE_MS, 100).await.unwrap().len();
    assert_eq!(total, 40);
    assert_eq!(store.task_counts().await.unwrap(), [(TaskState::Failed, 40)]);
    assert_eq!(event_kinds(&*store, "t0").await.len(), 2);
}

/// With their events, oldest first. Open tasks stay, and tasks with parts.
pub async fn old_tasks_are_pruned(store: Arc<dyn Store>) {
    let tasks = [
        new_task("old"),
        new_task("older"),
        new_task("young"),
        new_task("open"),
        part_of(new_task("part of open"), "open"),
        part_of(new_task("part of old"), "old"),
        part_of(new_task("open part of old"), "old"),
    ];
    create(&*store, &tasks).await;
    for (id, seconds) in [
        ("older", 1),
        ("part of old", 2),
        ("part of open", 3),
        ("old", 4),
        ("young", 50),
    ] {
        change(&*store, id, report("m", TaskState::Completed), seconds).await;
    }
    assert_eq!(store.prune_tasks(at(1), 10).await.unwrap(), 0);
    assert_eq!(store.prune_tasks(at(50), 1).await.unwrap(), 1);
    assert_eq!(store.task("older").await.unwrap(), None);
    assert!(store.task_events("older", 0, 9).await.unwrap().is_empty());
    assert_eq!(store.prune_tasks(at(50), 10).await.unwrap(), 2);
    assert_eq!(store.prune_tasks(at(50), 10).await.unwrap(), 0);
    let mut left = task_ids(&*store, &any_task()).await;
    left.sort_unstable();
    assert_eq!(left, ["old", "open", "open part of old", "young"]);
    assert_eq!(event_kinds(&*store, "old").await.len(), 2);
    // Its id is free again.
    create(&*store, &[new_task("older")]).await;
}

/// A task that is tried again is not old any more.
pub async fn a_task_that_goes_on_is_not_pruned(store: Arc<dyn Store>) {
    create(&*store, &[new_task("t1")]).await;
    let task = claimed(&*store, &claim_at(0)).await.remove(0);
    change(&*store, "t1", finish_of(&task, "f", TaskState::Failed), 1).await;
    let retry = crate::model::TaskChange::Retry {
        not_before: at(2),
        account_id: "acct_c".into(),
        request_id: None,
    };
    change(&*store, "t1", retry, 2).await;
    assert_eq!(store.prune_tasks(at(99), 10).await.unwrap(), 0);
}
