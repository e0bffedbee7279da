//! Putting messages into mailboxes.

use std::sync::Arc;

use agentnet_protocol::mailbox::{MailboxAck, MailboxOutcome, MailboxState};

use super::sample::{any_message, at, end, lease, mailbox, message_ids, queued, roomy};
use crate::model::{LeasedRow, MailboxCounts, MailboxEnd, MailboxLimits, MailboxRow, NewQueued, PutOutcome};
use crate::store::Store;

fn at_position(position: i64) -> PutOutcome {
    PutOutcome::Queued { position }
}

fn known(state: MailboxState) -> PutOutcome {
    PutOutcome::Known {
        state,
        queued_at: at(0),
        expires_at: at(1_000),
    }
}

/// Every field, with characters that need care; the row of the history is there too.
pub async fn a_kept_message_comes_back_as_it_was(store: Arc<dyn Store>) {
    let mut new = queued("m\0", "acct_a\0", "acct_b\0");
    new.message.message.thread_id = "t\u{fdd0}".into();
    new.message.message.kind = "note".into();
    new.body = "{\"b\":1e0,  \"a\":[\"\u{e9}\u{1f600}\u{fdd0}0\"]}".into();
    new.ack = MailboxAck::Processed;
    new.queued_at = at(5);
    let bytes = i64::try_from(new.body.len()).unwrap();
    let outcomes = store.put_messages(std::slice::from_ref(&new), &roomy()).await.unwrap();
    assert_eq!(outcomes, [at_position(0)]);

    let page = store.mailbox_messages(&mailbox("acct_b\0")).await.unwrap();
    let seq = page.items[0].seq;
    assert!(seq > 0 && !page.more);
    let row = MailboxRow {
        seq,
        account_id: new.account_id.clone(),
        message_id: "m\0".into(),
        from_account_id: new.from_account_id.clone(),
        thread_id: "t\u{fdd0}".into(),
        kind: "note".into(),
        bytes,
        state: MailboxState::Queued,
        attempts: 0,
        queued_at: at(5),
        expires_at: at(1_000),
        done_at: None,
        last_code: None,
        last_detail: None,
        body: new.body.clone(),
    };
    assert_eq!(page.items, [row]);
    let leased = store.lease_messages(&lease("acct_b\0", 6)).await.unwrap();
    let expected = LeasedRow {
        lease: format!("token6-{seq}"),
        seq,
        attempt: 1,
        message_id: "m\0".into(),
        from_account_id: new.from_account_id.clone(),
        ack: MailboxAck::Processed,
        queued_at: at(5),
        expires_at: at(1_000),
        body: new.body,
    };
    assert_eq!(
        (leased.messages.as_slice(), leased.remaining),
        ([expected].as_slice(), 0)
    );
    assert_eq!(
        store.messages(&any_message()).await.unwrap().items,
        [new.message.message]
    );
    assert_eq!(store.thread("t\u{fdd0}", None).await.unwrap().unwrap().message_count, 1);
}

/// By account and id: while it waits, within one call, once it is delivered and when it is dead.
pub async fn a_known_message_is_not_kept_again(store: Arc<dyn Store>) {
    let limits = roomy();
    let [m1, m2, m3] = ["m1", "m2", "m3"].map(|id| queued(id, "acct_a", "acct_b"));
    let other = queued("m1", "acct_a", "acct_c");
    let mut again = m1.clone();
    again.body = "{}".into();
    again.queued_at = at(7);
    let batch = [m1.clone(), again.clone(), m2, m3, other];
    assert_eq!(
        store.put_messages(&batch, &limits).await.unwrap(),
        [
            at_position(0),
            known(MailboxState::Queued),
            at_position(1),
            at_position(2),
            at_position(0)
        ]
    );
    let leased = store.lease_messages(&lease("acct_b", 1)).await.unwrap();
    let [first, second, _] = leased.messages.as_slice() else {
        panic!("{leased:?}")
    };
    let ends = [
        end(&first.lease, MailboxOutcome::Done),
        end(&second.lease, MailboxOutcome::Dead),
    ];
    store.end_leases("acct_b", "tag", &ends, at(2), 3).await.unwrap();
    assert_eq!(
        store.put_messages(&batch, &limits).await.unwrap(),
        [
            known(MailboxState::Done),
            known(MailboxState::Done),
            known(MailboxState::Dead),
            known(MailboxState::Leased),
            known(MailboxState::Queued),
        ]
    );
    let rows = store.mailbox_messages(&mailbox("acct_b")).await.unwrap().items;
    assert_eq!(rows.len(), 3);
    assert_eq!(message_ids(&*store, &any_message()).await, ["m3", "m2", "m1"]);
}

