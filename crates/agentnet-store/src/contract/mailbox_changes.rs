//! Listing mailboxes, and what operators and the sweep do to them.

use std::sync::Arc;

use agentnet_protocol::mailbox::{MailboxOutcome, MailboxState};

use super::sample::{at, end, lease, leased_ids, mailbox, queued, roomy};
use crate::model::{LeaseEnd, MailboxChoice, MailboxCounts, MailboxQuery, MailboxRow, NewQueued};
use crate::store::Store;

async fn put(store: &dyn Store, account_id: &str, ids: &[&str]) {
    let batch: Vec<NewQueued> = ids.iter().map(|id| queued(id, "acct_a", account_id)).collect();
    store.put_messages(&batch, &roomy()).await.unwrap();
}

/// Puts these messages in, and gives them these ends at second 1; those without one stay leased until second 10.
async fn put_ended(store: &dyn Store, account_id: &str, messages: &[(&str, Option<MailboxOutcome>)]) {
    let ids: Vec<&str> = messages.iter().map(|(id, _)| *id).collect();
    put(store, account_id, &ids).await;
    let leased = store.lease_messages(&lease(account_id, 0)).await.unwrap().messages;
    let ends: Vec<LeaseEnd> = leased
        .iter()
        .zip(messages)
        .filter_map(|(leased, (_, outcome))| Some(end(&leased.lease, (*outcome)?)))
        .collect();
    store.end_leases(account_id, "tag", &ends, at(1), 3).await.unwrap();
}

fn ids(rows: &[MailboxRow]) -> Vec<&str> {
    rows.iter().map(|row| row.message_id.as_str()).collect()
}

async fn listed(store: &dyn Store, account_id: &str, state: Option<MailboxState>) -> Vec<String> {
    let query = MailboxQuery {
        state,
        ..mailbox(account_id)
    };
    let rows = store.mailbox_messages(&query).await.unwrap().items;
    rows.into_iter().map(|row| row.message_id).collect()
}

fn chosen(ids: &[&str]) -> MailboxChoice {
    MailboxChoice::Messages(ids.iter().map(|id| (*id).to_owned()).collect())
}

const MIXED: [(&str, Option<MailboxOutcome>); 6] = [
    ("m1", Some(MailboxOutcome::Dead)),
    ("m2", Some(MailboxOutcome::Done)),
    ("m3", None),
    ("m4", Some(MailboxOutcome::Dead)),
    ("m5", Some(MailboxOutcome::Retry)),
    ("m6", Some(MailboxOutcome::Done)),
];

/// All states in one order, or one state; page by page.
pub async fn mailboxes_are_paged_in_their_order(store: Arc<dyn Store>) {
    put_ended(&*store, "acct_b", &MIXED).await;
    put(&*store, "acct_c", &["m1"]).await;
    assert_eq!(
        listed(&*store, "acct_b", None).await,
        ["m1", "m2", "m3", "m4", "m5", "m6"]
    );
    for (state, expected) in [
        (MailboxState::Queued, ["m5"].as_slice()),
        (MailboxState::Leased, &["m3"]),
        (MailboxState::Done, &["m2", "m6"]),
        (MailboxState::Dead, &["m1", "m4"]),
    ] {
        assert_eq!(listed(&*store, "acct_b", Some(state)).await, expected);
    }
    let mut query = MailboxQuery {
        limit: 4,
        ..mailbox("acct_b")
    };
    let first = store.mailbox_messages(&query).await.unwrap();
    assert_eq!((ids(&first.items), first.more), (vec!["m1", "m2", "m3", "m4"], true));
    query.after_seq = first.items[3].seq;
    let second = store.mailbox_messages(&query).await.unwrap();
    assert_eq!((ids(&second.items), second.more), (vec!["m5", "m6"], false));
    assert!(listed(&*store, "acct_z", None).await.is_empty());
}

/// Of one account, of all, and of one without a mailbox.
pub async fn mailboxes_are_counted(store: Arc<dyn Store>) {
    put_ended(&*store, "acct_b", &MIXED).await;
    let mut later = queued("m1", "acct_a", "acct_c");
    later.queued_at = at(-5);
    store.put_messages(&[later], &roomy()).await.unwrap();
    let counts = MailboxCounts {
        queued: 1,
        leased: 1,
        dead: 2,
        bytes: 40,
        oldest_queued_at: Some(at(0)),
    };
    assert_eq!(store.mailbox_counts(Some("acct_b")).await.unwrap(), counts);
    let total = MailboxCounts {
        queued: 2,
        bytes: 50,
        oldest_queued_at: Some(at(-5)),
        ..counts
    };
    assert_eq!(store.mailbox_counts(None).await.unwrap(), total);
    assert_eq!(
        store.mailbox_counts(Some("acct_z")).await.unwrap(),
        MailboxCounts::default()
    );
}

