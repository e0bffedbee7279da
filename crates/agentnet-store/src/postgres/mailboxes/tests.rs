//! Tests of mailboxes in PostgreSQL alone: query plans, rows that it refuses, and locks.

use std::sync::Arc;
use std::time::Duration;

use agentnet_testkit::{Postgres, eventually_true};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::{ACCOUNTS, changes, ends, leases, page_query, put};
use crate::StoreError;
use crate::contract::sample::{any_message, lease, mailbox, message_ids, queued, roomy};
use crate::model::{NewQueued, PutOutcome};
use crate::postgres::tests::{POISON, opened, plan, run};

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn pages_and_sweeps_walk_an_index() {
    let server = Postgres::launch().await.unwrap();
    opened(&server).await.close().await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    for (sql, index) in [
        (page_query(&mailbox("a")).into_string(), "idx_agent_mailbox_account"),
        (leases::CANDIDATES.into(), "idx_agent_mailbox_account"),
        (ACCOUNTS.into(), "agent_mailbox_accounts_pkey"),
        (changes::FIND_EXPIRED.into(), "idx_agent_mailbox_expires"),
        (changes::FIND_OLD.into(), "idx_agent_mailbox_done"),
        (changes::FIND_OLD.into(), "idx_agent_mailbox_forget"),
        (leases::ALONE.into(), "idx_agent_mailbox_alone"),
        (put::DEAD.into(), "idx_agent_mailbox_account"),
        (ends::UNTOLD.into(), "idx_agent_mailbox_untold"),
    ] {
        let plan = plan(&mut connection, &sql).await;
        assert!(plan.contains(index), "{sql}\nshould use {index}, but:\n{plan}");
        assert!(!plan.contains("Sort  "), "{sql}\nsorts:\n{plan}");
    }
}

/// The other messages of the call are kept, and are counted; nothing is left of the refused one.
#[tokio::test]
async fn a_refused_message_does_not_stop_the_others() {
    let server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    run(&server, POISON).await;
    let mut batch: Vec<NewQueued> = (0..5)
        .map(|index| queued(&format!("m{index}"), "acct_a", "acct_b"))
        .collect();
    batch[1].message.message.message_id = "poison".into();
    // Nothing that compression would shorten: too long for an index.
    batch[3].message.message.thread_id = (0..20_000).map(|_| rand::random_range('0'..='z')).collect();
    let outcomes = store.put_messages(&batch, &roomy()).await.unwrap();
    let position = |position| PutOutcome::Queued { position };
    let expected = [
        position(0),
        PutOutcome::Refused,
        position(1),
        PutOutcome::Refused,
        position(2),
    ];
    assert_eq!(outcomes, expected);
    let counts = store.mailbox_counts(Some("acct_b")).await.unwrap();
    assert_eq!((counts.queued, counts.bytes), (3, 30));
    assert_eq!(message_ids(&*store, &any_message()).await, ["m4", "m2", "m0"]);
    let leased = store.lease_messages(&lease("acct_b", 1)).await.unwrap();
    assert_eq!((leased.messages.len(), leased.remaining), (3, 0));

    // No room: nothing is kept, and the call may be made again.
    let mut large = [queued("n", "acct_a", "acct_c"), queued("large", "acct_a", "acct_c")];
    let full = store.put_messages(&large, &roomy()).await.unwrap_err();
    assert!(matches!(full, StoreError::Unavailable(_)), "{full:?}");
    large[1].message.message.message_id = "small".into();
    assert_eq!(
        store.put_messages(&large, &roomy()).await.unwrap(),
        [position(0), position(1)]
    );
}

/// A message gets its number once the mailbox is locked: one that is committed later has a larger number.
#[tokio::test]
async fn a_put_waits_for_the_lock_of_its_mailbox() {
    let server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    store
        .put_messages(&[queued("m1", "acct_a", "acct_b")], &roomy())
        .await
        .unwrap();
    let mut other = PgConnection::connect(&server.url()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM agent_mailbox_accounts WHERE account_id = 'acct_b' FOR UPDATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.put_messages(&[queued("m3", "acct_a", "acct_b")], &roomy()).await }
    });
    let mut observer = PgConnection::connect(&server.url()).await.unwrap();
    eventually_true(DEADLINE, "the put waits for the lock", async || {
        let sql = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND query LIKE '%agent_mailbox_accounts%')";
        let is_waiting: bool = sqlx::query_scalar(sql).fetch_one(&mut observer).await.unwrap();
        is_waiting
    })
    .await
    .unwrap();
    // Another mailbox is not held up.
    store
        .put_messages(&[queued("m1", "acct_a", "acct_c")], &roomy())
        .await
        .unwrap();
    // Another program puts a message in, and commits.
    sqlx::query(
        "INSERT INTO agent_mailbox (account_id, message_id, from_account_id, thread_id, kind, bytes, ack, state, \
         available_at, queued_at, expires_at, body) SELECT account_id, 'm2', from_account_id, thread_id, kind, bytes, ack, \
         state, available_at, queued_at, expires_at, body FROM agent_mailbox WHERE account_id = 'acct_b'",
    )
    .execute(&mut *lock)
    .await
    .unwrap();
    lock.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    let rows = store.mailbox_messages(&mailbox("acct_b")).await.unwrap().items;
    let ids: Vec<&str> = rows.iter().map(|row| row.message_id.as_str()).collect();
    assert_eq!(ids, ["m1", "m2", "m3"]);
}
