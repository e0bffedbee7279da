//! The store's part of putting messages in, for many senders at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use agentnet_store::model::{Account, MailboxLimits, NewQueued, PutOutcome};
use agentnet_store::{Store, StoreError};
use futures::StreamExt as _;

use crate::batch_lookup::{BatchLoader, Loaded};

/// Messages in one transaction.
const MAX_PUTS: usize = 64;
/// A transaction runs alone for so long: messages are kept in the order in which they came. After that the database is in
/// trouble, and the order of what was sent at the same time matters less than that it is kept.
const PUT_EXCLUSIVE_TIME: Duration = Duration::from_secs(5);
/// Accounts that are read together, and how many of them at the same time.
const MAX_PROFILES: usize = 256;
const PROFILE_CONCURRENCY: usize = 4;
const PROFILE_EXCLUSIVE_TIME: Duration = Duration::from_millis(50);

/// What has become of a message that was to be kept.
pub(super) type PutLoader = BatchLoader<NewQueued, PutOutcome>;

/// The account with an id, with its metadata.
pub(super) type ProfileLoader = BatchLoader<String, Option<Arc<Account>>>;

/// Puts messages in, in batches.
pub(super) fn put_loader(store: &Arc<dyn Store>, limits: MailboxLimits) -> PutLoader {
    let store = Arc::clone(store);
    BatchLoader::start(PUT_EXCLUSIVE_TIME, MAX_PUTS, move |messages: Vec<NewQueued>| {
        let store = Arc::clone(&store);
        async move { put(store.as_ref(), &messages, &limits).await }
    })
}

async fn put(store: &dyn Store, messages: &[NewQueued], limits: &MailboxLimits) -> Vec<Loaded<PutOutcome>> {
    match store.put_messages(messages, limits).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) if error.is_unreachable() => {
            let error = Arc::new(error);
            messages.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
        // One message that fails must not fail the others.
        Err(error) if messages.len() == 1 => vec![Err(Arc::new(error))],
        Err(_) => {
            let mut outcomes = Vec::with_capacity(messages.len());
            for message in messages {
                let outcome = store.put_messages(std::slice::from_ref(message), limits).await;
                let missing = || StoreError::Corrupt("a message that was put in has no outcome".to_owned());
                let outcome = outcome.and_then(|mut outcomes| outcomes.pop().ok_or_else(missing));
                outcomes.push(outcome.map_err(Arc::new));
            }
            outcomes
        }
    }
}

/// Reads accounts; each one once, however many messages to it come together.
pub(super) fn profile_loader(store: &Arc<dyn Store>) -> ProfileLoader {
    let store = Arc::clone(store);
    BatchLoader::start(PROFILE_EXCLUSIVE_TIME, MAX_PROFILES, move |ids: Vec<String>| {
        let store = Arc::clone(&store);
        async move { profiles(store.as_ref(), &ids).await }
    })
}

async fn profiles(store: &dyn Store, ids: &[String]) -> Vec<Loaded<Option<Arc<Account>>>> {
    let distinct: HashSet<String> = ids.iter().cloned().collect();
    let found: HashMap<String, Loaded<Option<Arc<Account>>>> = futures::stream::iter(distinct)
        .map(|id: String| async move {
            let account = store.account_by_id(&id).await;
            (id, account.map(|account| account.map(Arc::new)).map_err(Arc::new))
        })
        .buffer_unordered(PROFILE_CONCURRENCY)
        .collect()
        .await;
    ids.iter()
        .map(|id| found.get(id).cloned().unwrap_or(Ok(None)))
        .collect()
}
