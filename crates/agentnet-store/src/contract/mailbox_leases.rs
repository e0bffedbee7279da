//! Leasing messages of a mailbox.

use std::collections::HashSet;
use std::sync::Arc;

use agentnet_protocol::mailbox::{MailboxOutcome, MailboxState};

use super::sample::{at, end, lease, leased_ids, mailbox, queued, roomy};
use crate::model::{LeaseEnd, LeaseEnded, LeaseQuery, Leased, NewQueued};
use crate::store::Store;

async fn put(store: &dyn Store, messages: &[(&str, &str)]) {
    let batch: Vec<NewQueued> = messages.iter().map(|(id, from)| queued(id, from, "acct_b")).collect();
    store.put_messages(&batch, &roomy()).await.unwrap();
}

/// In the order in which they were put in, over several calls; the others remain.
pub async fn messages_are_leased_in_order(store: Arc<dyn Store>) {
    assert_eq!(
        store.lease_messages(&lease("acct_b", 1)).await.unwrap(),
        Leased::default()
    );
    put(&*store, &[("m3", "acct_c"), ("m1", "acct_a")]).await;
    put(&*store, &[("m2", "acct_c")]).await;
    store
        .put_messages(&[queued("other", "acct_a", "acct_z")], &roomy())
        .await
        .unwrap();
    let two = LeaseQuery {
        max: 2,
        ..lease("acct_b", 1)
    };
    let leased = store.lease_messages(&two).await.unwrap();
    let ids: Vec<_> = leased
        .messages
        .iter()
        .map(|message| message.message_id.as_str())
        .collect();
    assert_eq!((ids, leased.remaining), (vec!["m3", "m1"], 1));
    // The earlier message of the same sender is leased.
    let leased = store.lease_messages(&lease("acct_b", 2)).await.unwrap();
    assert_eq!((leased.messages.len(), leased.remaining), (0, 3));
    let rows = store.mailbox_messages(&mailbox("acct_b")).await.unwrap().items;
    let states: Vec<_> = rows.iter().map(|row| (row.state, row.attempts)).collect();
    assert_eq!(
        states,
        [
            (MailboxState::Leased, 1),
            (MailboxState::Leased, 1),
            (MailboxState::Queued, 0)
        ]
    );
}

/// A message that waits for its time holds up its sender's later ones, and no other sender's.
pub async fn a_sender_waits_for_its_earlier_message(store: Arc<dyn Store>) {
    put(&*store, &[("m1", "acct_a"), ("m2", "acct_a"), ("m3", "acct_c")]).await;
    let one = LeaseQuery {
        max: 1,
        ..lease("acct_b", 1)
    };
    let leased = store.lease_messages(&one).await.unwrap().messages;
    let later = LeaseEnd {
        available_at: at(5),
        ..end(&leased[0].lease, MailboxOutcome::Retry)
    };
    store.end_leases("acct_b", "tag", &[later], at(2), 3).await.unwrap();
    assert_eq!(leased_ids(&*store, &lease("acct_b", 4)).await, ["m3"]);
    assert_eq!(leased_ids(&*store, &lease("acct_b", 5)).await, ["m1", "m2"]);
}

/// A message whose lease is over is leased again, and each lease counts as an attempt.
pub async fn a_lease_ends_by_itself(store: Arc<dyn Store>) {
    put(&*store, &[("m1", "acct_a")]).await;
    for (seconds, attempt) in [(0, 1), (10, 2), (20, 3)] {
        let leased = store.lease_messages(&lease("acct_b", seconds)).await.unwrap().messages;
        let attempts: Vec<_> = leased.iter().map(|message| message.attempt).collect();
        assert_eq!(attempts, [attempt], "{seconds}");
        assert!(leased_ids(&*store, &lease("acct_b", seconds + 9)).await.is_empty());
    }
    // Attempted too often: no longer delivered, and no longer in the way once it is dead.
    put(&*store, &[("m2", "acct_a"), ("m3", "acct_c")]).await;
    assert_eq!(leased_ids(&*store, &lease("acct_b", 30)).await, ["m3"]);
    assert_eq!(store.bury_messages(at(30), 3, 9).await.unwrap().len(), 1);
    assert_eq!(leased_ids(&*store, &lease("acct_b", 31)).await, ["m2"]);
}

/// Neither is leased nor in the way of later ones.
pub async fn an_expired_message_is_not_leased(store: Arc<dyn Store>) {
    let mut expired = queued("m1", "acct_a", "acct_b");
    expired.expires_at = at(5);
    store
        .put_messages(&[expired, queued("m2", "acct_a", "acct_b")], &roomy())
        .await
        .unwrap();
    assert_eq!(leased_ids(&*store, &lease("acct_b", 5)).await, ["m2"]);
}

/// One message at a time, and none while another session has one.
pub async fn an_exclusive_lease_is_alone(store: Arc<dyn Store>) {
    put(&*store, &[("m1", "acct_a"), ("m2", "acct_c"), ("m3", "acct_d")]).await;
    let exclusive = |seconds| LeaseQuery {
        exclusive: true,
        ..lease("acct_b", seconds)
    };
    let leased = store.lease_messages(&exclusive(0)).await.unwrap();
    assert_eq!((leased.messages.len(), leased.remaining), (1, 2));
    assert!(leased_ids(&*store, &exclusive(1)).await.is_empty());
    let done = end(&leased.messages[0].lease, MailboxOutcome::Done);
    store.end_leases("acct_b", "tag", &[done], at(1), 3).await.unwrap();
    assert_eq!(leased_ids(&*store, &exclusive(2)).await, ["m2"]);
    assert_eq!(leased_ids(&*store, &lease("acct_b", 3)).await, ["m3"]);
    // Both leases are over.
    assert_eq!(leased_ids(&*store, &exclusive(13)).await, ["m2"]);
}

