//! Databases of the versions before the ends of messages were noted keep their mailboxes; those versions refuse them afterwards.

use agentnet_protocol::mailbox::{MailboxOutcome, MailboxState};
use agentnet_store::contract::sample::{at, end, lease, mailbox, queued, roomy};
use agentnet_store::model::{LeaseEnded, MailboxChoice, PutOutcome};
use agentnet_store::{OpenOptions, Store, open, sqlite_url};
use agentnet_testkit::Postgres;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::earlier_versions::{POSTGRES, SQLITE};

/// What a registry of those versions wrote: messages that are leased, delivered and dead, and the number 99 for one that was
/// deleted since. The first message of the mailbox of `acct_m` waits.
const SQLITE_ROWS: &str = "\
    INSERT INTO agent_mailbox (seq, account_id, message_id, from_account_id, thread_id, kind, bytes, ack, state, attempts, \
    available_at, lease, lease_until, lease_session, queued_at, expires_at, done_at, body) VALUES \
    (11, 'acct_m', 'leased', 'acct_a', 't1', 'direct', 10, 'accepted', 'leased', 1, 1780000000000000, 'tok-11', \
    1780000010000000, 'tag', 1780000000000000, 1780001000000000, NULL, '{\"b\": 1.0}'), \
    (12, 'acct_m', 'waiting', 'acct_c', 't1', 'direct', 10, 'accepted', 'queued', 0, 1780000000000000, NULL, NULL, NULL, \
    1780000000000000, 1780001000000000, NULL, '{\"b\": 1.0}'), \
    (13, 'acct_m', 'done', 'acct_a', 't1', 'direct', 10, 'accepted', 'done', 1, 1780000000000000, NULL, NULL, NULL, \
    1780000000000000, 1780500000000000, 1780000001000000, ''), \
    (14, 'acct_m', 'dead', 'acct_a', 't1', 'direct', 10, 'accepted', 'dead', 1, 1780000000000000, NULL, NULL, NULL, \
    1780000000000000, 1780001000000000, 1780000001000000, '{\"b\": 1.0}'), \
    (99, 'acct_m', 'deleted', 'acct_a', 't1', 'direct', 10, 'accepted', 'queued', 0, 1780000000000000, NULL, NULL, NULL, \
    1780000000000000, 1780001000000000, NULL, '{\"b\": 1.0}'); \
    DELETE FROM agent_mailbox WHERE seq = 99; \
    INSERT INTO agent_mailbox_accounts (account_id, messages, bytes) VALUES ('acct_m', 2, 30); \
    UPDATE agent_mailbox_accounts SET messages = 3, bytes = 40 WHERE account_id = '';";
const POSTGRES_ROWS: &str = "\
    INSERT INTO agent_mailbox (seq, account_id, message_id, from_account_id, thread_id, kind, bytes, ack, state, attempts, \
    available_at, lease, lease_until, lease_session, queued_at, expires_at, done_at, body) \
    SELECT seq, 'acct_m', message_id, from_account_id, 't1', 'direct', 10, 'accepted', state, attempts, to_timestamp(1780000000), \
    lease, to_timestamp(lease_until), lease_session, to_timestamp(1780000000), to_timestamp(expires_at), to_timestamp(done_at), \
    body FROM (VALUES \
    (11, 'leased', 'acct_a', 'leased', 1, 'tok-11', 1780000010, 'tag', 1780001000, NULL::bigint, '{\"b\": 1.0}'), \
    (12, 'waiting', 'acct_c', 'queued', 0, NULL, NULL, NULL, 1780001000, NULL, '{\"b\": 1.0}'), \
    (13, 'done', 'acct_a', 'done', 1, NULL, NULL, NULL, 1780500000, 1780000001, ''), \
    (14, 'dead', 'acct_a', 'dead', 1, NULL, NULL, NULL, 1780001000, 1780000001, '{\"b\": 1.0}')) AS rows (seq, message_id, \
    from_account_id, state, attempts, lease, lease_until, lease_session, expires_at, done_at, body); \
    SELECT setval('agent_mailbox_seq_seq', 99); \
    INSERT INTO agent_mailbox_accounts (account_id, messages, bytes) VALUES ('acct_m', 2, 30); \
    UPDATE agent_mailbox_accounts SET messages = 3, bytes = 40 WHERE account_id = '';";

