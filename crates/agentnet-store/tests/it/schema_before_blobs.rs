//! Databases of the versions before blobs keep their members, whose blobs they keep too then; those versions refuse the databases
//! afterwards.

use agentnet_store::contract::sample::at;
use agentnet_store::model::{Blob, BlobShare, MemberState};
use agentnet_store::{OpenOptions, open, sqlite_url};
use agentnet_testkit::Postgres;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::earlier_versions::{POSTGRES, SQLITE};

const MEMBER: &str = "INSERT INTO agent_members (account_id, role, state, nkey, capabilities, created_at) \
     SELECT account_id, 'agent', 'active', 'nkey_1', '[]', CREATED FROM agent_accounts WHERE username = 'alice'";

/// The member of before is there, and has a blob.
async fn the_member_has_a_blob(url: &str) {
    let store = open(url, &OpenOptions::default()).await.unwrap();
    let member = store.member_by_username("alice").await.unwrap().unwrap();
    assert_eq!(
        (member.state, member.nkey.as_deref()),
        (MemberState::Active, Some("nkey_1"))
    );
    let blob = Blob::begun("blob_1".into(), member.account_id, "object".into(), vec![1], at(1));
    assert!(store.begin_blob(&blob).await.unwrap());
    let share = BlobShare {
        blob_id: "blob_1".into(),
        from_account: blob.account_id.clone(),
        receiver: "bob".into(),
    };
    store.share_blobs(std::slice::from_ref(&share)).await.unwrap();
    store.close().await;
    let store = open(url, &OpenOptions::default()).await.unwrap();
    assert_eq!(store.blob("blob_1").await.unwrap(), Some(blob));
    assert_eq!(store.blob_shares("blob_1", 9).await.unwrap(), [share]);
    store.close().await;
}

#[tokio::test]
async fn members_of_a_file_of_schema_9_have_blobs() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agentnet.db");
    let file = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection: SqliteConnection = file.connect().await.unwrap();
    for script in SQLITE {
        sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
    }
    let before = crate::earlier_versions::sqlite(9);
    before.run_direct(None, &mut connection, false).await.unwrap();
    let member = MEMBER.replace("CREATED", "1");
    sqlx::query(sqlx::AssertSqlSafe(member))
        .execute(&mut connection)
        .await
        .unwrap();
    the_member_has_a_blob(&sqlite_url(&path)).await;

    let refused = before.run_direct(None, &mut connection, false).await;
    assert!(matches!(refused, Err(MigrateError::VersionMissing(_))), "{refused:?}");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn members_of_a_postgres_database_of_schema_8_have_blobs() {
    let server = Postgres::launch().await.unwrap();
    let url = server.create_database("schema8").await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for script in POSTGRES {
        sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let before = crate::earlier_versions::postgres(8);
    before.run_direct(None, &mut connection, false).await.unwrap();
    let member = MEMBER.replace("CREATED", "now()");
    sqlx::query(sqlx::AssertSqlSafe(member))
        .execute(&mut connection)
        .await
        .unwrap();
    the_member_has_a_blob(&url).await;

    let refused = before.run_direct(None, &mut connection, false).await;
    assert!(matches!(refused, Err(MigrateError::VersionMissing(_))), "{refused:?}");
    connection.close().await.unwrap();
}