/// A lease of a registry that is gone is over at once, and its attempt does not count; that of a session is not.
pub async fn a_lease_of_a_registry_that_is_gone_is_over(store: Arc<dyn Store>) {
    put(&*store, &[("m1", "acct_a")]).await;
    let by = |session_tag: &str, seconds: i64, pushing: &[&str]| LeaseQuery {
        session_tag: session_tag.to_owned(),
        exclusive: true,
        pushing: Some(pushing.iter().map(|tag| (*tag).to_owned()).collect()),
        ..lease("acct_b", seconds)
    };
    let first = store.lease_messages(&by("push_r1", 0, &[])).await.unwrap().messages;
    assert!(
        leased_ids(&*store, &by("push_r2", 1, &["push_r0", "push_r1"]))
            .await
            .is_empty()
    );
    let other = store
        .lease_messages(&by("push_r2", 2, &["push_r0"]))
        .await
        .unwrap()
        .messages;
    assert_eq!((other[0].message_id.as_str(), other[0].attempt), ("m1", 1));
    let late = end(&first[0].lease, MailboxOutcome::Done);
    let ended = store.end_leases("acct_b", "push_r1", &[late], at(3), 3).await.unwrap();
    assert_eq!(ended, [LeaseEnded::Lost]);
    let done = end(&other[0].lease, MailboxOutcome::Done);
    store.end_leases("acct_b", "push_r2", &[done], at(3), 3).await.unwrap();
    put(&*store, &[("m2", "acct_a")]).await;
    assert_eq!(leased_ids(&*store, &lease("acct_b", 4)).await, ["m2"]);
    assert!(leased_ids(&*store, &by("push_r2", 5, &[])).await.is_empty());
}

/// A message is leased even if it alone is larger than the bound.
pub async fn a_lease_is_bounded_in_bytes(store: Arc<dyn Store>) {
    put(&*store, &[("m1", "acct_a"), ("m2", "acct_a"), ("m3", "acct_a")]).await;
    let bytes = |seconds, max_bytes| LeaseQuery {
        max_bytes,
        ..lease("acct_b", seconds)
    };
    let leased = store.lease_messages(&bytes(0, 1)).await.unwrap().messages;
    assert_eq!((leased.len(), leased[0].message_id.as_str()), (1, "m1"));
    let retry = end(&leased[0].lease, MailboxOutcome::Retry);
    store.end_leases("acct_b", "tag", &[retry], at(1), 3).await.unwrap();
    assert_eq!(leased_ids(&*store, &bytes(1, 20)).await, ["m1", "m2"]);
}

/// The reply of a call may be lost: the same token gets the same messages, at the same attempt.
pub async fn a_repeated_lease_gets_the_same_messages(store: Arc<dyn Store>) {
    put(&*store, &[("m1", "acct_a"), ("m2", "acct_c")]).await;
    let one = LeaseQuery {
        max: 1,
        ..lease("acct_b", 0)
    };
    let first = store.lease_messages(&one).await.unwrap();
    assert_eq!(store.lease_messages(&one).await.unwrap(), first);
    let exclusive = LeaseQuery { exclusive: true, ..one };
    assert_eq!(store.lease_messages(&exclusive).await.unwrap(), first);
}

/// More messages wait than are read at a time, all but the last of a sender that has to wait.
pub async fn a_long_queue_of_one_sender_holds_no_other_up(store: Arc<dyn Store>) {
    let mut batch: Vec<NewQueued> = (0..600)
        .map(|index| queued(&format!("m{index}"), "acct_a", "acct_b"))
        .collect();
    batch.push(queued("other", "acct_c", "acct_b"));
    store.put_messages(&batch, &roomy()).await.unwrap();
    let one = LeaseQuery {
        max: 1,
        ..lease("acct_b", 0)
    };
    let first = store.lease_messages(&one).await.unwrap().messages;
    assert_eq!((first.len(), first[0].message_id.as_str()), (1, "m0"));
    let leased = store.lease_messages(&lease("acct_b", 1)).await.unwrap();
    assert_eq!(
        (leased.messages[0].message_id.as_str(), leased.remaining),
        ("other", 600)
    );
    let done = end(&first[0].lease, MailboxOutcome::Done);
    store.end_leases("acct_b", "tag", &[done], at(2), 3).await.unwrap();
    assert_eq!(leased_ids(&*store, &lease("acct_b", 2)).await.len(), 100);
}

/// Sessions that lease at the same time never get one message twice.
pub async fn concurrent_leases_share_no_message(store: Arc<dyn Store>) {
    let batch: Vec<NewQueued> = (0..120)
        .map(|index| queued(&format!("m{index}"), &format!("acct_a{}", index % 40), "acct_b"))
        .collect();
    store.put_messages(&batch, &roomy()).await.unwrap();
    let tasks = (0..4).map(|session| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut got = Vec::new();
            for call in 0..40 {
                let query = LeaseQuery {
                    session_tag: format!("tag{session}"),
                    token: format!("token{session}x{call}"),
                    max: 3,
                    ..lease("acct_b", 0)
                };
                let leased = store.lease_messages(&query).await.unwrap().messages;
                let ends: Vec<LeaseEnd> = leased.iter().map(|one| end(&one.lease, MailboxOutcome::Done)).collect();
                store
                    .end_leases("acct_b", &query.session_tag, &ends, at(1), 3)
                    .await
                    .unwrap();
                got.extend(leased.into_iter().map(|one| one.message_id));
            }
            got
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    // What the other sessions had in hand when the last call was made, is left.
    all.extend(leased_ids(&*store, &lease("acct_b", 20)).await);
    assert_eq!(all.len(), 120);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 120);
}
