//! Lists and counts of tasks and their events.

use std::sync::Arc;

use agentnet_protocol::task::TaskState;

use super::sample::at;
use super::sample_tasks::{
    COORDINATOR, WORKER, any_task, change, claim_at, claimed, create, finish_of, for_capability, new_task, part_of,
    report, task_ids,
};
use crate::model::{Position, Task, TaskClaimQuery, TaskParts, TaskQuery, TaskTarget};
use crate::store::Store;

fn created_at(task: Task, seconds: i64) -> Task {
    Task {
        created_at: at(seconds),
        updated_at: at(seconds),
        ..task
    }
}

/// The last changed first, with ties by id; each once, page by page.
pub async fn tasks_come_by_their_last_change(store: Arc<dyn Store>) {
    let tasks: Vec<Task> = (0..25)
        .map(|number| created_at(new_task(&format!("t{number:02}")), number / 3))
        .collect();
    create(&*store, &tasks).await;
    for number in [3, 9, 20] {
        change(&*store, &format!("t{number:02}"), report("m", TaskState::Completed), 50).await;
    }
    let mut expected: Vec<String> = tasks.iter().rev().map(|task| task.task_id.clone()).collect();
    expected.retain(|id| !["t03", "t09", "t20"].contains(&id.as_str()));
    expected.splice(0..0, ["t20".to_owned(), "t09".to_owned(), "t03".to_owned()]);
    assert_eq!(task_ids(&*store, &any_task()).await, expected);
    let mut listed = Vec::new();
    let mut query = TaskQuery { limit: 4, ..any_task() };
    loop {
        let page = store.tasks(&query).await.unwrap();
        assert!(page.items.len() <= 4);
        query.before = page.items.last().map(|last| Position {
            at: last.updated_at,
            id: last.task_id.clone(),
        });
        listed.extend(page.items.into_iter().map(|task| task.task_id));
        if !page.more {
            break;
        }
    }
    assert_eq!(listed, expected);
}

