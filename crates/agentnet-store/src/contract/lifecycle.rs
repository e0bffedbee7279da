//! The store as a whole.

use std::sync::Arc;

use super::sample::{any_account, any_message, any_thread, at, message, requested, session};
use crate::StoreError;
use crate::model::Appended;
use crate::store::Store;

/// It says what it is and that it is there.
pub async fn an_open_store_answers(store: Arc<dyn Store>) {
    assert!(["sqlite", "postgres"].contains(&store.backend()));
    store.ping().await.unwrap();
}

/// Every call after `close` says so; closing twice is harmless.
pub async fn a_closed_store_is_unavailable(store: Arc<dyn Store>) {
    store.claim_account(&requested("alice")).await.unwrap();
    store.close().await;
    store.close().await;
    let results = [
        store.ping().await.err(),
        store.claim_account(&requested("bob")).await.err(),
        store.account_by_id("x").await.err(),
        store.account_by_username("x").await.err(),
        store.known_accounts(&["x".into()]).await.err(),
        store.accounts(&any_account()).await.err(),
        store.upsert_sessions(&[session("s")]).await.err(),
        store.touch_sessions(&[("s".into(), at(1))]).await.err(),
        store.end_sessions(&[("s".into(), at(1))]).await.err(),
        store.session("s").await.err(),
        store.online_sessions().await.err(),
        store.prune_sessions(at(1)).await.err(),
        store.append_messages(&[message("m", "t", 1)]).await.err(),
        store.messages(&any_message()).await.err(),
        store.thread("t").await.err(),
        store.threads(&any_thread()).await.err(),
        store.prune_threads(at(1), 1).await.err(),
    ];
    for (index, result) in results.into_iter().enumerate() {
        assert!(
            matches!(result, Some(StoreError::Unavailable(_))),
            "call {index}: {result:?}"
        );
    }
}

/// Nothing to do is no error.
pub async fn empty_batches_do_nothing(store: Arc<dyn Store>) {
    assert_eq!(store.append_messages(&[]).await.unwrap(), Appended::default());
    store.upsert_sessions(&[]).await.unwrap();
    store.touch_sessions(&[]).await.unwrap();
    store.end_sessions(&[]).await.unwrap();
    assert_eq!(store.prune_sessions(at(0)).await.unwrap(), 0);
    assert_eq!(
        store.prune_threads(at(0), 10).await.unwrap(),
        crate::model::Pruned::default()
    );
    assert!(store.threads(&any_thread()).await.unwrap().items.is_empty());
}
