//! Databases of the versions before the secure mode keep their history, which gets members; those versions refuse them afterwards.

use agentnet_store::contract::sample::{any_message, any_thread, at, enrol, invited, message, message_ids, thread_ids};
use agentnet_store::model::{MemberState, MessageQuery, ThreadQuery};
use agentnet_store::{OpenOptions, open, sqlite_url};
use agentnet_testkit::Postgres;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::earlier_versions::{POSTGRES, SQLITE};

/// What was there still is, without issuers; an account of then becomes a member, and sees what it was sent.
async fn the_history_gets_members(url: &str) {
    let store = open(url, &OpenOptions::default()).await.unwrap();
    let alice = store.account_by_username("alice").await.unwrap().unwrap();
    let thread = store.thread("t1", None).await.unwrap().unwrap();
    let of_thread = MessageQuery {
        thread_id: Some("t1".into()),
        ..any_message()
    };
    let messages = store.messages(&of_thread).await.unwrap().items;
    assert_eq!(i64::try_from(messages.len()).unwrap(), thread.message_count);
    assert!(messages.iter().all(|message| message.issuer.is_none()));
    assert!(store.live_invites(at(0)).await.unwrap().is_empty());

    let member = invited(&*store, "alice", "inv_1").await;
    assert_eq!(member.account_id, alice.account_id);
    enrol(&*store, "inv_1", &alice.account_id, "nkey_a").await;
    let visible = MessageQuery {
        visible_to: Some(alice.account_id.clone()),
        ..of_thread.clone()
    };
    let received: Vec<String> = messages
        .iter()
        .filter(|message| message.to_account_id.as_deref() == Some(&alice.account_id))
        .map(|message| message.message_id.clone())
        .collect();
    assert!(!received.is_empty() && received.len() < messages.len());
    assert_eq!(message_ids(&*store, &visible).await, received);
    assert_eq!(store.thread("t1", Some(&alice.account_id)).await.unwrap(), None);

    let mut new = message("m_issued", "t1", 900_000_000);
    new.message.from_account_id = Some(alice.account_id.clone());
    new.message.issuer = Some(alice.account_id.clone());
    assert_eq!(store.append_messages(&[new]).await.unwrap().stored, 1);
    store.close().await;

    let store = open(url, &OpenOptions::default()).await.unwrap();
    let member = store.member_by_username("alice").await.unwrap().unwrap();
    assert_eq!(member.state, MemberState::Active);
    let seen = message_ids(&*store, &visible).await;
    assert_eq!((seen.len(), seen[0].as_str()), (received.len() + 1, "m_issued"));
    let threads = ThreadQuery {
        visible_to: Some(alice.account_id.clone()),
        ..any_thread()
    };
    assert_eq!(thread_ids(&*store, &threads).await, ["t1"]);
    let seen = store.thread("t1", Some(&alice.account_id)).await.unwrap().unwrap();
    assert_eq!(seen.message_count, 1);
    let whole = store.thread("t1", None).await.unwrap().unwrap();
    assert_eq!(whole.message_count, thread.message_count + 1);
    store.close().await;
}

#[tokio::test]
async fn a_file_of_schema_8_gets_members() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agentnet.db");
    let file = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection: SqliteConnection = file.connect().await.unwrap();
    for script in SQLITE {
        sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
    }
    let before = crate::earlier_versions::sqlite(8);
    before.run_direct(None, &mut connection, false).await.unwrap();
    the_history_gets_members(&sqlite_url(&path)).await;

    let refused = before.run_direct(None, &mut connection, false).await;
    assert!(matches!(refused, Err(MigrateError::VersionMissing(9))), "{refused:?}");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_postgres_database_of_schema_7_gets_members() {
    let server = Postgres::launch().await.unwrap();
    let url = server.create_database("schema7").await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for script in POSTGRES {
        sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let before = crate::earlier_versions::postgres(7);
    before.run_direct(None, &mut connection, false).await.unwrap();
    the_history_gets_members(&url).await;

    let refused = before.run_direct(None, &mut connection, false).await;
    assert!(matches!(refused, Err(MigrateError::VersionMissing(8))), "{refused:?}");
    connection.close().await.unwrap();
}
