//! Tasks that are parts of others.

use std::sync::Arc;

use agentnet_protocol::task::TaskState;

use super::sample::at;
use super::sample_tasks::{
    COORDINATOR, cancel, change, claim_at, claimed, create, finish_of, new_task, part_of, report,
};
use crate::model::{Task, TaskChange, TaskCreated, TaskParts};
use crate::store::Store;

async fn parts(store: &dyn Store, task_id: &str) -> Option<TaskParts> {
    let counts = store.task_children(&[task_id.to_owned()]).await.unwrap();
    counts.into_iter().next().map(|(_, parts)| parts)
}

fn counted(open: i64, done: i64) -> Option<TaskParts> {
    Some(TaskParts { open, done })
}

/// A failed part is open again when it is tried again; within one call, each change counts.
pub async fn parts_are_counted_as_they_end_and_begin_anew(store: Arc<dyn Store>) {
    let tasks = [
        new_task("top"),
        part_of(new_task("mid"), "top"),
        part_of(new_task("low"), "mid"),
    ];
    create(&*store, &tasks).await;
    create(&*store, &[part_of(new_task("late"), "top")]).await;
    assert_eq!(parts(&*store, "top").await, counted(2, 0));
    assert_eq!(store.children_with_children("top", 9).await.unwrap(), ["mid"]);
    assert!(store.children_with_children("mid", 9).await.unwrap().is_empty());
    let retry = TaskChange::Retry {
        not_before: at(1),
        account_id: COORDINATOR.into(),
        request_id: None,
    };
    let named = |change| ("mid".to_owned(), change);
    let failed = report("m1", TaskState::Failed);
    let both = [named(failed.clone()), named(retry.clone())];
    store.change_tasks(&both, at(1)).await.unwrap();
    assert_eq!(parts(&*store, "top").await, counted(2, 0));
    change(&*store, "mid", report("m2", TaskState::Failed), 2).await;
    assert_eq!(parts(&*store, "top").await, counted(1, 1));
    // The parts of a part that has ended are still found.
    assert_eq!(store.open_children("top", 9).await.unwrap(), ["late"]);
    assert_eq!(store.children_with_children("top", 9).await.unwrap(), ["mid"]);
    change(&*store, "mid", retry, 3).await;
    assert_eq!(parts(&*store, "top").await, counted(2, 0));
    change(&*store, "late", cancel(), 4).await;
    change(&*store, "low", cancel(), 4).await;
    assert_eq!(
        (parts(&*store, "top").await, parts(&*store, "mid").await),
        (counted(1, 1), counted(0, 1))
    );
    assert_eq!(parts(&*store, "low").await, None);
}

/// Nor does one whose worker is asked to stop; what was asked for before is still found.
pub async fn a_canceled_task_gets_no_parts(store: Arc<dyn Store>) {
    create(&*store, &[new_task("working")]).await;
    let task = claimed(&*store, &claim_at(0)).await.remove(0);
    create(&*store, &[new_task("waiting"), part_of(new_task("early"), "waiting")]).await;
    change(&*store, "working", cancel(), 1).await;
    change(&*store, "waiting", cancel(), 1).await;
    for parent in ["working", "waiting"] {
        let outcomes = store
            .create_tasks(&[part_of(new_task("late"), parent)], 99)
            .await
            .unwrap();
        assert_eq!(outcomes, [TaskCreated::ParentCanceled], "{parent}");
    }
    let outcomes = store.create_tasks(&[part_of(new_task("early"), "waiting")], 99).await;
    assert!(matches!(&outcomes.unwrap()[..], [TaskCreated::Known(_)]));
    // Its cancellation is requested already.
    assert_eq!(store.open_children("waiting", 9).await.unwrap(), ["early"]);
    let part = part_of(new_task("part"), "early");
    create(&*store, std::slice::from_ref(&part)).await;
    let claimed = claimed(&*store, &claim_at(2)).await;
    assert_eq!(claimed[0].task_id, "early");
    change(&*store, "early", cancel(), 3).await;
    assert!(store.open_children("waiting", 9).await.unwrap().is_empty());
    assert_eq!(store.children_with_children("waiting", 9).await.unwrap(), ["early"]);
    change(&*store, "working", finish_of(&task, "f", TaskState::Completed), 4).await;
    let outcomes = store.create_tasks(&[part_of(new_task("late"), "working")], 99).await;
    assert!(
        matches!(&outcomes.unwrap()[..], [TaskCreated::New(..)]),
        "it did not stop"
    );
}

/// Nobody can take the id of a task that has parts.
pub async fn parts_are_pruned_before_their_parent(store: Arc<dyn Store>) {
    let tasks = [
        new_task("top"),
        part_of(new_task("done"), "top"),
        part_of(new_task("open"), "top"),
    ];
    create(&*store, &tasks).await;
    change(&*store, "top", report("m", TaskState::Completed), 1).await;
    change(&*store, "done", report("m", TaskState::Completed), 2).await;
    assert_eq!(store.prune_tasks(at(9), 9).await.unwrap(), 1);
    assert_eq!(store.task("done").await.unwrap(), None);
    assert_eq!(parts(&*store, "top").await, counted(1, 0));
    let theirs = Task {
        coordinator_account_id: "acct_other".into(),
        ..new_task("top")
    };
    let outcomes = store.create_tasks(std::slice::from_ref(&theirs), 9).await.unwrap();
    assert_eq!(outcomes, [TaskCreated::Conflict]);
    change(&*store, "open", report("m", TaskState::Completed), 10).await;
    // One after the other, or both at once.
    while store.prune_tasks(at(11), 9).await.unwrap() > 0 {}
    assert_eq!(store.task("open").await.unwrap(), None);
    assert_eq!(store.task("top").await.unwrap(), None);
    assert_eq!(parts(&*store, "top").await, None);
    create(&*store, &[theirs, part_of(new_task("new"), "top")]).await;
    assert_eq!(parts(&*store, "top").await, counted(1, 0));
}

/// Parts of two tasks end at the same time, in calls that name them in different orders.
pub async fn concurrent_ends_of_parts_are_counted(store: Arc<dyn Store>) {
    let mut tasks = vec![new_task("p1"), new_task("p2")];
    for number in 0..32 {
        tasks.push(part_of(new_task(&format!("a{number}")), "p1"));
        tasks.push(part_of(new_task(&format!("b{number}")), "p2"));
    }
    create(&*store, &tasks).await;
    let calls: Vec<_> = (0..16)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let names = [("a", number), ("b", 31 - number), ("a", 16 + number), ("b", number)];
                let changes = names.map(|(name, number)| (format!("{name}{number}"), cancel()));
                store.change_tasks(&changes, at(1)).await.unwrap();
                let part = part_of(
                    new_task(&format!("c{number}")),
                    if number % 2 == 0 { "p1" } else { "p2" },
                );
                create(&*store, &[part]).await;
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(parts(&*store, "p1").await, counted(8, 32));
    assert_eq!(parts(&*store, "p2").await, counted(8, 32));
    while store.prune_tasks(at(2), 7).await.unwrap() > 0 {}
    assert_eq!(parts(&*store, "p1").await, counted(8, 0));
}
