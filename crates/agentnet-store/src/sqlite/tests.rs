//! Tests of SQLite alone: its query plans, and a row that it refuses.

mod visible;

use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tempfile::TempDir;

use super::{SqliteStore, accounts, messages, sessions, threads};
use crate::contract::sample::{any_account, any_message, any_thread, at, message, message_ids};
use crate::model::{AccountQuery, MessageQuery, NewMessage, Position, ThreadQuery};
use crate::store::{Messages as _, Threads as _};
use crate::{OpenOptions, Store, StoreError, open, sqlite_url};

pub(super) async fn open_file(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    open(&sqlite_url(path), &OpenOptions::default()).await
}

pub(super) async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// The plan of a statement, one step a line.
pub(super) async fn plan(store: &SqliteStore, sql: &str) -> String {
    let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::query(sql).fetch_all(&store.read).await.unwrap();
    rows.iter()
        .map(|row| row.get::<String, _>("detail"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn every_page_walks_an_index_in_order() {
    let store = SqliteStore::open(&super::DatabaseLocation::Memory, &OpenOptions::default())
        .await
        .unwrap();
    let some = |value: &str| Some(value.to_owned());
    let before = Some(Position {
        at: at(0),
        id: "x".into(),
    });

    let mut statements = Vec::new();
    for before in [None, before] {
        let base = MessageQuery {
            before: before.clone(),
            ..any_message()
        };
        let bounded = MessageQuery {
            from: Some(at(0)),
            to: Some(at(9)),
            ..base.clone()
        };
        for base in [base, bounded] {
            for (query, index) in [
                (
                    MessageQuery {
                        thread_id: some("t"),
                        ..base.clone()
                    },
                    "idx_agent_messages_thread_sent_msg (thread_id=?",
                ),
                (
                    MessageQuery {
                        thread_id: some("t"),
                        from_account_id: some("a"),
                        kind: some("k"),
                        ..base.clone()
                    },
                    "idx_agent_messages_thread_kind (thread_id=? AND kind=?",
                ),
                (
                    MessageQuery {
                        from_account_id: some("a"),
                        ..base.clone()
                    },
                    "idx_agent_messages_from_account (from",
                ),
                (
                    MessageQuery {
                        from_account_id: some("a"),
                        to_account_id: some("b"),
                        ..base.clone()
                    },
                    "idx_agent_messages_from_to (from_account_id=? AND to_account_id=?",
                ),
                (
                    MessageQuery {
                        to_account_id: some("a"),
                        ..base.clone()
                    },
                    "idx_agent_messages_to_account (to",
                ),
                (
                    MessageQuery {
                        kind: some("k"),
                        ..base.clone()
                    },
                    "idx_agent_messages_kind (kind=?",
                ),
                (base.clone(), "idx_agent_messages_sent_at"),
            ] {
                statements.push((messages::page_query(&query).into_string(), index));
            }
        }
        let base = ThreadQuery {
            before: before.clone(),
            ..any_thread()
        };
        let own = ThreadQuery {
            participant: some("a"),
            text: "x".into(),
            ..base.clone()
        };
        statements.push((threads::page_query(&base).into_string(), "idx_agent_threads_activity"));
        statements.push((
            threads::page_query(&own).into_string(),
            "idx_agent_thread_participants_account (account_id=?",
        ));
    }
    for after_username in [None, some("m")] {
        let base = AccountQuery {
            after_username,
            text: "x".into(),
            ..any_account()
        };
        let capable = AccountQuery {
            capability: some("sum"),
            ..base.clone()
        };
        statements.push((accounts::page_query(&base).into_string(), "idx_agent_accounts_username"));
        statements.push((
            accounts::page_query(&capable).into_string(),
            "SEARCH c USING PRIMARY KEY (capability=?",
        ));
    }
    let participants = threads::participants_query(["a", "b"].into_iter()).into_string();
    statements.push((
        participants,
        "SEARCH agent_thread_participants USING PRIMARY KEY (thread_id=?)",
    ));
    statements.push((sessions::BY_TAG.into(), "(session_tag=?)"));
    statements.push((sessions::ALL_ONLINE.into(), "idx_agent_sessions_status (status=?)"));
    statements.push((
        sessions::PRUNE.into(),
        "idx_agent_sessions_offline (status=? AND <expr><?)",
    ));
    statements.push((
        threads::PRUNE_MESSAGES.into(),
        "idx_agent_messages_thread_sent_msg (thread_id=?)",
    ));
    statements.push((
        threads::PRUNE_PARTICIPANTS.into(),
        "agent_thread_participants USING PRIMARY KEY (thread_id=?)",
    ));
    statements.push((
        threads::PRUNE_VIEWS.into(),
        "agent_thread_views USING PRIMARY KEY (thread_id=?)",
    ));
    statements.push((
        threads::PRUNE_THREADS.into(),
        "idx_agent_threads_updated (updated_at<?)",
    ));

    for (sql, index) in statements {
        walks_in_order(&store, &sql, &[index]).await;
    }
}

/// Whether a statement finds its rows by these indexes, in their order, and scans no table.
async fn walks_in_order(store: &SqliteStore, sql: &str, indexes: &[&str]) {
    let plan = plan(store, sql).await;
    for index in indexes {
        assert!(plan.contains(index), "{sql}\nshould use {index}, but:\n{plan}");
    }
    assert!(!plan.contains("TEMP B-TREE"), "{sql}\nsorts:\n{plan}");
    for step in plan.lines().filter(|step| step.starts_with("SCAN")) {
        assert!(step.contains("INDEX"), "{sql}\nscans a table:\n{plan}");
    }
}

#[tokio::test]
async fn page_ends_narrow_the_index_and_are_not_filtered_after_it() {
    let store = SqliteStore::open(&super::DatabaseLocation::Memory, &OpenOptions::default())
        .await
        .unwrap();
    let before = Some(Position {
        at: at(0),
        id: "x".into(),
    });
    let query = MessageQuery {
        thread_id: Some("t".into()),
        before,
        ..any_message()
    };
    let plan = plan(&store, &messages::page_query(&query).into_string()).await;
    assert!(plan.contains("(thread_id=? AND (sent_at,message_id)<(?,?))"), "{plan}");
}

/// A trigger stands for whatever makes SQLite refuse one row.
pub(super) async fn with_poison(directory: &TempDir, table: &str, column: &str) -> Arc<dyn Store> {
    let path = directory.path().join("agentnet.db");
    let store = open_file(&path).await.unwrap();
    let trigger = format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN NEW.{column} LIKE 'poison%' \
         BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
    );
    sqlx::query(AssertSqlSafe(trigger))
        .execute(&mut raw(&path).await)
        .await
        .unwrap();
    store
}

#[tokio::test]
async fn a_refused_message_does_not_stop_the_others() {
    let directory = TempDir::new().unwrap();
    let store = with_poison(&directory, "agent_messages", "message_id").await;
    let mut batch: Vec<NewMessage> = (0..200)
        .map(|n| message(&format!("m{n:03}"), &format!("t{}", n % 3), n))
        .collect();
    for place in [0, 70, 71, 199] {
        batch[place].message.message_id = format!("poison{place}");
        batch[place].message.thread_id = format!("own{place}");
    }
    batch[150].message.message_id = "m001".into();
    let appended = store.append_messages(&batch).await.unwrap();
    assert_eq!((appended.stored, appended.duplicates), (195, 1));
    let refused: Vec<&str> = appended
        .refused
        .iter()
        .map(|refused| refused.message_id.as_str())
        .collect();
    assert_eq!(refused, ["poison0", "poison70", "poison71", "poison199"]);
    assert!(
        appended
            .refused
            .iter()
            .all(|refused| refused.reason.contains("poisoned")),
        "{appended:?}"
    );

    let mut counted = 0;
    for thread in ["t0", "t1", "t2"] {
        counted += store.thread(thread, None).await.unwrap().unwrap().message_count;
    }
    assert_eq!(counted, 195);
    assert_eq!(
        store.thread("own70", None).await.unwrap(),
        None,
        "a refused message leaves no thread behind"
    );
    let all = MessageQuery {
        limit: 1_000,
        ..any_message()
    };
    assert_eq!(message_ids(&*store, &all).await.len(), 195);
}

#[tokio::test]
async fn a_message_whose_thread_is_refused_is_not_stored() {
    let directory = TempDir::new().unwrap();
    let store = with_poison(&directory, "agent_threads", "thread_id").await;
    let batch = [message("m1", "t", 1), message("m2", "poison", 2), message("m3", "t", 3)];
    let appended = store.append_messages(&batch).await.unwrap();
    assert_eq!((appended.stored, appended.refused.len()), (2, 1));
    assert_eq!(message_ids(&*store, &any_message()).await, ["m3", "m1"]);
}

#[tokio::test]
async fn data_that_cannot_be_read_is_told_as_such() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agentnet.db");
    let store = open_file(&path).await.unwrap();
    store.append_messages(&[message("m", "t", 1)]).await.unwrap();
    sqlx::query("UPDATE agent_messages SET payload = '{'")
        .execute(&mut raw(&path).await)
        .await
        .unwrap();
    let error = store.messages(&any_message()).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt(text) if text.contains("payload")),
        "{error:?}"
    );
}

