//! Claiming tasks.

use std::collections::HashSet;
use std::sync::Arc;

use agentnet_protocol::task::TaskState;

use super::sample::at;
use super::sample_tasks::{
    WORKER, cancel, change, claim_at, claimed, claimed_ids, create, finish_of, for_capability, new_task,
};
use crate::model::{Task, TaskChanged, TaskClaimQuery, TaskTarget};
use crate::store::Store;

fn capable(query: TaskClaimQuery, capabilities: &[&str]) -> TaskClaimQuery {
    TaskClaimQuery {
        capabilities: super::sample::texts(capabilities),
        max: 32,
        ..query
    }
}

/// By priority, then by the time from which on they may be claimed, then by creation.
pub async fn tasks_are_claimed_in_their_order(store: Arc<dyn Store>) {
    let task = |id: &str, priority, not_before| Task {
        priority,
        not_before: at(not_before),
        ..new_task(id)
    };
    let tasks = [
        task("t1", 0, 2),
        task("t2", 0, 1),
        task("t3", 5, 3),
        for_capability(task("t4", 0, 1), "a"),
        task("t5", -5, 0),
        for_capability(task("t6", 5, 2), "b"),
        task("t7", 9, 99),
    ];
    create(&*store, &tasks).await;
    let two = TaskClaimQuery {
        max: 2,
        ..capable(claim_at(9), &["a", "b", "b", "c"])
    };
    assert_eq!(claimed_ids(&*store, &two).await, ["t6", "t3"]);
    let rest = capable(claim_at(10), &["b", "a"]);
    assert_eq!(claimed_ids(&*store, &rest).await, ["t2", "t4", "t1", "t5"]);
    assert!(
        claimed_ids(&*store, &capable(claim_at(98), &["a", "b"]))
            .await
            .is_empty()
    );
    assert_eq!(claimed_ids(&*store, &claim_at(99)).await, ["t7"]);
}

/// An account gets its own tasks, and those for the capabilities that its session names.
pub async fn a_task_is_claimed_by_whom_it_is_for(store: Arc<dyn Store>) {
    let tasks = [
        Task {
            target: TaskTarget::Account("acct_other".into()),
            ..new_task("t1")
        },
        for_capability(new_task("t2"), "build"),
        // An account with the name of a capability, and the other way round.
        for_capability(new_task("t3"), WORKER),
        Task {
            target: TaskTarget::Account("build".into()),
            ..new_task("t4")
        },
    ];
    create(&*store, &tasks).await;
    assert!(claimed_ids(&*store, &claim_at(1)).await.is_empty());
    let got = claimed(&*store, &capable(claim_at(2), &["build"])).await;
    assert_eq!(got.len(), 1);
    let task = &got[0];
    assert_eq!(
        (task.task_id.as_str(), task.state, task.attempt),
        ("t2", TaskState::Working, 1)
    );
    let lease = task.lease.as_ref().unwrap();
    assert_eq!(
        (lease.token.as_str(), lease.session_tag.as_str(), lease.until),
        ("token2-t2", "tag", at(32))
    );
    assert_eq!(task.worker_account_id.as_deref(), Some(WORKER));
    assert_eq!(store.task("t2").await.unwrap().as_ref(), Some(task));
}

/// Only if the session may have it.
pub async fn one_task_is_claimed_by_its_id(store: Arc<dyn Store>) {
    let tasks = [
        new_task("t1"),
        new_task("t2"),
        for_capability(new_task("t3"), "build"),
        Task {
            not_before: at(50),
            ..new_task("t4")
        },
    ];
    create(&*store, &tasks).await;
    let one = |id: &str, seconds| TaskClaimQuery {
        task_id: Some(id.to_owned()),
        max: 32,
        ..claim_at(seconds)
    };
    assert_eq!(claimed_ids(&*store, &one("t2", 1)).await, ["t2"]);
    for (id, seconds) in [("t2", 2), ("t3", 3), ("t4", 49), ("t5", 5)] {
        assert!(claimed_ids(&*store, &one(id, seconds)).await.is_empty(), "{id}");
    }
    let able = TaskClaimQuery {
        capabilities: vec!["test".into(), "build".into()],
        ..one("t3", 6)
    };
    assert_eq!(claimed_ids(&*store, &able).await, ["t3"]);
    assert_eq!(claimed_ids(&*store, &one("t4", 50)).await, ["t4"]);
}

/// Tasks behind it are claimed.
pub async fn a_task_that_is_over_is_not_claimed(store: Arc<dyn Store>) {
    let tasks = [
        Task {
            deadline_at: Some(at(5)),
            priority: 9,
            ..new_task("t1")
        },
        Task {
            priority: 5,
            ..new_task("t2")
        },
        new_task("t3"),
    ];
    create(&*store, &tasks).await;
    change(&*store, "t2", cancel(), 1).await;
    assert_eq!(claimed_ids(&*store, &claim_at(5)).await, ["t3"]);
    assert!(claimed_ids(&*store, &claim_at(6)).await.is_empty());
}