/// What was in the mailbox still is, and goes on.
async fn the_mailbox_goes_on(url: &str) {
    let store = open(url, &OpenOptions::default()).await.unwrap();
    let counts = store.mailbox_counts(Some("acct_m")).await.unwrap();
    assert_eq!((counts.queued, counts.leased, counts.dead, counts.bytes), (1, 1, 1, 30));
    let done = [end("tok-11", MailboxOutcome::Done)];
    let ended = store.end_leases("acct_m", "tag", &done, at(5), 3).await.unwrap();
    assert!(matches!(&ended[..], [LeaseEnded::Done(_)]), "{ended:?}");
    // Nobody is told of an end of the time before.
    assert!(store.untold_ends(at(9_000), at(9_000), 9).await.unwrap().is_empty());
    // A delivered message is remembered as long as it could be put in again.
    let day = 24 * 60 * 60;
    assert_eq!(store.prune_mailboxes(at(2 * day), at(-1), 9).await.unwrap(), 1);
    let known = store
        .put_messages(&[queued("done", "acct_a", "acct_m")], &roomy())
        .await
        .unwrap();
    assert!(
        matches!(
            known[..],
            [PutOutcome::Known {
                state: MailboxState::Done,
                ..
            }]
        ),
        "{known:?}"
    );
    assert_eq!(store.prune_mailboxes(at(500_000), at(-1), 9).await.unwrap(), 1);
    // Numbers are not given twice.
    store
        .put_messages(&[queued("new", "acct_a", "acct_m")], &roomy())
        .await
        .unwrap();
    let all = MailboxChoice::State(MailboxState::Dead, 9);
    store.requeue_messages("acct_m", &all, at(6), &roomy()).await.unwrap();
    let rows = store.mailbox_messages(&mailbox("acct_m")).await.unwrap().items;
    let rows: Vec<_> = rows.iter().map(|row| (row.message_id.as_str(), row.seq)).collect();
    assert_eq!(rows, [("waiting", 12), ("new", 100), ("dead", 101)]);
    delivered(&*store).await;
    store.close().await;
}

async fn delivered(store: &dyn Store) {
    let leased = store.lease_messages(&lease("acct_m", 20)).await.unwrap().messages;
    let ends: Vec<_> = leased.iter().map(|row| end(&row.lease, MailboxOutcome::Done)).collect();
    let ended = store.end_leases("acct_m", "tag", &ends, at(21), 3).await.unwrap();
    assert_eq!(ended.len(), 3);
    assert!(
        ended.iter().all(|ended| matches!(ended, LeaseEnded::Done(_))),
        "{ended:?}"
    );
    assert_eq!(store.mailbox_counts(Some("acct_m")).await.unwrap().bytes, 0);
}

#[tokio::test]
async fn a_file_of_schema_7_keeps_its_mailboxes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agentnet.db");
    let file = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection: SqliteConnection = file.connect().await.unwrap();
    for script in SQLITE {
        sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
    }
    let before = crate::earlier_versions::sqlite(7);
    before.run_direct(None, &mut connection, false).await.unwrap();
    sqlx::raw_sql(SQLITE_ROWS).execute(&mut connection).await.unwrap();
    the_mailbox_goes_on(&sqlite_url(&path)).await;

    let refused = before.run_direct(None, &mut connection, false).await;
    assert!(matches!(refused, Err(MigrateError::VersionMissing(8))), "{refused:?}");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_postgres_database_of_schema_6_keeps_its_mailboxes() {
    let server = Postgres::launch().await.unwrap();
    let url = server.create_database("schema6").await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for script in POSTGRES {
        sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    crate::earlier_versions::postgres(6)
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();
    sqlx::raw_sql(POSTGRES_ROWS).execute(&mut connection).await.unwrap();
    the_mailbox_goes_on(&url).await;

    let refused = crate::earlier_versions::postgres(6)
        .run_direct(None, &mut connection, false)
        .await;
    assert!(matches!(refused, Err(MigrateError::VersionMissing(7))), "{refused:?}");
    connection.close().await.unwrap();
}
