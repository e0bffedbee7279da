//! Threads as their messages change them.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::sample::{any_thread, at, message};
use crate::model::{NewMessage, Thread, ThreadQuery};
use crate::store::Store;

/// Over several batches, whatever the order of arrival.
pub async fn counters_are_sums_and_maxima(store: Arc<dyn Store>) {
    let mut with_checkpoint = message("m2", "t", 9);
    with_checkpoint.checkpoint_end = 5;
    with_checkpoint.byte_count = 4;
    with_checkpoint.approx_tokens = 0;
    let mut lower_checkpoint = message("m3", "t", 3);
    lower_checkpoint.checkpoint_end = 2;
    lower_checkpoint.message.received_at = at(20);
    store
        .append_messages(&[message("m1", "t", 4), with_checkpoint])
        .await
        .unwrap();
    store
        .append_messages(&[lower_checkpoint, message("x", "other", 50)])
        .await
        .unwrap();
    let expected = Thread {
        thread_id: "t".into(),
        created_by_account_id: Some("acct_a".into()),
        participants: vec!["acct_a".into(), "acct_b".into()],
        created_at: at(4),
        updated_at: at(20),
        message_count: 3,
        byte_count: 24,
        approx_tokens: 6,
        latest_checkpoint_end: 5,
        last_message_at: Some(at(9)),
    };
    assert_eq!(store.thread("t", None).await.unwrap(), Some(expected));
    assert_eq!(store.thread("T", None).await.unwrap(), None);
}

/// Blank accounts do not take part; the white space of the wire includes U+001C to U+001F.
pub async fn participants_are_trimmed_and_sorted(store: Arc<dyn Store>) {
    let between = |id: &str, from: Option<&str>, to: Option<&str>| {
        let mut new = message(id, "t", 1);
        new.message.from_account_id = from.map(str::to_owned);
        new.message.to_account_id = to.map(str::to_owned);
        new
    };
    store
        .append_messages(&[
            between("1", None, Some(" \u{1c}\t")),
            between("2", Some(" zoe\u{1f}"), None),
        ])
        .await
        .unwrap();
    store
        .append_messages(&[
            between("3", Some("Zoe"), Some("ann")),
            between("4", Some("ann "), Some("")),
        ])
        .await
        .unwrap();
    let thread = store.thread("t", None).await.unwrap().unwrap();
    assert_eq!(thread.participants, ["Zoe", "ann", "zoe"]);
    assert_eq!(thread.message_count, 4);
}

/// Who is recorded stays, and the thread still moves for them; who comes when there is no room is not.
pub async fn participants_are_bounded(store: Arc<dyn Store>) {
    let from = |number: usize, seconds: i64| {
        let mut new = message(&format!("m{number}_{seconds}"), "t", seconds);
        new.message.from_account_id = Some(format!("acct_{number:04}"));
        new.message.to_account_id = Some("zoe".into());
        new
    };
    store.append_messages(&[from(9000, 1)]).await.unwrap();
    for start in (1000..1400).step_by(80) {
        let batch: Vec<NewMessage> = (start..start + 80).map(|number| from(number, 2)).collect();
        store.append_messages(&batch).await.unwrap();
    }
    let more: Vec<NewMessage> = (0..300).map(|number| from(number, 3)).chain([from(9000, 3)]).collect();
    store.append_messages(&more).await.unwrap();
    let thread = store.thread("t", None).await.unwrap().unwrap();
    let first = (1000..1254).map(|number| format!("acct_{number}"));
    let expected: Vec<String> = first.chain(["acct_9000".into(), "zoe".into()]).collect();
    assert_eq!(thread.participants, expected);
    assert_eq!(thread.message_count, 702, "messages of the others count");

    let mut elsewhere = from(1001, 50);
    elsewhere.message.thread_id = "u".into();
    store.append_messages(&[elsewhere]).await.unwrap();
    store.append_messages(&[from(5000, 60)]).await.unwrap();
    let query = ThreadQuery {
        participant: Some("acct_1001".into()),
        ..any_thread()
    };
    let ids: Vec<String> = store
        .threads(&query)
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|t| t.thread_id)
        .collect();
    assert_eq!(ids, ["t", "u"]);

    let crowd: Vec<NewMessage> = (0..300)
        .map(|number| {
            let mut new = from(number, 4);
            new.message.thread_id = "crowd".into();
            new.message.message_id.push('c');
            new
        })
        .collect();
    store.append_messages(&crowd).await.unwrap();
    assert_eq!(
        store.thread("crowd", None).await.unwrap().unwrap().participants.len(),
        256
    );
}

