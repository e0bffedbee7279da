//! Leases that run out without an acknowledgement: the process that had the messages may have ended because of one of them.

use std::sync::Arc;

use agentnet_protocol::mailbox::{MailboxOutcome, MailboxState};

use super::sample::{at, end, lease, leased_ids, mailbox, queued, roomy};
use crate::model::{LeaseQuery, LeasedRow, NewQueued};
use crate::store::Store;

async fn put(store: &dyn Store, messages: &[(&str, &str)]) {
    let batch: Vec<NewQueued> = messages.iter().map(|(id, from)| queued(id, from, "acct_b")).collect();
    store.put_messages(&batch, &roomy()).await.unwrap();
}

/// Ids and attempts of a lease at this second.
async fn leased(store: &dyn Store, seconds: i64) -> Vec<(String, i64)> {
    let messages = store.lease_messages(&lease("acct_b", seconds)).await.unwrap().messages;
    messages.into_iter().map(|row| (row.message_id, row.attempt)).collect()
}

fn expected(messages: &[(&str, i64)]) -> Vec<(String, i64)> {
    messages
        .iter()
        .map(|(id, attempt)| ((*id).to_owned(), *attempt))
        .collect()
}

async fn acknowledge(store: &dyn Store, leased: &LeasedRow, outcome: MailboxOutcome, seconds: i64) {
    let ends = [end(&leased.lease, outcome)];
    store.end_leases("acct_b", "tag", &ends, at(seconds), 9).await.unwrap();
}

/// The first message of a sender comes alone, and the attempt of those behind it does not count.
pub async fn a_lapsed_message_comes_without_those_behind_it(store: Arc<dyn Store>) {
    put(
        &*store,
        &[("a1", "acct_a"), ("a2", "acct_a"), ("a3", "acct_a"), ("c1", "acct_c")],
    )
    .await;
    let all = [("a1", 1), ("a2", 1), ("a3", 1), ("c1", 1)];
    assert_eq!(leased(&*store, 0).await, expected(&all));
    assert_eq!(leased(&*store, 10).await, expected(&[("a1", 2), ("c1", 2)]));
    let rows = store.mailbox_messages(&mailbox("acct_b")).await.unwrap().items;
    let waiting: Vec<_> = rows.iter().map(|row| (row.state, row.attempts)).collect();
    assert_eq!(waiting[1..3], [(MailboxState::Queued, 0), (MailboxState::Queued, 0)]);
    // Those behind it are leased together again once it has an end.
    let repeated = store.lease_messages(&lease("acct_b", 10)).await.unwrap().messages;
    assert_eq!(repeated.len(), 2, "the same call again");
    acknowledge(&*store, &repeated[0], MailboxOutcome::Done, 11).await;
    assert_eq!(leased(&*store, 12).await, expected(&[("a2", 1), ("a3", 1)]));
}

/// A message that ends each process that has it dies; those of other senders, leased beside it, do not.
pub async fn a_message_that_ends_its_sessions_dies_alone(store: Arc<dyn Store>) {
    put(
        &*store,
        &[("c1", "acct_c"), ("d1", "acct_d"), ("bad", "acct_a"), ("a2", "acct_a")],
    )
    .await;
    let mut delivered = Vec::new();
    let mut dead = Vec::new();
    for round in 0..20 {
        let seconds = round * 10;
        dead.extend(store.bury_messages(at(seconds), 4, 9).await.unwrap());
        let query = LeaseQuery {
            max_attempts: 4,
            ..lease("acct_b", seconds)
        };
        let leased = store.lease_messages(&query).await.unwrap().messages;
        // The session dies before it has acknowledged anything.
        if leased.iter().any(|row| row.message_id == "bad") {
            continue;
        }
        for row in &leased {
            acknowledge(&*store, row, MailboxOutcome::Done, seconds).await;
            delivered.push(row.message_id.clone());
        }
    }
    let dead: Vec<_> = dead.iter().map(|row| (row.message_id.as_str(), row.attempts)).collect();
    assert_eq!(dead, [("bad", 4)]);
    delivered.sort_unstable();
    assert_eq!(delivered, ["a2", "c1", "d1"]);
}

/// One of those that are leased alone at a time, whatever call leases; others go on meanwhile.
pub async fn messages_that_come_alone_wait_for_each_other(store: Arc<dyn Store>) {
    put(&*store, &[("a1", "acct_a"), ("c1", "acct_c")]).await;
    for seconds in [0, 10] {
        assert_eq!(leased_ids(&*store, &lease("acct_b", seconds)).await, ["a1", "c1"]);
    }
    let alone = store.lease_messages(&lease("acct_b", 20)).await.unwrap().messages;
    assert_eq!((alone.len(), alone[0].message_id.as_str()), (1, "a1"));
    put(&*store, &[("d1", "acct_d")]).await;
    assert_eq!(leased_ids(&*store, &lease("acct_b", 21)).await, ["d1"]);
    acknowledge(&*store, &alone[0], MailboxOutcome::Retry, 22).await;
    // It came back with an acknowledgement, and is as any other again.
    let at_second = |seconds| LeaseQuery {
        max_attempts: 9,
        ..lease("acct_b", seconds)
    };
    assert_eq!(leased_ids(&*store, &at_second(23)).await, ["a1"]);
    assert_eq!(leased_ids(&*store, &at_second(24)).await, ["c1"]);
}

/// The token of a lease that ran out is no way to attempt a message without end.
pub async fn a_lapsed_lease_with_the_same_token_counts(store: Arc<dyn Store>) {
    put(&*store, &[("m", "acct_a")]).await;
    for (seconds, attempt) in [(0, 1), (5, 1), (20, 2), (40, 3)] {
        let query = LeaseQuery {
            token: "t".into(),
            ..lease("acct_b", seconds)
        };
        let leased = store.lease_messages(&query).await.unwrap().messages;
        assert_eq!(leased[0].attempt, attempt, "{seconds}");
    }
    let other = LeaseQuery {
        token: "t".into(),
        session_tag: "other".into(),
        ..lease("acct_b", 41)
    };
    assert!(
        leased_ids(&*store, &other).await.is_empty(),
        "it is leased by another session"
    );
}
