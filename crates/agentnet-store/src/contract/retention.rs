//! Removing what is old.

use std::sync::Arc;

use super::sample::{any_message, any_thread, at, message, message_ids, session, thread_ids};
use crate::model::{NewMessage, Pruned, ThreadQuery};
use crate::store::Store;

/// Only offline sessions, by when they went offline; a session of that very moment stays.
pub async fn sessions_that_ended_are_pruned(store: Arc<dyn Store>) {
    store
        .upsert_sessions(&["old", "edge", "new", "online"].map(session))
        .await
        .unwrap();
    let ended = [("old", 20), ("edge", 30), ("new", 40)].map(|(tag, seconds)| (tag.to_owned(), at(seconds)));
    store.end_sessions(&ended).await.unwrap();
    assert_eq!(store.prune_sessions(at(30)).await.unwrap(), 1);
    assert_eq!(store.prune_sessions(at(30)).await.unwrap(), 0);
    assert_eq!(store.session("old").await.unwrap(), None);
    for kept in ["edge", "new", "online"] {
        assert!(store.session(kept).await.unwrap().is_some(), "{kept}");
    }
    assert_eq!(store.prune_sessions(at(1_000_000)).await.unwrap(), 2);
    assert_eq!(store.online_sessions().await.unwrap(), [session("online")]);
}

/// By the last receipt, not by what senders' clocks say; at most `limit`; the others keep everything.
pub async fn threads_are_pruned_oldest_first_with_their_messages(store: Arc<dyn Store>) {
    let received = |id: String, thread: &str, received, sent| {
        let mut new = message(&id, thread, sent);
        new.message.received_at = at(received);
        new
    };
    let mut batch: Vec<NewMessage> = Vec::new();
    for (thread, received_at, sent_at) in [
        ("t3", 3, 900),
        ("t1", 1, 5),
        ("t2", 2, 5),
        ("edge", 10, 5),
        ("new", 11, -900),
    ] {
        batch.extend((0..3).map(|n| received(format!("{thread}_{n}"), thread, received_at, sent_at)));
    }
    store.append_messages(&batch).await.unwrap();

    assert_eq!(store.prune_threads(at(10), 0).await.unwrap(), Pruned::default());
    assert_eq!(
        store.prune_threads(at(10), 2).await.unwrap(),
        Pruned {
            threads: 2,
            messages: 6
        }
    );
    assert_eq!(store.thread("t1", None).await.unwrap(), None);
    assert_eq!(store.thread("t2", None).await.unwrap(), None);
    assert!(store.thread("t3", None).await.unwrap().is_some());
    assert_eq!(
        store.prune_threads(at(10), 500).await.unwrap(),
        Pruned {
            threads: 1,
            messages: 3
        }
    );
    assert_eq!(store.prune_threads(at(10), 500).await.unwrap(), Pruned::default());

    assert_eq!(thread_ids(&*store, &any_thread()).await, ["edge", "new"]);
    let of = ThreadQuery {
        participant: Some("acct_a".into()),
        ..any_thread()
    };
    assert_eq!(thread_ids(&*store, &of).await, ["edge", "new"]);
    let left = message_ids(&*store, &any_message()).await;
    assert_eq!(left, ["edge_2", "edge_1", "edge_0", "new_2", "new_1", "new_0"]);
}

/// Nothing of the old thread is left over.
pub async fn a_pruned_thread_can_begin_anew(store: Arc<dyn Store>) {
    store.append_messages(&[message("m", "t", 1)]).await.unwrap();
    store.prune_threads(at(2), 10).await.unwrap();
    let mut again = message("m", "t", 5);
    again.message.from_account_id = Some("acct_z".into());
    assert_eq!(store.append_messages(&[again]).await.unwrap().stored, 1);
    let thread = store.thread("t", None).await.unwrap().unwrap();
    assert_eq!((thread.message_count, thread.created_at), (1, at(5)));
    assert_eq!(thread.created_by_account_id.as_deref(), Some("acct_z"));
    assert_eq!(thread.participants, ["acct_b", "acct_z"]);
}
