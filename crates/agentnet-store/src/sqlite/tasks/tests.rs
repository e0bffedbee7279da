//! Tests of tasks in SQLite alone: query plans, a row that it refuses, and data that cannot be read.

use agentnet_protocol::task::TaskState;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use super::{CHILDREN_WITH_CHILDREN, COUNTS, EVENTS, OPEN_CHILDREN, changes, claims, create, page_query, read, write};
use crate::contract::sample::at;
use crate::contract::sample_tasks::{any_task, claim_at, new_task};
use crate::model::{Position, TaskClaimQuery, TaskCreated, TaskQuery};
use crate::sqlite::tests::{plan, raw, with_poison};
use crate::sqlite::{DatabaseLocation, SqliteStore};
use crate::{OpenOptions, StoreError};

async fn store() -> SqliteStore {
    SqliteStore::open(&DatabaseLocation::Memory, &OpenOptions::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn every_statement_walks_an_index() {
    let store = store().await;
    let with_values = |before: &str, columns: usize, after: &str| {
        let row = vec!["?"; columns].join(", ");
        format!("{before}VALUES ({row}), ({row}){after}")
    };
    let capable = TaskClaimQuery {
        capabilities: vec!["a".into(), "b".into()],
        ..claim_at(1)
    };
    let one = TaskClaimQuery {
        task_id: Some("t".into()),
        ..capable.clone()
    };
    let applied = with_values("WITH wanted (task_id, message_id) AS (", 2, changes::APPLIED);
    let latest = with_values("WITH wanted (task_id) AS (", 1, read::LATEST_EVENTS);
    let keys = with_values("WITH wanted (account_id, key) AS (", 2, create::KNOWN_KEYS);
    for (sql, index) in [
        (
            claims::candidates_query(&claim_at(1)).into_string(),
            "idx_agent_tasks_for_account (assignee_account_id=?",
        ),
        (
            claims::candidates_query(&capable).into_string(),
            "idx_agent_tasks_for_capability (capability=?",
        ),
        (
            claims::candidates_query(&one).into_string(),
            "idx_agent_tasks_id (task_id=?",
        ),
        (applied, "idx_agent_task_events_message (task_id=? AND message_id=?)"),
        (changes::DUE.into(), "idx_agent_tasks_due (due_at>? AND due_at<?)"),
        (
            changes::DUE.into(),
            "idx_agent_tasks_cancel (cancel_requested_at>? AND cancel_requested_at<?)",
        ),
        (
            changes::OLD.into(),
            "idx_agent_tasks_finished (finished_at>? AND finished_at<?)",
        ),
        (format!("{}?, ?)", read::BY_ID), "idx_agent_tasks_id (task_id=?)"),
        (EVENTS.into(), "PRIMARY KEY (task_id=? AND seq>?)"),
        (latest, "PRIMARY KEY (task_id=? AND seq=?)"),
        (
            OPEN_CHILDREN.into(),
            "INDEX idx_agent_tasks_parent (parent_task_id=? AND state=?)",
        ),
        (
            read::children_query(&[&"a".into(), &"b".into()]).into_string(),
            "agent_task_parts USING PRIMARY KEY (task_id=?)",
        ),
        (
            CHILDREN_WITH_CHILDREN.into(),
            "COVERING INDEX idx_agent_task_parts_parent (parent_task_id=?)",
        ),
        (
            keys,
            "idx_agent_tasks_key (coordinator_account_id=? AND idempotency_key=?)",
        ),
        (
            create::OPEN.into(),
            "COVERING INDEX idx_agent_tasks_coordinator (coordinator_account_id=? AND state=?)",
        ),
        (COUNTS.into(), "COVERING INDEX idx_agent_tasks_state"),
    ] {
        let plan = plan(&store, &sql).await;
        assert!(plan.contains(index), "{sql}\nshould use {index}, but:\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\nsorts:\n{plan}");
    }
    // Few rows are sorted here: those of one claim.
    let repeated = plan(&store, claims::REPEATED).await;
    assert!(
        repeated.contains("idx_agent_tasks_lease (lease>? AND lease<?)"),
        "{repeated}"
    );
    let update = with_values(write::NEW, write::CHANGING, write::UPDATE);
    let update = plan(&store, &update).await;
    assert!(update.contains("idx_agent_tasks_id (task_id=?)"), "{update}");
}

#[tokio::test]
async fn every_list_of_tasks_walks_an_index_in_order() {
    let store = store().await;
    let some = |text: &str| Some(text.to_owned());
    let base = TaskQuery {
        since: Some(at(0)),
        before: Some(Position {
            at: at(9),
            id: "t".into(),
        }),
        ..any_task()
    };
    let coordinator = TaskQuery {
        coordinator_account_id: some("a"),
        ..base.clone()
    };
    let assignee = TaskQuery {
        assignee_account_id: some("a"),
        ..base.clone()
    };
    let capability = TaskQuery {
        capability: some("c"),
        ..base.clone()
    };
    let parent = TaskQuery {
        parent_task_id: some("p"),
        ..coordinator.clone()
    };
    let one_state = TaskQuery {
        states: vec![TaskState::Working],
        ..base.clone()
    };
    for (query, index) in [
        (base, "idx_agent_tasks_state (state=? AND "),
        (one_state, "idx_agent_tasks_state (state=? AND "),
        (
            coordinator,
            "idx_agent_tasks_coordinator (coordinator_account_id=? AND state=? AND ",
        ),
        (
            assignee,
            "idx_agent_tasks_assignee (assignee_account_id=? AND state=? AND ",
        ),
        (capability, "idx_agent_tasks_capability (capability=? AND state=? AND "),
        (parent, "idx_agent_tasks_parent (parent_task_id=? AND state=? AND "),
    ] {
        let sql = page_query(&query).into_string();
        let plan = plan(&store, &sql).await;
        assert!(plan.contains(index), "{sql}\nshould use {index}, but:\n{plan}");
        // The rows of one page are sorted once more, by the last step.
        assert!(plan.matches("TEMP B-TREE").count() <= 1, "{sql}\nsorts:\n{plan}");
        assert!(plan.contains("USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
    }
}

/// The other tasks of the call are stored; nothing is left of the refused one.
#[tokio::test]
async fn a_refused_task_does_not_stop_the_others() {
    for (table, column) in [("agent_tasks", "task_id"), ("agent_task_events", "task_id")] {
        let directory = TempDir::new().unwrap();
        let store = with_poison(&directory, table, column).await;
        let batch = ["t1", "poison", "t2"].map(new_task);
        let outcomes = store.create_tasks(&batch, 100).await.unwrap();
        assert!(
            matches!(
                &outcomes[..],
                [TaskCreated::New(..), TaskCreated::Refused, TaskCreated::New(..)]
            ),
            "{table}: {outcomes:?}"
        );
        assert_eq!(store.task("poison").await.unwrap(), None);
        assert!(store.task_events("poison", 0, 9).await.unwrap().is_empty());
        assert_eq!(store.task_counts().await.unwrap(), [(TaskState::Submitted, 2)]);
    }
}

#[tokio::test]
async fn a_task_that_cannot_be_read_is_told_as_such() {
    for (set, told) in [
        ("payload = '{'", "payload"),
        ("state = 'asleep'", "asleep"),
        ("delivery = 'pigeon'", "pigeon"),
        ("assignee_account_id = NULL", "for nobody"),
    ] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("agentnet.db");
        let store = crate::sqlite::tests::open_file(&path).await.unwrap();
        store.create_tasks(&[new_task("t")], 100).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("UPDATE agent_tasks SET {set}")))
            .execute(&mut raw(&path).await)
            .await
            .unwrap();
        let error = store.task("t").await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Corrupt(text) if text.contains(told)),
            "{set}: {error:?}"
        );
    }
}
