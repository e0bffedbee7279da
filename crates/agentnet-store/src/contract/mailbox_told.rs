//! Ends of messages that their senders have to be told of, and what is remembered of ended messages.

use std::sync::Arc;

use agentnet_protocol::mailbox::{MailboxOutcome, MailboxState};

use super::sample::{at, end, lease, mailbox, queued, roomy};
use crate::model::{MailboxChoice, MailboxEnd, MailboxLimits, NewQueued, PutOutcome, UntoldEnd};
use crate::store::Store;

async fn put(store: &dyn Store, messages: &[(&str, &str)]) -> Vec<PutOutcome> {
    let batch: Vec<NewQueued> = messages.iter().map(|(id, from)| queued(id, from, "acct_b")).collect();
    store.put_messages(&batch, &roomy()).await.unwrap()
}

fn chosen(id: &str) -> MailboxChoice {
    MailboxChoice::Messages(vec![id.to_owned()])
}

fn known(state: MailboxState) -> PutOutcome {
    PutOutcome::Known {
        state,
        queued_at: at(0),
        expires_at: at(1_000),
    }
}

/// Leases all messages at this second, and ends them.
async fn end_all(store: &dyn Store, outcome: MailboxOutcome, seconds: i64) {
    let leased = store.lease_messages(&lease("acct_b", seconds)).await.unwrap().messages;
    let ends: Vec<_> = leased.iter().map(|row| end(&row.lease, outcome)).collect();
    store.end_leases("acct_b", "tag", &ends, at(seconds), 1).await.unwrap();
}

/// Each way to end, until it was told; each tried once in a while. The message is there until then.
pub async fn ends_are_untold_until_they_are_told(store: Arc<dyn Store>) {
    put(&*store, &[("done", "acct_a"), ("waiting", "acct_z")]).await;
    end_all(&*store, MailboxOutcome::Done, 1).await;
    put(&*store, &[("dead", "acct_a")]).await;
    end_all(&*store, MailboxOutcome::Dead, 1).await;
    put(&*store, &[("failed", "acct_a")]).await;
    end_all(&*store, MailboxOutcome::Retry, 1).await;
    put(&*store, &[("buried", "acct_a")]).await;
    store.lease_messages(&lease("acct_b", 1)).await.unwrap();
    assert_eq!(store.bury_messages(at(11), 1, 9).await.unwrap().len(), 1);
    put(&*store, &[("dropped", "acct_a"), ("expired", "acct_c")]).await;
    let dropped = store.drop_messages("acct_b", &chosen("dropped"), at(12)).await.unwrap();
    assert_eq!((dropped.len(), dropped[0].state), (1, MailboxState::Queued));
    assert_eq!(store.expire_messages(at(1_001), 9).await.unwrap().len(), 1);

    assert!(store.untold_ends(at(1), at(1_002), 9).await.unwrap().is_empty());
    let first = store.untold_ends(at(2), at(1_002), 1).await.unwrap();
    assert_eq!(first.len(), 1);
    let mut all = first;
    all.extend(store.untold_ends(at(1_002), at(1_002), 9).await.unwrap());
    let mut ends: Vec<_> = all
        .iter()
        .map(|UntoldEnd { end, row }| (row.message_id.as_str(), *end, row.body.len()))
        .collect();
    ends.sort_unstable_by_key(|(id, ..)| *id);
    let expected = [
        ("buried", MailboxEnd::Dead, 10),
        ("dead", MailboxEnd::Dead, 10),
        ("dropped", MailboxEnd::Dropped, 10),
        ("expired", MailboxEnd::Expired, 10),
        ("failed", MailboxEnd::Dead, 10),
    ];
    assert_eq!(ends, expected);
    // Another registry would tell them a while later.
    assert!(store.untold_ends(at(1_002), at(1_003), 9).await.unwrap().is_empty());
    let seqs: Vec<i64> = all.iter().map(|end| end.row.seq).collect();
    store.ends_told(&seqs[1..]).await.unwrap();
    let again = store.untold_ends(at(2_000), at(2_000), 9).await.unwrap();
    assert_eq!(again, all[..1]);
    store.ends_told(&seqs).await.unwrap();
    assert!(store.untold_ends(at(3_000), at(3_000), 9).await.unwrap().is_empty());
    // Dead ones keep their text, and no end shows in the mailbox but those.
    let rows = store.mailbox_messages(&mailbox("acct_b")).await.unwrap().items;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.message_id.as_str(), row.body.len()))
        .collect();
    assert_eq!(
        rows,
        [
            ("done", 0),
            ("waiting", 0),
            ("dead", 10),
            ("failed", 10),
            ("buried", 10)
        ]
    );
}

