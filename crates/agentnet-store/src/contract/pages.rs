//! Pages of messages and of threads.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::sample::{any_message, any_thread, at, end_of, end_of_threads, message, thread_ids};
use crate::model::{MessageQuery, NewMessage, ThreadQuery};
use crate::store::Store;

/// Walks all pages and checks that only full ones have more behind them.
async fn walk(store: &dyn Store, mut query: MessageQuery) -> Vec<String> {
    let mut walked = Vec::new();
    loop {
        let page = store.messages(&query).await.unwrap();
        query.before = end_of(&page);
        walked.extend(page.items.into_iter().map(|message| message.message_id));
        if !page.more {
            return walked;
        }
        assert_eq!(walked.len() % query.limit, 0, "a page with more behind it is full");
    }
}

/// `sent_at` descending, then the id descending by code point; pages of any size cut between equal times.
pub async fn newest_first_with_ties_by_id(store: Arc<dyn Store>) {
    let batch = ["B", "a", "Z", "b", "é", "10", "9", "_"].map(|id| message(id, "t", 5));
    store.append_messages(&batch).await.unwrap();
    store
        .append_messages(&[message("old", "t", 1), message("new", "t", 9)])
        .await
        .unwrap();
    let expected = ["new", "é", "b", "a", "_", "Z", "B", "9", "10", "old"];
    for limit in 1..=11 {
        assert_eq!(
            walk(&*store, MessageQuery { limit, ..any_message() }).await,
            expected,
            "{limit}"
        );
    }
}

/// Each filter alone and with others; case counts; an unknown value is an empty page.
pub async fn filters_are_exact_and_combine(store: Arc<dyn Store>) {
    let row = |id: &str, thread: &str, from: Option<&str>, to: Option<&str>, kind: &str, seconds| {
        let mut new = message(id, thread, seconds);
        new.message.from_account_id = from.map(str::to_owned);
        new.message.to_account_id = to.map(str::to_owned);
        new.message.kind = kind.into();
        new
    };
    store
        .append_messages(&[
            row("m1", "t1", Some("a"), Some("b"), "direct", 1),
            row("m2", "t1", Some("b"), Some("a"), "reply", 2),
            row("m3", "t2", Some("a"), None, "request", 3),
            row("m4", "T1", None, Some("b"), "direct", 4),
            row("m5", "t1", Some("a"), Some("b"), "Direct", 5),
        ])
        .await
        .unwrap();
    let text = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
    for (thread, from, to, kind, expected) in [
        ("t1", "", "", "", &["m5", "m2", "m1"][..]),
        ("", "a", "", "", &["m5", "m3", "m1"]),
        ("", "", "b", "", &["m5", "m4", "m1"]),
        ("", "", "", "direct", &["m4", "m1"]),
        ("t1", "a", "", "", &["m5", "m1"]),
        ("t1", "", "b", "direct", &["m1"]),
        ("", "a", "b", "", &["m5", "m1"]),
        ("t1", "a", "b", "Direct", &["m5"]),
        ("t2", "b", "", "", &[]),
        ("unknown", "", "", "", &[]),
        ("", "", "", "", &["m5", "m4", "m3", "m2", "m1"]),
    ] {
        let query = MessageQuery {
            thread_id: text(thread),
            from_account_id: text(from),
            to_account_id: text(to),
            kind: text(kind),
            limit: 2,
            ..MessageQuery::default()
        };
        assert_eq!(walk(&*store, query.clone()).await, expected, "{query:?}");
    }
}

/// Both ends belong to the range, alone, together, and with a page's end.
pub async fn time_bounds_are_inclusive(store: Arc<dyn Store>) {
    let batch: Vec<NewMessage> = (0..10).map(|index| message(&format!("m{index}"), "t", index)).collect();
    store.append_messages(&batch).await.unwrap();
    let bounded = |from: Option<i64>, to: Option<i64>| MessageQuery {
        thread_id: Some("t".into()),
        from: from.map(at),
        to: to.map(at),
        limit: 2,
        ..MessageQuery::default()
    };
    assert_eq!(walk(&*store, bounded(Some(7), None)).await, ["m9", "m8", "m7"]);
    assert_eq!(walk(&*store, bounded(None, Some(2))).await, ["m2", "m1", "m0"]);
    assert_eq!(walk(&*store, bounded(Some(3), Some(6))).await, ["m6", "m5", "m4", "m3"]);
    assert_eq!(walk(&*store, bounded(Some(4), Some(4))).await, ["m4"]);
    assert!(walk(&*store, bounded(Some(6), Some(3))).await.is_empty());
    let everywhere = MessageQuery {
        thread_id: None,
        ..bounded(Some(3), Some(5))
    };
    assert_eq!(walk(&*store, everywhere).await, ["m5", "m4", "m3"]);
}

/// Messages that arrive between two pages, newer ones and late ones, neither repeat nor hide one that was there.
pub async fn pages_stay_true_while_messages_arrive(store: Arc<dyn Store>) {
    let batch: Vec<NewMessage> = (0..30)
        .map(|index| message(&format!("m{index:02}"), "t", index / 3))
        .collect();
    store.append_messages(&batch).await.unwrap();
    let mut query = MessageQuery {
        thread_id: Some("t".into()),
        limit: 4,
        ..any_message()
    };
    let mut walked = Vec::new();
    for page_number in 0.. {
        let page = store.messages(&query).await.unwrap();
        query.before = end_of(&page);
        walked.extend(page.items.into_iter().map(|message| message.message_id));
        let newer = message(&format!("newer{page_number}"), "t", 100 + page_number);
        let late = message(&format!("late{page_number}"), "t", 9);
        store.append_messages(&[newer, late]).await.unwrap();
        if !page.more {
            break;
        }
    }
    let expected: Vec<String> = (0..30).rev().map(|index| format!("m{index:02}")).collect();
    assert_eq!(walked, expected);
}

