//! Databases of the versions before tasks are opened and keep tasks; those versions refuse them afterwards.

use agentnet_protocol::mailbox::MailboxState;
use agentnet_protocol::task::TaskState;
use agentnet_store::contract::sample::{at, lease, leased_ids, mailbox, queued, roomy};
use agentnet_store::contract::sample_tasks::{change, claim_at, claimed, create, event_kinds, finish_of, new_task};
use agentnet_store::{OpenOptions, open, sqlite_url};
use agentnet_testkit::Postgres;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::earlier_versions::{POSTGRES, SQLITE};

/// What was there still is, and a task is done, over a restart.
async fn tasks_work(url: &str) {
    let store = open(url, &OpenOptions::default()).await.unwrap();
    assert_eq!(store.database_id().await.unwrap(), "5b0c1a83f2d04e6f9a7c8d1e2f304152");
    let alice = store.account_by_username("alice").await.unwrap().unwrap().account_id;
    let thread = store.thread("t1", None).await.unwrap().unwrap();
    let waiting = store.mailbox_messages(&mailbox(&alice)).await.unwrap().items;
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (waiting[0].message_id.as_str(), waiting[0].state),
        ("m_kept", MailboxState::Queued)
    );
    create(&*store, &[new_task("task_1"), new_task("task_2")]).await;
    let task = claimed(&*store, &claim_at(1)).await.remove(0);
    store.close().await;

    let store = open(url, &OpenOptions::default()).await.unwrap();
    assert_eq!(store.thread("t1", None).await.unwrap().unwrap(), thread);
    assert_eq!(store.task("task_1").await.unwrap(), Some(task.clone()));
    let (done, _) = change(&*store, "task_1", finish_of(&task, "f", TaskState::Completed), 2).await;
    assert_eq!(done.state, TaskState::Completed);
    assert_eq!(event_kinds(&*store, "task_1").await.len(), 3);
    // The mailbox goes on, and numbers its messages behind those that it had.
    let new = queued("m_new", "acct_b", &alice);
    store.put_messages(&[new], &roomy()).await.unwrap();
    assert_eq!(leased_ids(&*store, &lease(&alice, 3)).await, ["m_kept", "m_new"]);
    assert_eq!(store.prune_tasks(at(3), 9).await.unwrap(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_file_of_schema_6_gets_tasks() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agentnet.db");
    let file = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection: SqliteConnection = file.connect().await.unwrap();
    for script in SQLITE {
        sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
    }
    // The fixture is what that version takes for its own.
    let before = crate::earlier_versions::sqlite(6);
    before.run_direct(None, &mut connection, false).await.unwrap();
    tasks_work(&sqlite_url(&path)).await;

    let refused = before.run_direct(None, &mut connection, false).await;
    assert!(matches!(refused, Err(MigrateError::VersionMissing(7))), "{refused:?}");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_postgres_database_of_schema_5_gets_tasks() {
    let server = Postgres::launch().await.unwrap();
    let url = server.create_database("schema5").await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for script in POSTGRES {
        sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    crate::earlier_versions::postgres(5)
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();
    tasks_work(&url).await;

    let refused = crate::earlier_versions::postgres(5)
        .run_direct(None, &mut connection, false)
        .await;
    assert!(matches!(refused, Err(MigrateError::VersionMissing(6))), "{refused:?}");
    connection.close().await.unwrap();
}
