//! What an account sees of threads: `ThreadQuery::visible_to`, and `Threads::thread` with an account.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::sample::{any_thread, at, end_of_threads, queued, roomy, thread_ids};
use super::visibility::{ACCOUNTS, history, is_visible, issued, some};
use crate::model::{NewMessage, Thread, ThreadQuery};
use crate::store::Store;

/// What an account sees of a thread, by the messages.
fn seen(batch: &[NewMessage], thread_id: &str, account: &str) -> Option<Thread> {
    let mut visible: Vec<&NewMessage> = batch.iter().collect();
    visible.retain(|new| new.message.thread_id == thread_id && new.message.issuer.is_some());
    visible.retain(|new| is_visible(&new.message, account));
    let first = visible.iter().min_by_key(|new| new.message.received_at)?;
    let participants: BTreeSet<&str> = visible
        .iter()
        .flat_map(|new| [&new.message.from_account_id, &new.message.to_account_id])
        .filter_map(|id| id.as_deref())
        .collect();
    Some(Thread {
        thread_id: thread_id.to_owned(),
        created_by_account_id: first.message.from_account_id.clone(),
        participants: participants.into_iter().map(str::to_owned).collect(),
        created_at: first.message.received_at,
        updated_at: visible.iter().map(|new| new.message.received_at).max()?,
        message_count: i64::try_from(visible.len()).ok()?,
        byte_count: visible.iter().map(|new| new.byte_count).sum(),
        approx_tokens: visible.iter().map(|new| new.approx_tokens).sum(),
        latest_checkpoint_end: visible.iter().map(|new| new.checkpoint_end).max()?,
        last_message_at: visible.iter().map(|new| new.message.sent_at).max(),
    })
}

/// Counters, participants, times and the order of threads are those of the messages that the account may see.
pub async fn threads_are_seen_by_their_visible_messages(store: Arc<dyn Store>) {
    let mut batch = history();
    for (place, new) in batch.iter_mut().enumerate() {
        new.message.received_at = at(1_000 + i64::try_from(place).unwrap());
        new.byte_count = i64::try_from(place).unwrap();
        new.checkpoint_end = i64::try_from(place % 9).unwrap();
    }
    // In batches, so that what is there is added to; the last one first.
    for part in batch.chunks(25).rev() {
        store.append_messages(part).await.unwrap();
    }
    for account in ACCOUNTS {
        let mut expected: Vec<Thread> = ["t0", "t1", "t2", "t3", "t4"]
            .into_iter()
            .filter_map(|thread| seen(&batch, thread, account))
            .collect();
        for thread in &expected {
            let found = store.thread(&thread.thread_id, Some(account)).await.unwrap();
            assert_eq!(found.as_ref(), Some(thread), "{account}");
        }
        expected.sort_by(|a, b| (b.last_message_at, &b.thread_id).cmp(&(a.last_message_at, &a.thread_id)));
        for participant in [None, some(account), some("ann"), some("mallory"), some("nobody")] {
            let mut expected = expected.clone();
            expected.retain(|thread| participant.as_ref().is_none_or(|id| thread.participants.contains(id)));
            for limit in [1, 3, 100] {
                let mut query = ThreadQuery {
                    participant: participant.clone(),
                    visible_to: some(account),
                    limit,
                    ..any_thread()
                };
                let mut walked = Vec::new();
                loop {
                    let page = store.threads(&query).await.unwrap();
                    query.before = end_of_threads(&page);
                    walked.extend(page.items);
                    if !page.more {
                        break;
                    }
                }
                assert_eq!(walked, expected, "{query:?}");
            }
        }
    }
    assert_eq!(store.thread("t1", Some("nobody")).await.unwrap(), None);
    assert_eq!(store.thread("t4", Some("ann")).await.unwrap(), None);
}