/// A dead letter that waits again has no end to tell of.
pub async fn a_requeued_message_is_not_told(store: Arc<dyn Store>) {
    put(&*store, &[("m", "acct_a")]).await;
    end_all(&*store, MailboxOutcome::Dead, 1).await;
    let rows = store
        .requeue_messages("acct_b", &chosen("m"), at(2), &roomy())
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert!(store.untold_ends(at(9), at(9), 9).await.unwrap().is_empty());
}

/// A delivered message for a day, and as long as it would have lived; a dropped one as long as that. Both cannot be put again.
pub async fn ended_messages_are_remembered(store: Arc<dyn Store>) {
    let mut short = queued("short", "acct_a", "acct_b");
    short.expires_at = at(50);
    store.put_messages(&[short], &roomy()).await.unwrap();
    let mut long = queued("long", "acct_c", "acct_b");
    long.expires_at = at(200_000);
    store.put_messages(&[long], &roomy()).await.unwrap();
    end_all(&*store, MailboxOutcome::Done, 1).await;
    put(&*store, &[("dropped", "acct_a")]).await;
    let dropped = store.drop_messages("acct_b", &chosen("dropped"), at(2)).await.unwrap();
    assert_eq!(
        put(&*store, &[("dropped", "acct_a")]).await,
        [known(MailboxState::Dead)]
    );
    let nothing_to_drop = store.drop_messages("acct_b", &chosen("dropped"), at(3)).await.unwrap();
    assert!(nothing_to_drop.is_empty());

    let prune = async |seconds: i64| store.prune_mailboxes(at(seconds), at(-1), 9).await.unwrap();
    assert_eq!(prune(1_000).await, 0, "its sender is not told yet");
    store.ends_told(&[dropped[0].seq]).await.unwrap();
    assert_eq!(prune(999).await, 0);
    assert_eq!(prune(1_000).await, 1);
    assert_eq!(
        put(&*store, &[("dropped", "acct_a")]).await,
        [PutOutcome::Queued { position: 0 }]
    );
    let day = 24 * 60 * 60;
    assert_eq!(prune(day).await, 0);
    assert_eq!(prune(day + 1).await, 1, "the one with the short life");
    assert_eq!(prune(199_999).await, 0);
    assert_eq!(prune(200_000).await, 1);
}

/// Dead letters wait again as far as the limits go: of the account, and of each sender.
pub async fn requeued_messages_keep_to_the_limits(store: Arc<dyn Store>) {
    put(
        &*store,
        &[
            ("a1", "acct_a"),
            ("a2", "acct_a"),
            ("a3", "acct_a"),
            ("c1", "acct_c"),
            ("d1", "acct_d"),
        ],
    )
    .await;
    end_all(&*store, MailboxOutcome::Dead, 1).await;
    put(&*store, &[("a4", "acct_a")]).await;
    let limits = MailboxLimits {
        max_messages: 3,
        sender_max_messages: 2,
        ..roomy()
    };
    let all = MailboxChoice::State(MailboxState::Dead, 9);
    let requeue = async |choice: &MailboxChoice| {
        let rows = store.requeue_messages("acct_b", choice, at(2), &limits).await.unwrap();
        rows.into_iter().map(|row| row.message_id).collect::<Vec<_>>()
    };
    assert_eq!(requeue(&chosen("a2")).await, ["a2"]);
    assert!(requeue(&chosen("a1")).await.is_empty(), "its sender has two");
    assert_eq!(requeue(&all).await, ["c1"]);
    assert!(requeue(&all).await.is_empty(), "the mailbox is full");
    let counts = store.mailbox_counts(Some("acct_b")).await.unwrap();
    assert_eq!((counts.queued, counts.dead, counts.bytes), (3, 3, 60));
}