/// Creator and creation are those of the message that was received first, whichever is stored first; even when it had no
/// sender.
pub async fn the_first_message_makes_the_thread(store: Arc<dyn Store>) {
    let from = |id: &str, thread: &str, account: Option<&str>, seconds| {
        let mut new = message(id, thread, seconds);
        new.message.from_account_id = account.map(str::to_owned);
        new
    };
    store
        .append_messages(&[from("1", "t", Some("ann"), 5), from("2", "t", Some("bob"), 3)])
        .await
        .unwrap();
    let thread = store.thread("t", None).await.unwrap().unwrap();
    assert_eq!(
        (thread.created_by_account_id.as_deref(), thread.created_at),
        (Some("bob"), at(3))
    );
    store.append_messages(&[from("9", "t", Some("eve"), 3)]).await.unwrap();
    let thread = store.thread("t", None).await.unwrap().unwrap();
    assert_eq!(
        thread.created_by_account_id.as_deref(),
        Some("bob"),
        "of two at once, the one stored first"
    );
    store
        .append_messages(&[from("3", "t", Some("cid"), 1), from("4", "u", None, 1)])
        .await
        .unwrap();
    store.append_messages(&[from("5", "u", Some("dan"), 2)]).await.unwrap();
    let thread = store.thread("t", None).await.unwrap().unwrap();
    assert_eq!(
        (thread.created_by_account_id.as_deref(), thread.created_at),
        (Some("cid"), at(1))
    );
    assert_eq!(thread.updated_at, at(5));
    let thread = store.thread("u", None).await.unwrap().unwrap();
    assert_eq!((thread.created_by_account_id, thread.created_at), (None, at(1)));
}

/// A sum beyond the largest number stays there; nothing wraps or is refused.
pub async fn counters_stop_at_the_largest_number(store: Arc<dyn Store>) {
    for id in ["1", "2", "3"] {
        let mut huge = message(id, "t", 1);
        huge.byte_count = i64::MAX - 1;
        huge.approx_tokens = i64::MAX;
        huge.checkpoint_end = i64::MAX;
        let appended = store.append_messages(&[huge.clone(), huge]).await.unwrap();
        assert_eq!((appended.stored, appended.duplicates), (1, 1));
    }
    let thread = store.thread("t", None).await.unwrap().unwrap();
    assert_eq!((thread.message_count, thread.byte_count), (3, i64::MAX));
    assert_eq!(
        (thread.approx_tokens, thread.latest_checkpoint_end),
        (i64::MAX, i64::MAX)
    );
}

/// Four writers, the same threads, every message offered by two of them: each counts once, no participant is lost.
pub async fn concurrent_batches_count_exactly(store: Arc<dyn Store>) {
    const BATCHES: usize = 10;
    const SIZE: usize = 40;
    let mut tasks = JoinSet::new();
    for writer in 0..4_usize {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut stored = 0;
            for batch in 0..BATCHES {
                let messages: Vec<NewMessage> = (0..SIZE)
                    .map(|index| {
                        // Writers 0 and 1 send the same messages, and so do 2 and 3; the threads are the same for all.
                        let id = format!("m_{}_{batch}_{index}", writer / 2);
                        let mut new = message(&id, &format!("t{}", index % 4), 1);
                        new.message.from_account_id = Some(format!("acct_{writer}"));
                        new
                    })
                    .collect();
                let appended = store.append_messages(&messages).await.unwrap();
                assert_eq!(appended.stored + appended.duplicates, SIZE);
                stored += appended.stored;
            }
            stored
        });
    }
    let stored: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(stored, 2 * BATCHES * SIZE);
    for index in 0..4 {
        let thread = store.thread(&format!("t{index}"), None).await.unwrap().unwrap();
        let count = i64::try_from(2 * BATCHES * SIZE / 4).unwrap();
        assert_eq!(
            (thread.message_count, thread.byte_count, thread.approx_tokens),
            (count, count * 10, count * 3)
        );
        assert_eq!(thread.participants, ["acct_0", "acct_1", "acct_2", "acct_3", "acct_b"]);
    }
}