/// A message that a mailbox keeps is seen as any other; retention takes what was seen with the thread.
pub async fn views_follow_mailboxes_and_retention(store: Arc<dyn Store>) {
    let mut kept = queued("1", "ann", "bob");
    kept.message.message.issuer = some("ann");
    store.put_messages(&[kept.clone()], &roomy()).await.unwrap();
    // It is captured later on.
    store.append_messages(&[kept.message]).await.unwrap();
    store
        .append_messages(&[issued("2", "young", "ann", "bob", 9)])
        .await
        .unwrap();
    for account in ["ann", "bob"] {
        let thread = store.thread("t_bob", Some(account)).await.unwrap().unwrap();
        assert_eq!((thread.message_count, thread.byte_count), (1, 10));
    }
    assert_eq!(store.prune_threads(at(5), 10).await.unwrap().threads, 1);
    for account in ["ann", "bob"] {
        assert_eq!(store.thread("t_bob", Some(account)).await.unwrap(), None);
        let query = ThreadQuery {
            visible_to: some(account),
            ..any_thread()
        };
        assert_eq!(thread_ids(&*store, &query).await, ["young"]);
    }
    // A thread begins anew.
    store
        .append_messages(&[issued("3", "t_bob", "bob", "ann", 10)])
        .await
        .unwrap();
    let thread = store.thread("t_bob", Some("ann")).await.unwrap().unwrap();
    assert_eq!((thread.message_count, thread.created_at), (1, at(10)));
}

/// Counters stop at the largest number, and participants at 256, the account itself among them.
pub async fn views_are_bounded(store: Arc<dyn Store>) {
    for part in 0..3 {
        let batch: Vec<NewMessage> = (0..120)
            .map(|index| {
                let mut new = issued(
                    &format!("m{part}_{index}"),
                    "crowd",
                    "zoe",
                    &format!("acct_{part}_{index}"),
                    1,
                );
                new.byte_count = i64::MAX;
                new.approx_tokens = i64::MAX;
                new
            })
            .collect();
        store.append_messages(&batch).await.unwrap();
    }
    let thread = store.thread("crowd", Some("zoe")).await.unwrap().unwrap();
    assert_eq!(
        (thread.message_count, thread.byte_count, thread.approx_tokens),
        (360, i64::MAX, i64::MAX)
    );
    assert_eq!(thread.participants.len(), 256);
    assert!(thread.participants.is_sorted());
    for known in ["zoe", "acct_0_0", "acct_0_119", "acct_1_119"] {
        assert!(thread.participants.contains(&known.to_owned()), "{known}");
    }
    // One that came late sees its part all the same.
    let thread = store.thread("crowd", Some("acct_2_119")).await.unwrap().unwrap();
    assert_eq!(thread.participants, ["acct_2_119", "zoe"]);
}

/// Four writers, the same threads, every message offered by two of them: what each account sees counts once.
pub async fn concurrent_batches_count_exactly_for_each_account(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for writer in 0..4_usize {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for batch in 0..10 {
                let messages: Vec<NewMessage> = (0..40)
                    .map(|index| {
                        let id = format!("m_{}_{batch}_{index}", writer / 2);
                        let (from, to) = (ACCOUNTS[index % 4], ACCOUNTS[(index + 1) % 4]);
                        issued(&id, &format!("t{}", index % 3), from, to, 1)
                    })
                    .collect();
                store.append_messages(&messages).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let mut expected: BTreeMap<(String, &str), i64> = BTreeMap::new();
    for index in 0..40 {
        for account in [ACCOUNTS[index % 4], ACCOUNTS[(index + 1) % 4]] {
            *expected.entry((format!("t{}", index % 3), account)).or_default() += 20;
        }
    }
    for ((thread_id, account), count) in expected {
        let thread = store.thread(&thread_id, Some(account)).await.unwrap().unwrap();
        assert_eq!((thread.message_count, thread.byte_count), (count, count * 10));
        assert_eq!(thread.participants.len(), 3, "{account} and its neighbours");
    }
}
