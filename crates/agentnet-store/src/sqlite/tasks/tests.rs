//! Tests of tasks in SQLite alone: query plans, a row that it refuses, data that cannot be read, and claims that share a
//! transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentnet_protocol::task::TaskState;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{CHILDREN_WITH_CHILDREN, COUNTS, EVENTS, OPEN_CHILDREN, changes, claims, create, page_query, read, write};
use crate::contract::sample::at;
use crate::contract::sample_tasks::{any_task, claim_at, new_task};
use crate::model::{Position, StoredTaskEvent, Task, TaskClaimQuery, TaskCreated, TaskQuery, TaskTarget};
use crate::sqlite::tests::{plan, raw, with_poison};
use crate::sqlite::{DatabaseLocation, SqliteStore};
use crate::store::Tasks as _;
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

/// A claim of the tasks of one account.
fn claim_of(account_id: &str) -> TaskClaimQuery {
    TaskClaimQuery {
        account_id: account_id.to_owned(),
        token: format!("token-{account_id}"),
        ..claim_at(1)
    }
}

/// A store with a task for each of these accounts.
async fn store_with_tasks(directory: &TempDir, accounts: &[&str]) -> Arc<SqliteStore> {
    let location = DatabaseLocation::File {
        path: directory.path().join("agentnet.db"),
        create: true,
    };
    let store = SqliteStore::open(&location, &OpenOptions::default()).await.unwrap();
    let task = |account: &&str| Task {
        target: TaskTarget::Account((*account).to_owned()),
        ..new_task(&format!("task-{account}"))
    };
    let tasks: Vec<Task> = accounts.iter().map(task).collect();
    store.create_tasks(&tasks, 100).await.unwrap();
    Arc::new(store)
}

/// Begins a claim for each account while another transaction writes, the second once the first waits for it.
async fn begin_claims(
    store: &Arc<SqliteStore>,
    accounts: &[&str],
) -> Vec<JoinHandle<Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError>>> {
    let mut claims = Vec::new();
    for (count, account) in accounts.iter().enumerate() {
        let (claiming, query) = (Arc::clone(store), claim_of(account));
        claims.push(tokio::spawn(async move { claiming.claim_tasks(&query).await }));
        while store.claims.waiting_count() <= count {
            tokio::task::yield_now().await;
        }
    }
    claims
}

#[tokio::test]
async fn claims_that_wait_share_a_transaction() {
    let directory = TempDir::new().unwrap();
    let accounts = ["a", "b", "c", "d"];
    let store = store_with_tasks(&directory, &accounts).await;
    let commits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&commits);
    let mut writer = store.write.acquire().await.unwrap();
    writer.lock_handle().await.unwrap().set_commit_hook(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        true
    });
    drop(writer);
    let writing = store.begin_write().await.unwrap();
    let claims = begin_claims(&store, &accounts).await;
    writing.rollback().await.unwrap();
    for (account, claim) in accounts.iter().zip(claims) {
        let claimed = claim.await.unwrap().unwrap();
        let ids: Vec<&str> = claimed.iter().map(|(task, _)| task.task_id.as_str()).collect();
        assert_eq!(ids, [format!("task-{account}")]);
    }
    assert_eq!(commits.load(Ordering::Relaxed), 1, "one transaction for all claims");
}

#[tokio::test]
async fn a_claim_that_fails_does_not_fail_those_that_wait_with_it() {
    let directory = TempDir::new().unwrap();
    let accounts = ["a", "broken", "c"];
    let store = store_with_tasks(&directory, &accounts).await;
    sqlx::query("UPDATE agent_tasks SET payload = '{' WHERE task_id = 'task-broken'")
        .execute(&mut raw(&directory.path().join("agentnet.db")).await)
        .await
        .unwrap();
    let writing = store.begin_write().await.unwrap();
    let claims = begin_claims(&store, &accounts).await;
    writing.rollback().await.unwrap();
    for (account, claim) in accounts.iter().zip(claims) {
        match claim.await.unwrap() {
            Ok(claimed) => assert_eq!((*account != "broken", claimed.len()), (true, 1), "{account}"),
            Err(error) => assert!(
                *account == "broken" && matches!(error, StoreError::Corrupt(_)),
                "{account}: {error:?}"
            ),
        }
    }
}

#[tokio::test]
async fn claims_are_made_though_the_first_caller_goes() {
    let directory = TempDir::new().unwrap();
    let accounts = ["a", "b", "c"];
    let store = store_with_tasks(&directory, &accounts).await;
    let writing = store.begin_write().await.unwrap();
    let mut claims = begin_claims(&store, &accounts).await;
    let first = claims.remove(0);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    writing.rollback().await.unwrap();
    for claim in claims {
        assert_eq!(claim.await.unwrap().unwrap().len(), 1);
    }
    let again = store.claim_tasks(&claim_of("a")).await.unwrap();
    assert_eq!(again.len(), 1, "nobody has claimed what the first caller wanted");
}