/// By id, behind the one given; an account without a message that waits or is leased is left out.
pub async fn accounts_with_mail_come_by_id(store: Arc<dyn Store>) {
    for account in ["acct_c", "acct_a", "acct_B"] {
        put(&*store, account, &["m"]).await;
    }
    put_ended(&*store, "acct_b", &[("m", Some(MailboxOutcome::Dead))]).await;
    put_ended(&*store, "acct_d", &[("m", None)]).await;
    let all = store.accounts_with_mail("", 10).await.unwrap();
    assert_eq!(all, ["acct_B", "acct_a", "acct_c", "acct_d"]);
    assert_eq!(
        store.accounts_with_mail("acct_B", 2).await.unwrap(),
        ["acct_a", "acct_c"]
    );
    assert!(store.accounts_with_mail("acct_d", 2).await.unwrap().is_empty());
}

/// At the end of the order, in their own order, with all attempts before them. Others stay as they are.
pub async fn dead_messages_wait_again(store: Arc<dyn Store>) {
    put_ended(&*store, "acct_b", &MIXED).await;
    put_ended(&*store, "acct_c", &MIXED[..1]).await;
    let choice = chosen(&["m4", "m1", "m2", "m3", "m5", "none"]);
    let rows = store
        .requeue_messages("acct_b", &choice, at(20), &roomy())
        .await
        .unwrap();
    assert_eq!(ids(&rows), ["m1", "m4"]);
    for row in &rows {
        assert_eq!((row.state, row.attempts, row.done_at), (MailboxState::Queued, 0, None));
        assert_eq!((row.queued_at, row.body.len()), (at(0), 10));
    }
    assert_eq!(
        listed(&*store, "acct_b", None).await,
        ["m2", "m3", "m5", "m6", "m1", "m4"]
    );
    let counts = store.mailbox_counts(Some("acct_b")).await.unwrap();
    assert_eq!((counts.queued, counts.dead, counts.bytes), (3, 0, 40));
    put(&*store, "acct_b", &["m7"]).await;
    // The lease of m3 ran out: it comes alone.
    let leased = store.lease_messages(&lease("acct_b", 20)).await.unwrap().messages;
    let done = end(&leased[0].lease, MailboxOutcome::Done);
    store.end_leases("acct_b", "tag", &[done], at(20), 3).await.unwrap();
    assert_eq!((leased.len(), leased[0].message_id.as_str()), (1, "m3"));
    assert_eq!(
        leased_ids(&*store, &lease("acct_b", 21)).await,
        ["m5", "m1", "m4", "m7"]
    );
    // By state: only the dead, so many, none that has expired.
    let by_state = |state, limit| MailboxChoice::State(state, limit);
    for state in [MailboxState::Queued, MailboxState::Leased, MailboxState::Done] {
        let rows = store
            .requeue_messages("acct_c", &by_state(state, 9), at(20), &roomy())
            .await
            .unwrap();
        assert!(rows.is_empty(), "{state}");
    }
    let dead = by_state(MailboxState::Dead, 9);
    assert!(
        store
            .requeue_messages("acct_c", &dead, at(1_000), &roomy())
            .await
            .unwrap()
            .is_empty()
    );
    let none = by_state(MailboxState::Dead, 0);
    assert!(
        store
            .requeue_messages("acct_c", &none, at(20), &roomy())
            .await
            .unwrap()
            .is_empty()
    );
    let rows = store
        .requeue_messages("acct_c", &dead, at(999), &roomy())
        .await
        .unwrap();
    assert_eq!(ids(&rows), ["m1"]);
}

/// By id or state; never delivered ones. The lease of a dropped message is lost.
pub async fn messages_are_dropped(store: Arc<dyn Store>) {
    put_ended(&*store, "acct_b", &MIXED).await;
    put(&*store, "acct_c", &["m1"]).await;
    let rows = store
        .drop_messages("acct_b", &chosen(&["m5", "m3", "m1", "m2"]), at(5))
        .await
        .unwrap();
    assert_eq!(ids(&rows), ["m1", "m3", "m5"]);
    assert_eq!((rows[0].state, rows[0].body.len()), (MailboxState::Dead, 10));
    assert_eq!(listed(&*store, "acct_b", None).await, ["m2", "m4", "m6"]);
    let done = MailboxChoice::State(MailboxState::Done, 9);
    assert!(store.drop_messages("acct_b", &done, at(5)).await.unwrap().is_empty());
    let dead = MailboxChoice::State(MailboxState::Dead, 1);
    assert_eq!(ids(&store.drop_messages("acct_b", &dead, at(5)).await.unwrap()), ["m4"]);
    assert!(
        store
            .drop_messages("acct_b", &chosen(&[]), at(5))
            .await
            .unwrap()
            .is_empty()
    );
    let counts = store.mailbox_counts(Some("acct_b")).await.unwrap();
    assert_eq!(counts, MailboxCounts::default());
    assert_eq!(store.mailbox_counts(None).await.unwrap().bytes, 10);
}

