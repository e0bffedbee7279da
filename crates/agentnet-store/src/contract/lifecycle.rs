//! The store as a whole.

use std::sync::Arc;

use super::sample::{
    any_account, any_message, any_thread, at, lease, mailbox, message, queued, requested, roomy, session,
};
use super::sample_tasks::{any_task, cancel, claim_at, new_task};
use crate::StoreError;
use crate::model::{Appended, Leased, MailboxChoice};
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
        store.thread("t", None).await.err(),
        store.threads(&any_thread()).await.err(),
        store.prune_threads(at(1), 1).await.err(),
        store.put_messages(&[queued("m", "a", "b")], &roomy()).await.err(),
        store.lease_messages(&lease("b", 1)).await.err(),
        store.mailbox_counts(None).await.err(),
        store.mailbox_messages(&mailbox("b")).await.err(),
        store.accounts_with_mail("", 1).await.err(),
        store
            .drop_messages("b", &MailboxChoice::Messages(vec!["m".into()]), at(1))
            .await
            .err(),
        store.expire_messages(at(1), 1).await.err(),
        store.bury_messages(at(1), 1, 1).await.err(),
        store.untold_ends(at(1), at(1), 1).await.err(),
        store.ends_told(&[1]).await.err(),
        store.prune_mailboxes(at(1), at(1), 1).await.err(),
        store.create_tasks(&[new_task("t")], 1).await.err(),
        store.task("t").await.err(),
        store.change_tasks(&[("t".into(), cancel())], at(1)).await.err(),
        store.claim_tasks(&claim_at(1)).await.err(),
        store.tick_tasks(at(1), 1, 1).await.err(),
        store.tasks(&any_task()).await.err(),
        store.task_children(&["t".into()]).await.err(),
        store.open_children("t", 1).await.err(),
        store.children_with_children("t", 1).await.err(),
        store.task_events("t", 0, 1).await.err(),
        store.latest_task_events(&["t".into()]).await.err(),
        store.task_counts().await.err(),
        store.prune_tasks(at(1), 1).await.err(),
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
    assert!(store.put_messages(&[], &roomy()).await.unwrap().is_empty());
    assert_eq!(store.lease_messages(&lease("b", 1)).await.unwrap(), Leased::default());
    assert!(store.end_leases("b", "tag", &[], at(1), 1).await.unwrap().is_empty());
    assert!(
        store
            .extend_leases("b", "tag", &[], at(1), at(2))
            .await
            .unwrap()
            .is_empty()
    );
    let none = MailboxChoice::Messages(Vec::new());
    let requeued = store.requeue_messages("b", &none, at(1), &roomy()).await.unwrap();
    assert!(requeued.is_empty());
    assert!(store.drop_messages("b", &none, at(1)).await.unwrap().is_empty());
    assert!(store.untold_ends(at(1), at(1), 1).await.unwrap().is_empty());
    store.ends_told(&[]).await.unwrap();
    assert!(store.expire_messages(at(1), 1).await.unwrap().is_empty());
    assert!(store.bury_messages(at(1), 1, 1).await.unwrap().is_empty());
    assert_eq!(store.prune_mailboxes(at(1), at(1), 1).await.unwrap(), 0);
    assert!(store.create_tasks(&[], 1).await.unwrap().is_empty());
    assert!(store.change_tasks(&[], at(1)).await.unwrap().is_empty());
    assert!(store.claim_tasks(&claim_at(1)).await.unwrap().is_empty());
    assert!(store.tick_tasks(at(1), 1, 1).await.unwrap().is_empty());
    assert!(store.task_children(&[]).await.unwrap().is_empty());
    assert!(store.latest_task_events(&[]).await.unwrap().is_empty());
    assert_eq!(store.prune_tasks(at(1), 1).await.unwrap(), 0);
}