/// Whoever knows the id of a message must not be able to stop it unseen.
pub async fn an_id_of_another_sender_is_refused(store: Arc<dyn Store>) {
    let batch = [
        queued("m1", "acct_x", "acct_b"),
        queued("m1", "acct_a", "acct_b"),
        queued("m1", "acct_a", "acct_c"),
    ];
    let outcomes = store.put_messages(&batch, &roomy()).await.unwrap();
    assert_eq!(outcomes, [at_position(0), PutOutcome::OtherSender, at_position(0)]);
    let leased = store.lease_messages(&lease("acct_b", 1)).await.unwrap().messages;
    let ends = [end(&leased[0].lease, MailboxOutcome::Done)];
    store.end_leases("acct_b", "tag", &ends, at(2), 3).await.unwrap();
    assert_eq!(
        store.put_messages(&batch[..2], &roomy()).await.unwrap(),
        [known(MailboxState::Done), PutOutcome::OtherSender]
    );
    assert_eq!(store.mailbox_counts(None).await.unwrap().queued, 1);
}

/// A captured message may be in the history before it is put in.
pub async fn a_message_of_the_history_is_kept(store: Arc<dyn Store>) {
    let new = queued("m", "acct_a", "acct_b");
    store.append_messages(std::slice::from_ref(&new.message)).await.unwrap();
    assert_eq!(store.put_messages(&[new], &roomy()).await.unwrap(), [at_position(0)]);
    assert_eq!(store.thread("t_acct_b", None).await.unwrap().unwrap().message_count, 1);
    assert_eq!(message_ids(&*store, &any_message()).await, ["m"]);
}

/// More messages than one statement holds, for several accounts.
pub async fn a_large_call_is_kept_in_its_order(store: Arc<dyn Store>) {
    let batch: Vec<NewQueued> = (0..700)
        .map(|index| queued(&format!("m{index:03}"), "acct_a", &format!("acct_{}", index % 3)))
        .collect();
    let outcomes = store.put_messages(&batch, &roomy()).await.unwrap();
    let expected: Vec<PutOutcome> = (0..700).map(|index| at_position(index / 3)).collect();
    assert_eq!(outcomes, expected);
    for account in 0..3 {
        let rows = store
            .mailbox_messages(&mailbox(&format!("acct_{account}")))
            .await
            .unwrap();
        let ids: Vec<String> = rows.items.into_iter().map(|row| row.message_id).collect();
        let expected: Vec<String> = (account..700).step_by(3).map(|index| format!("m{index:03}")).collect();
        assert_eq!(ids, expected);
    }
}

/// Each limit alone; messages earlier in the call count, refused ones do not, and leave nothing behind.
pub async fn limits_count_the_call(store: Arc<dyn Store>) {
    let put = async |limits: MailboxLimits, messages: &[(&str, &str, &str)]| {
        let batch: Vec<NewQueued> = messages.iter().map(|(id, from, to)| queued(id, from, to)).collect();
        store.put_messages(&batch, &limits).await.unwrap()
    };
    let limits = MailboxLimits {
        max_messages: 2,
        ..roomy()
    };
    let batch = [
        ("a1", "acct_a", "acct_1"),
        ("a2", "acct_a", "acct_1"),
        ("a3", "acct_a", "acct_1"),
    ];
    assert_eq!(
        put(limits, &batch).await,
        [at_position(0), at_position(1), PutOutcome::AccountFull]
    );
    let limits = MailboxLimits {
        max_bytes: 29,
        ..roomy()
    };
    assert_eq!(put(limits, &batch[2..]).await, [PutOutcome::AccountFull]);
    let limits = MailboxLimits {
        max_bytes: 30,
        sender_max_messages: 2,
        ..roomy()
    };
    assert_eq!(put(limits, &batch[2..]).await, [PutOutcome::SenderFull]);
    assert_eq!(
        put(
            limits,
            &[
                ("b1", "acct_b", "acct_1"),
                ("c1", "acct_a", "acct_2"),
                ("b2", "acct_b", "acct_1")
            ]
        )
        .await,
        [at_position(2), at_position(0), PutOutcome::AccountFull]
    );
    let limits = MailboxLimits {
        total_bytes: 50,
        ..roomy()
    };
    assert_eq!(
        put(limits, &[("d1", "acct_d", "acct_4"), ("d2", "acct_d", "acct_5")]).await,
        [at_position(0), PutOutcome::NetworkFull]
    );
    assert_eq!(
        message_ids(&*store, &any_message()).await,
        ["d1", "c1", "b1", "a2", "a1"]
    );
    assert_eq!(store.thread("t_acct_5", None).await.unwrap(), None);
    let total = store.mailbox_counts(None).await.unwrap();
    assert_eq!((total.queued, total.bytes), (5, 50));
    // An ended message makes room.
    let leased = store.lease_messages(&lease("acct_1", 1)).await.unwrap().messages;
    let ends = [end(&leased[0].lease, MailboxOutcome::Done)];
    store.end_leases("acct_1", "tag", &ends, at(2), 3).await.unwrap();
    let limits = MailboxLimits {
        max_messages: 3,
        total_bytes: 50,
        ..roomy()
    };
    assert_eq!(
        put(limits, &[("a3", "acct_a", "acct_1"), ("a4", "acct_c", "acct_1")]).await,
        [at_position(2), PutOutcome::AccountFull]
    );
}