/// A full disk ends SQLite's transaction behind sqlx's back: the connection must not be used again.
#[tokio::test]
async fn a_file_that_was_full_is_written_again_once_there_is_room() {
    let directory = TempDir::new().unwrap();
    let place = super::DatabaseLocation::parse(&sqlite_url(&directory.path().join("a.db"))["sqlite:".len()..]).unwrap();
    let store = SqliteStore::open(&place, &OpenOptions::default()).await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&store.write)
        .await
        .unwrap();
    let limit = AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 20));
    sqlx::query(limit).execute(&store.write).await.unwrap();
    let batch: Vec<NewMessage> = (0..500)
        .map(|number| message(&format!("m{number}"), "t", number))
        .collect();
    let error = store.append_messages(&batch).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    sqlx::query("PRAGMA max_page_count = 1000000")
        .execute(&store.write)
        .await
        .unwrap();
    let appended = store.append_messages(&batch).await.unwrap();
    assert_eq!((appended.stored, appended.refused), (batch.len(), Vec::new()));
    assert_eq!(store.thread("t", None).await.unwrap().unwrap().message_count, 500);
}

/// SQLite writes on into a file that has no name any more.
#[tokio::test]
async fn a_file_that_is_removed_or_replaced_takes_nothing_more() {
    for ending in ["", "-wal", "-shm"] {
        for replaced in [false, true] {
            let directory = TempDir::new().unwrap();
            let path = directory.path().join("agentnet.db");
            let store = open_file(&path).await.unwrap();
            store.append_messages(&[message("kept", "t", 1)]).await.unwrap();
            store.ping().await.unwrap();

            let file = directory.path().join(format!("agentnet.db{ending}"));
            std::fs::rename(&file, directory.path().join("elsewhere")).unwrap();
            if replaced {
                std::fs::copy(directory.path().join("elsewhere"), &file).unwrap();
            }
            let outcomes = [
                store.ping().await,
                store.check_writable().await,
                store.append_messages(&[message("lost", "t", 2)]).await.map(drop),
                store.touch_sessions(&[]).await,
                store.prune_sessions(at(0)).await.map(drop),
            ];
            for outcome in outcomes {
                let error = outcome.unwrap_err();
                assert!(
                    matches!(&error, StoreError::Gone(text) if text.contains(&file.display().to_string())),
                    "{error:?}"
                );
            }
        }
    }
}