/// A long thread, many messages of one moment, pages of the largest size of the wire.
pub async fn a_walk_through_ten_thousand_messages_sees_each_once(store: Arc<dyn Store>) {
    let batch: Vec<NewMessage> = (0..10_000)
        .map(|index| message(&format!("m{:05}", index * 7 % 10_000), "t", index % 40))
        .collect();
    for part in batch.chunks(500) {
        store.append_messages(part).await.unwrap();
    }
    store.append_messages(&[message("other", "t2", 3)]).await.unwrap();
    let query = MessageQuery {
        thread_id: Some("t".into()),
        limit: 200,
        ..MessageQuery::default()
    };
    let walked = walk(&*store, query).await;
    assert_eq!(walked.len(), 10_000);
    assert_eq!(walked.iter().collect::<BTreeSet<_>>().len(), 10_000);
    assert_eq!(store.thread("t", None).await.unwrap().unwrap().message_count, 10_000);
}

/// The largest `sent_at` counts, and `updated_at` for a thread without messages; ties by thread id descending.
pub async fn threads_come_by_last_activity(store: Arc<dyn Store>) {
    store
        .append_messages(&[
            message("1", "b", 5),
            message("2", "a", 5),
            message("3", "Z", 5),
            message("4", "late", 9),
            message("5", "late", 1),
            message("1", "empty", 7),
        ])
        .await
        .unwrap();
    let expected = ["late", "empty", "b", "a", "Z"];
    for participant in [None, Some("acct_b".to_owned())] {
        for limit in 1..=6 {
            let mut query = ThreadQuery {
                limit,
                participant: participant.clone(),
                ..any_thread()
            };
            let mut walked = Vec::new();
            loop {
                let page = store.threads(&query).await.unwrap();
                query.before = end_of_threads(&page);
                for thread in page.items {
                    assert_eq!(thread.participants, ["acct_a", "acct_b"], "{}", thread.thread_id);
                    assert_eq!(
                        store.thread(&thread.thread_id, None).await.unwrap().as_ref(),
                        Some(&thread)
                    );
                    walked.push(thread.thread_id);
                }
                if !page.more {
                    break;
                }
                assert_eq!(walked.len() % limit, 0);
            }
            assert_eq!(walked, expected, "{query:?}");
        }
    }
}

/// A message moves its thread to the top for all participants, also those that it does not name.
pub async fn threads_of_a_participant_follow_every_message(store: Arc<dyn Store>) {
    let between = |id: &str, thread: &str, from: &str, to: &str, seconds| {
        let mut new = message(id, thread, seconds);
        new.message.from_account_id = Some(from.into());
        new.message.to_account_id = Some(to.into());
        new
    };
    let of = |account: &str| ThreadQuery {
        participant: Some(account.into()),
        ..any_thread()
    };
    store
        .append_messages(&[
            between("1", "t1", "ann", "bob", 1),
            between("2", "t2", "ann", "cid", 2),
            between("3", "t3", "bob", "cid", 3),
        ])
        .await
        .unwrap();
    assert_eq!(thread_ids(&*store, &of("ann")).await, ["t2", "t1"]);
    assert_eq!(thread_ids(&*store, &of("bob")).await, ["t3", "t1"]);
    store
        .append_messages(&[between("4", "t1", "bob", "dan", 4)])
        .await
        .unwrap();
    assert_eq!(thread_ids(&*store, &of("ann")).await, ["t1", "t2"]);
    assert_eq!(thread_ids(&*store, &of("dan")).await, ["t1"]);
    assert_eq!(thread_ids(&*store, &any_thread()).await, ["t1", "t3", "t2"]);
    for nobody in ["an", "ANN", "%", ""] {
        assert!(thread_ids(&*store, &of(nobody)).await.is_empty(), "{nobody}");
    }
}

/// As for accounts: no wildcards, any script; together with a participant.
pub async fn thread_search_is_literal_and_ignores_case(store: Arc<dyn Store>) {
    let ids = ["thread_100%", "THREAD-Ä", "thread\\x", "plain"];
    let batch: Vec<NewMessage> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| message(&n.to_string(), id, 0))
        .collect();
    store.append_messages(&batch).await.unwrap();
    for (text, expected) in [
        ("%", &["thread_100%"][..]),
        ("D_1", &["thread_100%"]),
        ("_", &["thread_100%"]),
        ("\\", &["thread\\x"]),
        ("ä", &["THREAD-Ä"]),
        ("Thread", &["thread_100%", "thread\\x", "THREAD-Ä"]),
        ("t%d", &[]),
    ] {
        let mut query = ThreadQuery {
            text: text.into(),
            ..any_thread()
        };
        assert_eq!(thread_ids(&*store, &query).await, expected, "{text}");
        query.participant = Some("acct_a".into());
        assert_eq!(thread_ids(&*store, &query).await, expected, "{text}");
        query.participant = Some("acct_z".into());
        assert!(thread_ids(&*store, &query).await.is_empty(), "{text}");
    }
}