/// A quarter, so that others have room too; one message may be larger.
pub async fn one_sender_fills_a_share_of_a_mailbox(store: Arc<dyn Store>) {
    let limits = MailboxLimits {
        max_bytes: 80,
        ..roomy()
    };
    let put = async |id: &str, from: &str, bytes: usize| {
        let mut new = queued(id, from, "acct_b");
        new.body = "x".repeat(bytes);
        store.put_messages(&[new], &limits).await.unwrap().remove(0)
    };
    assert_eq!(put("a1", "acct_a", 10).await, at_position(0));
    assert_eq!(put("a2", "acct_a", 11).await, PutOutcome::SenderFull);
    assert_eq!(put("a3", "acct_a", 10).await, at_position(1));
    assert_eq!(put("c1", "acct_c", 30).await, at_position(2));
    assert_eq!(put("c2", "acct_c", 1).await, PutOutcome::SenderFull);
    assert_eq!(put("d1", "acct_d", 31).await, PutOutcome::AccountFull);
    // What has ended does not count.
    let leased = store.lease_messages(&lease("acct_b", 1)).await.unwrap().messages;
    let ends: Vec<_> = leased[..2]
        .iter()
        .map(|row| end(&row.lease, MailboxOutcome::Done))
        .collect();
    store.end_leases("acct_b", "tag", &ends, at(2), 3).await.unwrap();
    assert_eq!(put("a4", "acct_a", 20).await, at_position(1));
}

/// The oldest first: of the sender where its share is full, of all senders where the mailbox is. They are told of it.
pub async fn dead_letters_make_room(store: Arc<dyn Store>) {
    let limits = MailboxLimits {
        max_bytes: 120,
        ..roomy()
    };
    let batch = |messages: &[(&str, &str)]| -> Vec<NewQueued> {
        messages.iter().map(|(id, from)| queued(id, from, "acct_b")).collect()
    };
    let dead = [
        ("c1", "acct_c"),
        ("a1", "acct_a"),
        ("a2", "acct_a"),
        ("a3", "acct_a"),
        ("c2", "acct_c"),
        ("d1", "acct_d"),
    ];
    store.put_messages(&batch(&dead), &limits).await.unwrap();
    let leased = store.lease_messages(&lease("acct_b", 1)).await.unwrap().messages;
    let ends: Vec<_> = leased.iter().map(|row| end(&row.lease, MailboxOutcome::Dead)).collect();
    store.end_leases("acct_b", "tag", &ends, at(2), 3).await.unwrap();
    let listed = async || {
        let rows = store.mailbox_messages(&mailbox("acct_b")).await.unwrap().items;
        rows.into_iter().map(|row| row.message_id).collect::<Vec<_>>()
    };
    let untold = async || {
        let untold = store.untold_ends(at(1), at(3), 9).await.unwrap();
        untold
            .into_iter()
            .map(|end| (end.end, end.row.message_id))
            .collect::<Vec<_>>()
    };
    assert!(untold().await.is_empty());
    let outcomes = store
        .put_messages(&batch(&[("a4", "acct_a"), ("a5", "acct_a")]), &limits)
        .await;
    assert_eq!(outcomes.unwrap(), [at_position(0), at_position(1)]);
    assert_eq!(listed().await, ["c1", "a3", "c2", "d1", "a4", "a5"]);
    let dropped = |ids: &[&str]| -> Vec<_> { ids.iter().map(|id| (MailboxEnd::Dropped, (*id).to_owned())).collect() };
    assert_eq!(untold().await, dropped(&["a1", "a2"]));
    // 60 of 120 bytes are used.
    let mut large = queued("e1", "acct_e", "acct_b");
    large.body = "x".repeat(75);
    let mut too_large = large.clone();
    too_large.message.message.message_id = "e2".into();
    too_large.body = "x".repeat(101);
    let outcomes = store.put_messages(&[too_large, large], &limits).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::AccountFull, at_position(2)]);
    assert_eq!(listed().await, ["c2", "d1", "a4", "a5", "e1"]);
    assert_eq!(untold().await, dropped(&["c1", "a3"]));
    let counts = store.mailbox_counts(Some("acct_b")).await.unwrap();
    assert_eq!((counts.queued, counts.dead, counts.bytes), (3, 2, 115));
    assert_eq!(store.mailbox_counts(None).await.unwrap().bytes, 115);
}

/// The counters of all accounts together are no mailbox.
pub async fn a_message_for_no_account_is_refused(store: Arc<dyn Store>) {
    let batch = [queued("m1", "acct_a", ""), queued("m2", "acct_a", "acct_b")];
    let outcomes = store.put_messages(&batch, &roomy()).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Refused, at_position(0)]);
    let total = MailboxCounts {
        queued: 1,
        bytes: 10,
        oldest_queued_at: Some(at(0)),
        ..MailboxCounts::default()
    };
    assert_eq!(store.mailbox_counts(None).await.unwrap(), total);
}