/// The reply of a call may be lost: the same token of the same session gets the same tasks, at the same attempt.
pub async fn a_repeated_claim_gets_the_same_tasks(store: Arc<dyn Store>) {
    create(&*store, &[new_task("t1"), new_task("t2"), new_task("t3")]).await;
    let two = TaskClaimQuery { max: 2, ..claim_at(1) };
    let first = store.claim_tasks(&two).await.unwrap();
    assert_eq!(first.len(), 2);
    assert_eq!(store.claim_tasks(&two).await.unwrap(), first);
    let third = store
        .claim_tasks(&TaskClaimQuery {
            session_tag: "other".into(),
            ..two.clone()
        })
        .await
        .unwrap();
    assert_eq!((third.len(), third[0].0.task_id.as_str()), (1, "t3"));
    // All are taken.
    assert_eq!(store.claim_tasks(&two).await.unwrap(), first);
    let end = finish_of(&first[0].0, "f", TaskState::Completed);
    change(&*store, "t1", end, 2).await;
    let again = store.claim_tasks(&two).await.unwrap();
    assert_eq!(again, first[1..]);
    // A token that only begins so, and a lease that is over.
    let shorter = TaskClaimQuery {
        token: "token".into(),
        ..two.clone()
    };
    assert!(claimed_ids(&*store, &shorter).await.is_empty());
    let late = TaskClaimQuery { now: at(31), ..two };
    assert!(claimed_ids(&*store, &late).await.is_empty());
}

/// A claim that is held, and its repetition, may find tasks at the same moment.
pub async fn concurrent_claims_with_one_token_are_one(store: Arc<dyn Store>) {
    for round in 0..20 {
        let tasks = ["a", "b", "c", "d"].map(|name| new_task(&format!("{name}{round}")));
        create(&*store, &tasks).await;
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let (store, query) = (Arc::clone(&store), claim_at(round));
                tokio::spawn(async move { claimed_ids(&*store, &query).await })
            })
            .collect();
        let mut got = HashSet::new();
        for call in calls {
            got.extend(call.await.unwrap());
        }
        assert_eq!(got.len(), 1, "{got:?}");
        for task in &tasks {
            change(&*store, &task.task_id, cancel(), round + 40).await;
        }
    }
}

/// The token of a call may be the beginning of another's, as may be the ids of tasks.
pub async fn tokens_are_told_apart(store: Arc<dyn Store>) {
    create(&*store, &[new_task("t1"), new_task("b-t1")]).await;
    let with_token = |token: &str| TaskClaimQuery {
        token: token.to_owned(),
        ..claim_at(1)
    };
    assert_eq!(claimed_ids(&*store, &with_token("a-b")).await, ["t1"]);
    assert_eq!(claimed_ids(&*store, &with_token("a")).await, ["b-t1"]);
    // Both leases are the same text, and each belongs to its call.
    assert_eq!(claimed_ids(&*store, &with_token("a-b")).await, ["t1"]);
    assert_eq!(claimed_ids(&*store, &with_token("a")).await, ["b-t1"]);
}

/// Sessions that claim at the same time never get one task twice, and leave none.
pub async fn concurrent_claims_share_no_task(store: Arc<dyn Store>) {
    let tasks: Vec<Task> = (0..200)
        .map(|number| match number % 2 {
            0 => new_task(&format!("t{number}")),
            _ => for_capability(new_task(&format!("t{number}")), "build"),
        })
        .collect();
    create(&*store, &tasks).await;
    let sessions: Vec<_> = (0..8)
        .map(|session| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut got = Vec::new();
                for call in 0_usize.. {
                    let query = TaskClaimQuery {
                        session_tag: format!("tag{session}"),
                        token: format!("token{session}x{call}"),
                        capabilities: vec!["build".into()],
                        max: 3,
                        ..claim_at(1)
                    };
                    let claimed = claimed(&*store, &query).await;
                    if claimed.is_empty() {
                        break;
                    }
                    let ends: Vec<_> = claimed
                        .iter()
                        .map(|task| (task.task_id.clone(), finish_of(task, "f", TaskState::Completed)))
                        .collect();
                    let changed = store.change_tasks(&ends, at(2)).await.unwrap();
                    assert!(
                        changed.iter().all(|one| matches!(one, TaskChanged::Changed(..))),
                        "{changed:?}"
                    );
                    got.extend(claimed.into_iter().map(|task| task.task_id));
                }
                got
            })
        })
        .collect();
    let mut all = Vec::new();
    for session in sessions {
        all.extend(session.await.unwrap());
    }
    // What others had locked when a session looked for the last time, is left.
    let rest = capable(claim_at(3), &["build"]);
    all.extend(claimed_ids(&*store, &rest).await);
    assert_eq!(all.len(), 200);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 200);
}
