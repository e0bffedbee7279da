//! A database that an earlier version wrote is opened, brought up to date, and then left alone by that version.

use agentnet_protocol::Timestamp;
use agentnet_store::contract::sample::{
    any_account, any_message, any_thread, message, message_ids, requested, usernames,
};
use agentnet_store::model::{AccountQuery, MessageQuery, Registry, ThreadQuery};
use agentnet_store::{OpenOptions, open, sqlite_url};
use agentnet_testkit::Postgres;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

const SCHEMA_4: &str = include_str!("../schema4.sql");
const POSTGRES_SCHEMA_3: &str = include_str!("../postgres_schema3.sql");

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
    let thread = store.thread("t1", None).await.unwrap().unwrap();
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
        nkey: None,
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

#[tokio::test]
async fn what_it_holds_above_a_bound_loads_and_is_listed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agentnet.db");
    let file = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection: SqliteConnection = file.connect().await.unwrap();
    sqlx::raw_sql(SCHEMA_4).execute(&mut connection).await.unwrap();
    let long = "n".repeat(900_000);
    let change = async |connection: &mut SqliteConnection, set: &str, value: String| {
        let sql = format!("UPDATE agent_accounts SET {set} = ? WHERE username = 'alice'");
        let changed = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(value)
            .execute(connection)
            .await;
        assert_eq!(changed.unwrap().rows_affected(), 1);
    };
    let many = serde_json::to_string(&vec!["c"; 90_000]).unwrap();
    for (column, value, within, exceeded) in [
        (
            "display_name",
            long.clone(),
            "Alice".to_owned(),
            "name has 900000 bytes; at most 256 are allowed",
        ),
        (
            "capabilities",
            many,
            "[]".to_owned(),
            "capabilities has 90000 entries; at most 64 are allowed",
        ),
        (
            "capabilities",
            format!(r#"["{}"]"#, &long[..129]),
            "[]".to_owned(),
            "capability has 129 bytes; at most 128 are allowed",
        ),
        (
            "metadata",
            format!(r#"{{"n":"{long}"}}"#),
            "{}".to_owned(),
            "metadata has 900008 bytes; at most 65536 are allowed",
        ),
    ] {
        change(&mut connection, column, value).await;
        let store = open(&sqlite_url(&path), &OpenOptions::default()).await.unwrap();
        assert!(store.account_by_username("alice").await.unwrap().is_some());
        let listed = store.oversized_accounts(65536, 9).await.unwrap();
        let told: Vec<_> = listed
            .iter()
            .map(|one| (one.username.as_str(), one.exceeded.to_string()))
            .collect();
        assert_eq!(told, [("alice", exceeded.to_owned())], "{column}");
        store.close().await;
        change(&mut connection, column, within).await;
    }
    connection.close().await.unwrap();
}

/// A database of a newer schema version is refused, with the reason.
async fn a_newer_schema_is_refused(server: &Postgres) {
    let url = server.url();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let newest: i64 = sqlx::query_scalar("SELECT max(version) FROM agentnet_schema_versions")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(newest > 3, "{newest}");
    connection.close().await.unwrap();
    let later = newest + 1;
    server
        .execute(&format!(
            "INSERT INTO agentnet_schema_versions VALUES ({later}, 'later', now(), true, '\\x00', 1)"
        ))
        .await
        .unwrap();
    let refused = open(&url, &OpenOptions::default()).await.err().unwrap().to_string();
    let reason = format!("was written by a newer version of agentnet (schema {later}, this one knows {newest})");
    assert!(refused.contains(&reason), "{refused}");
}

#[tokio::test]
async fn a_postgres_database_of_schema_3_keeps_what_it_holds() {
    let server = Postgres::launch().await.unwrap();
    server.execute(POSTGRES_SCHEMA_3).await.unwrap();
    let url = server.url();

    let store = open(&url, &OpenOptions::default()).await.unwrap();
    let alice = store.account_by_username("alice").await.unwrap().unwrap();
    assert_eq!(alice.account_id, "acct_01m8kjmzs3dh87ttz3t98spr64");
    assert_eq!(
        (alice.display_name.as_str(), alice.metadata.get()),
        ("Alice Ärger", r#"{"team":"réd"}"#)
    );
    let capability = AccountQuery {
        capability: Some("SUM".into()),
        ..any_account()
    };
    assert_eq!(usernames(&*store, &capability).await, ["alice", "bob"]);
    let text = AccountQuery {
        text: "äRG".into(),
        ..any_account()
    };
    assert_eq!(usernames(&*store, &text).await, ["alice"]);
    let online = store.online_sessions().await.unwrap();
    let online: Vec<_> = online.iter().map(|session| session.agent_id.as_str()).collect();
    assert_eq!(online, ["alice_agent", "bob_agent"]);

    let thread = store.thread("t1", None).await.unwrap().unwrap();
    assert_eq!(
        (thread.message_count, thread.byte_count, thread.latest_checkpoint_end),
        (4, 109, 2)
    );
    let of_thread = MessageQuery {
        thread_id: Some("t1".into()),
        ..any_message()
    };
    assert_eq!(message_ids(&*store, &of_thread).await, ["m4", "m3", "m2", "m1"]);
    let first = store.messages(&of_thread).await.unwrap().items.pop().unwrap();
    assert_eq!(
        (first.payload.get(), first.ttl_ms.as_deref(), first.from_agent.as_str()),
        (r#"{"text":"héllo"}"#, Some("30000"), "x")
    );

    // What was written goes on.
    assert_eq!(
        store.claim_account(&requested("alice")).await.unwrap().account_id,
        alice.account_id
    );
    assert_eq!(
        store
            .append_messages(&[message("m5", "t1", 5)])
            .await
            .unwrap()
            .refused
            .len(),
        0
    );
    assert_eq!(store.thread("t1", None).await.unwrap().unwrap().message_count, 5);
    let threads = ThreadQuery {
        participant: Some(alice.account_id),
        ..any_thread()
    };
    assert_eq!(store.threads(&threads).await.unwrap().items.len(), 1);
    let database_id = store.database_id().await.unwrap();
    assert_eq!(database_id.len(), 32);
    store.close().await;

    let store = open(&url, &OpenOptions::default()).await.unwrap();
    assert_eq!(store.database_id().await.unwrap(), database_id);
    store.close().await;

    a_newer_schema_is_refused(&server).await;
}