/// Each alone and together.
pub async fn filters_of_tasks_combine(store: Arc<dyn Store>) {
    let tasks = [
        new_task("t1"),
        for_capability(new_task("t2"), "build"),
        part_of(for_capability(new_task("t3"), "build"), "t1"),
        part_of(new_task("t4"), "t1"),
        Task {
            coordinator_account_id: "acct_other".into(),
            target: TaskTarget::Account("acct_else".into()),
            ..new_task("t5")
        },
    ];
    create(&*store, &tasks).await;
    let t2 = TaskClaimQuery {
        task_id: Some("t2".into()),
        capabilities: vec!["build".into()],
        ..claim_at(1)
    };
    assert_eq!(claimed(&*store, &t2).await.len(), 1);
    change(&*store, "t4", report("m", TaskState::Failed), 2).await;
    let some = |text: &str| Some(text.to_owned());
    let by = |change: &dyn Fn(&mut TaskQuery)| {
        let mut query = any_task();
        change(&mut query);
        query
    };
    let cases: [(TaskQuery, &[&str]); 12] = [
        (
            by(&|query| query.coordinator_account_id = some(COORDINATOR)),
            &["t4", "t2", "t3", "t1"],
        ),
        (by(&|query| query.coordinator_account_id = some("acct_other")), &["t5"]),
        // Also the task for a capability that a session of the account has.
        (
            by(&|query| query.assignee_account_id = some(WORKER)),
            &["t4", "t2", "t1"],
        ),
        (by(&|query| query.capability = some("build")), &["t2", "t3"]),
        (by(&|query| query.parent_task_id = some("t1")), &["t4", "t3"]),
        (by(&|query| query.states = vec![TaskState::Working]), &["t2"]),
        (
            by(&|query| query.states = vec![TaskState::Working, TaskState::Failed, TaskState::Working]),
            &["t4", "t2"],
        ),
        (by(&|query| query.since = Some(at(1))), &["t4", "t2"]),
        (
            by(&|query| {
                query.parent_task_id = some("t1");
                query.capability = some("build");
                query.coordinator_account_id = some(COORDINATOR);
            }),
            &["t3"],
        ),
        (
            by(&|query| {
                query.assignee_account_id = some(WORKER);
                query.states = vec![TaskState::Submitted, TaskState::Failed];
                query.since = Some(at(0));
            }),
            &["t4", "t1"],
        ),
        (
            by(&|query| {
                query.coordinator_account_id = some(COORDINATOR);
                query.assignee_account_id = some("acct_else");
            }),
            &[],
        ),
        (by(&|query| query.parent_task_id = some("t9")), &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(task_ids(&*store, &query).await, expected, "{query:?}");
    }
}

/// Open and ended ones, of tasks that have parts.
pub async fn parts_are_counted(store: Arc<dyn Store>) {
    let mut tasks = vec![new_task("p1"), new_task("p2"), new_task("p3")];
    tasks.extend((0..5).map(|number| part_of(new_task(&format!("a{number}")), "p1")));
    tasks.push(part_of(new_task("b0"), "p2"));
    create(&*store, &tasks).await;
    for (id, state) in [
        ("a0", TaskState::Completed),
        ("a1", TaskState::Failed),
        ("a2", TaskState::Working),
        ("b0", TaskState::Completed),
    ] {
        change(&*store, id, report("m", state), 1).await;
    }
    let ids = ["p2", "p1", "p3", "p1", "unknown"].map(str::to_owned);
    let mut parts = store.task_children(&ids).await.unwrap();
    parts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("p1".to_owned(), TaskParts { open: 3, done: 2 }),
        ("p2".to_owned(), TaskParts { open: 0, done: 1 }),
    ];
    assert_eq!(parts, expected);
    let mut open = store.open_children("p1", 10).await.unwrap();
    open.sort_unstable();
    assert_eq!(open, ["a2", "a3", "a4"]);
    assert_eq!(store.open_children("p1", 2).await.unwrap().len(), 2);
    assert!(store.open_children("p2", 10).await.unwrap().is_empty());
}

/// Behind a number, up to a limit; and the last one of each task.
pub async fn events_come_in_their_order(store: Arc<dyn Store>) {
    create(&*store, &[new_task("t1"), new_task("t2")]).await;
    for number in 0..5 {
        change(&*store, "t1", report(&format!("m{number}"), TaskState::Working), number).await;
    }
    let events = store.task_events("t1", 0, 100).await.unwrap();
    assert_eq!(
        events.iter().map(|event| event.seq).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(events[5].text.as_deref(), Some("text of m4"));
    assert_eq!(events[5].at, at(4));
    assert_eq!(store.task_events("t1", 2, 2).await.unwrap(), events[2..4]);
    assert!(store.task_events("t1", 6, 2).await.unwrap().is_empty());
    assert!(store.task_events("t3", 0, 2).await.unwrap().is_empty());
    let ids = ["t2", "t1", "t3", "t1"].map(str::to_owned);
    let mut latest = store.latest_task_events(&ids).await.unwrap();
    latest.sort_unstable_by(|a, b| a.task_id.cmp(&b.task_id));
    assert_eq!(latest[0], events[5]);
    assert_eq!((latest.len(), latest[1].kind.as_str()), (2, "created"));
}

/// Of all states that there are.
pub async fn tasks_are_counted_by_state(store: Arc<dyn Store>) {
    assert!(store.task_counts().await.unwrap().is_empty());
    create(&*store, &[new_task("t1"), new_task("t2"), new_task("t3")]).await;
    let task = claimed(&*store, &claim_at(1)).await.remove(0);
    change(&*store, &task.task_id, finish_of(&task, "f", TaskState::Rejected), 2).await;
    let mut counts = store.task_counts().await.unwrap();
    counts.sort_unstable_by_key(|(state, _)| state.as_str());
    assert_eq!(counts, [(TaskState::Rejected, 1), (TaskState::Submitted, 2)]);
}
