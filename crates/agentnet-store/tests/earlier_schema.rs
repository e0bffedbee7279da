//! A SQLite file that an earlier version wrote is opened, brought up to date, and then left alone by that version.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use agentnet_protocol::Timestamp;
use agentnet_store::contract::sample::{any_message, message_ids};
use agentnet_store::model::{MessageQuery, Registry};
use agentnet_store::{OpenOptions, open, sqlite_url};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

const SCHEMA_4: &str = include_str!("schema4.sql");

#[tokio::test]
async fn a_file_of_schema_4_keeps_what_it_holds() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agentnet.db");
    let file = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection: SqliteConnection = file.connect().await.unwrap();
    sqlx::raw_sql(SCHEMA_4).execute(&mut connection).await.unwrap();

    let store = open(&sqlite_url(&path), &OpenOptions::default()).await.unwrap();
    let alice = store.account_by_username("alice").await.unwrap().unwrap();
    assert_eq!(alice.account_id, "acct_01m8k3af6bfr2a85ajwbz40c33");
    let thread = store.thread("t1").await.unwrap().unwrap();
    assert_eq!((thread.message_count, thread.participants.len()), (3, 2));
    let of_thread = MessageQuery {
        thread_id: Some("t1".into()),
        ..any_message()
    };
    assert_eq!(message_ids(&*store, &of_thread).await.len(), 3);

    let database_id = store.database_id().await.unwrap();
    assert_eq!(database_id.len(), 32);
    let registry = Registry {
        number: 7,
        server_id: "r".into(),
        announce_key: "key".into(),
        beat_at: Timestamp::from_micros(1),
    };
    store.put_registry(&registry).await.unwrap();
    store.close().await;

    let store = open(&sqlite_url(&path), &OpenOptions::default()).await.unwrap();
    assert_eq!(store.database_id().await.unwrap(), database_id);
    assert_eq!(store.registries(Timestamp::from_micros(0)).await.unwrap(), [registry]);
    store.close().await;

    // By this number a program that knows less refuses the file.
    let newest: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(newest > 4, "{newest}");
    connection.close().await.unwrap();
}
