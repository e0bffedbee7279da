//! Databases of the versions before the mailbox are opened and keep messages; those versions refuse them afterwards.

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::MailboxOutcome;
use agentnet_store::contract::sample::{at, end, lease, mailbox, queued, roomy};
use agentnet_store::model::{LeaseEnded, MailboxCounts, PutOutcome, Registry};
use agentnet_store::{OpenOptions, Store, open, sqlite_url};
use agentnet_testkit::Postgres;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::earlier_versions::{POSTGRES, SQLITE};

/// The account of both databases, which is older than the mailbox.
const ALICE: &str = "alice";

/// What was there still is, and a message goes through the mailbox, over a restart.
async fn a_mailbox_works(url: &str, has_registry: bool) {
    let store = open(url, &OpenOptions::default()).await.unwrap();
    let alice = store.account_by_username(ALICE).await.unwrap().unwrap().account_id;
    let thread = store.thread("t1", None).await.unwrap().unwrap();
    let database_id = store.database_id().await.unwrap();
    if has_registry {
        assert_eq!(database_id, "5b0c1a83f2d04e6f9a7c8d1e2f304152");
        let registry = Registry {
            nkey: None,
            number: 7,
            server_id: "registry".into(),
            announce_key: "key".into(),
            beat_at: Timestamp::parse("2026-12-02T09:14:07Z").unwrap(),
        };
        assert_eq!(store.registries(registry.beat_at).await.unwrap(), [registry]);
    }
    assert_eq!(store.mailbox_counts(None).await.unwrap(), MailboxCounts::default());
    let new = queued("m", "acct_a", &alice);
    let outcomes = store.put_messages(std::slice::from_ref(&new), &roomy()).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Queued { position: 0 }]);
    store.close().await;

    let store = open(url, &OpenOptions::default()).await.unwrap();
    assert_eq!(store.database_id().await.unwrap(), database_id);
    assert_eq!(store.thread("t1", None).await.unwrap().unwrap(), thread);
    delivered(&*store, &alice, &new.body).await;
    store.close().await;
}

async fn delivered(store: &dyn Store, account_id: &str, body: &str) {
    let leased = store.lease_messages(&lease(account_id, 1)).await.unwrap().messages;
    assert_eq!((leased.len(), leased[0].body.as_str()), (1, body));
    let done = end(&leased[0].lease, MailboxOutcome::Done);
    let ended = store.end_leases(account_id, "tag", &[done], at(2), 3).await.unwrap();
    assert!(matches!(&ended[..], [LeaseEnded::Done(_)]), "{ended:?}");
    assert_eq!(
        store.mailbox_messages(&mailbox(account_id)).await.unwrap().items.len(),
        1
    );
}

#[tokio::test]
async fn files_of_earlier_schemas_get_a_mailbox() {
    for scripts in [&SQLITE[..1], &SQLITE[..2]] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("agentnet.db");
        let file = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection: SqliteConnection = file.connect().await.unwrap();
        for script in scripts {
            sqlx::raw_sql(*script).execute(&mut connection).await.unwrap();
        }
        if scripts.len() == 2 {
            // The fixture is what that version takes for its own.
            crate::earlier_versions::sqlite(5)
                .run_direct(None, &mut connection, false)
                .await
                .unwrap();
        }
        a_mailbox_works(&sqlite_url(&path), scripts.len() == 2).await;

        let refused = crate::earlier_versions::sqlite(5)
            .run_direct(None, &mut connection, false)
            .await;
        assert!(matches!(refused, Err(MigrateError::VersionMissing(6))), "{refused:?}");
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn postgres_databases_of_earlier_schemas_get_a_mailbox() {
    let server = Postgres::launch().await.unwrap();
    for (name, scripts) in [("schema3", &POSTGRES[..1]), ("schema4", &POSTGRES[..2])] {
        let url = server.create_database(name).await.unwrap();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        for script in scripts {
            sqlx::raw_sql(*script).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        if scripts.len() == 2 {
            crate::earlier_versions::postgres(4)
                .run_direct(None, &mut connection, false)
                .await
                .unwrap();
        }
        a_mailbox_works(&url, scripts.len() == 2).await;

        let refused = crate::earlier_versions::postgres(4)
            .run_direct(None, &mut connection, false)
            .await;
        assert!(matches!(refused, Err(MigrateError::VersionMissing(5))), "{refused:?}");
        connection.close().await.unwrap();
    }
}