/// Those that wait, or whose lease is over, oldest end first; dead and delivered ones stay.
pub async fn expired_messages_are_deleted(store: Arc<dyn Store>) {
    put_ended(&*store, "acct_b", &MIXED).await;
    let mut early = queued("early", "acct_c", "acct_c");
    early.expires_at = at(50);
    store.put_messages(&[early], &roomy()).await.unwrap();
    assert!(store.expire_messages(at(49), 10).await.unwrap().is_empty());
    assert_eq!(ids(&store.expire_messages(at(50), 10).await.unwrap()), ["early"]);
    // m3 is leased once more, until second 1,005; m5 waits behind it.
    assert_eq!(leased_ids(&*store, &lease("acct_b", 995)).await, ["m3"]);
    assert_eq!(ids(&store.expire_messages(at(1_004), 10).await.unwrap()), ["m5"]);
    put(&*store, "acct_c", &["m7"]).await;
    assert_eq!(store.expire_messages(at(1_005), 1).await.unwrap().len(), 1);
    let last = store.expire_messages(at(1_005), 10).await.unwrap();
    assert_eq!((last.len(), last[0].body.len()), (1, 10));
    assert_eq!(listed(&*store, "acct_b", None).await, ["m1", "m2", "m4", "m6"]);
    let counts = store.mailbox_counts(None).await.unwrap();
    assert_eq!((counts.queued, counts.leased, counts.dead, counts.bytes), (0, 0, 2, 20));
}

/// The last lease of a message is over without an answer.
pub async fn messages_without_an_answer_are_buried(store: Arc<dyn Store>) {
    put(&*store, "acct_b", &["m1", "m2"]).await;
    put(&*store, "acct_c", &["m3"]).await;
    for (seconds, ids) in [(0, &["m1", "m2"] as &[&str]), (10, &["m1"]), (20, &["m1"])] {
        assert!(store.bury_messages(at(seconds), 3, 10).await.unwrap().is_empty());
        assert_eq!(leased_ids(&*store, &lease("acct_b", seconds)).await, ids);
    }
    assert!(store.bury_messages(at(29), 3, 10).await.unwrap().is_empty());
    assert!(store.bury_messages(at(30), 3, 0).await.unwrap().is_empty());
    let rows = store.bury_messages(at(30), 3, 10).await.unwrap();
    assert_eq!(ids(&rows), ["m1"]);
    for row in &rows {
        assert_eq!(
            (row.state, row.attempts, row.done_at, row.body.len()),
            (MailboxState::Dead, 3, Some(at(30)), 10)
        );
    }
    let counts = store.mailbox_counts(None).await.unwrap();
    assert_eq!((counts.queued, counts.leased, counts.dead, counts.bytes), (2, 0, 1, 30));
    // Those that were leased behind one that dies were not begun.
    put(&*store, "acct_d", &["m4", "m5"]).await;
    assert_eq!(leased_ids(&*store, &lease("acct_d", 30)).await, ["m4", "m5"]);
    assert_eq!(ids(&store.bury_messages(at(40), 1, 10).await.unwrap()), ["m4"]);
    assert!(store.bury_messages(at(40), 1, 10).await.unwrap().is_empty());
    let leased = store.lease_messages(&lease("acct_d", 40)).await.unwrap().messages;
    assert_eq!((leased[0].message_id.as_str(), leased[0].attempt), ("m5", 1));
    // Fewer attempts are allowed than were made.
    let leased = store.lease_messages(&lease("acct_c", 30)).await.unwrap().messages;
    let retry = end(&leased[0].lease, MailboxOutcome::Retry);
    store.end_leases("acct_c", "tag", &[retry], at(31), 3).await.unwrap();
    assert_eq!(ids(&store.bury_messages(at(31), 1, 10).await.unwrap()), ["m3"]);
}

/// Delivered and dead ones, each by its own time, so many at a time.
pub async fn ended_messages_are_pruned(store: Arc<dyn Store>) {
    let told = async || {
        let untold = store.untold_ends(at(9), at(9), 9).await.unwrap();
        let seqs: Vec<i64> = untold.iter().map(|end| end.row.seq).collect();
        store.ends_told(&seqs).await.unwrap();
    };
    put_ended(&*store, "acct_b", &MIXED).await;
    let day = 24 * 60 * 60;
    assert_eq!(store.prune_mailboxes(at(day), at(1), 10).await.unwrap(), 0);
    assert_eq!(store.prune_mailboxes(at(day + 1), at(1), 1).await.unwrap(), 1);
    assert_eq!(store.prune_mailboxes(at(day + 1), at(1), 10).await.unwrap(), 1);
    assert_eq!(listed(&*store, "acct_b", None).await, ["m1", "m3", "m4", "m5"]);
    assert_eq!(store.mailbox_counts(None).await.unwrap().bytes, 40);
    assert_eq!(
        store.prune_mailboxes(at(1), at(2), 10).await.unwrap(),
        0,
        "not told yet"
    );
    told().await;
    assert_eq!(store.prune_mailboxes(at(1), at(2), 10).await.unwrap(), 2);
    assert_eq!(listed(&*store, "acct_b", None).await, ["m3", "m5"]);
    let counts = store.mailbox_counts(Some("acct_b")).await.unwrap();
    assert_eq!((counts.dead, counts.bytes), (0, 20));
    assert_eq!(store.mailbox_counts(None).await.unwrap().bytes, 20);
}
