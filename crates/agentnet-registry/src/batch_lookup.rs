//! Batch loading: lookups of many requests in one statement.
//!
//! A lookup that arrives while a statement runs waits, and goes into the next statement with all others that arrived
//! meanwhile. So a single lookup does not wait, and many need few statements. Nothing is cached: each answer is what the
//! store says now.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agentnet_store::model::{Account, AccountClaim, KnownAccount};
use agentnet_store::{Store, StoreError};
use futures::FutureExt as _;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

/// Statements that may run at the same time.
const CONCURRENCY: usize = 2;
/// A statement of lookups runs alone for so long, and the next one collects keys meanwhile. A slower one goes on beside it.
const LOOKUP_EXCLUSIVE_TIME: Duration = Duration::from_millis(50);
/// Claims run side by side: while one waits for the disk, another is prepared.
const CLAIM_EXCLUSIVE_TIME: Duration = Duration::ZERO;
/// Keys that may wait for a statement; further callers wait for room.
const QUEUE_CAPACITY: usize = 4_096;
/// Usernames, or account ids, in one statement.
const MAX_KEYS: usize = 256;
/// Claims in one statement.
const MAX_CLAIMS: usize = 64;

/// The value of a key, or the error of its statement.
pub(crate) type Loaded<V> = Result<V, Arc<StoreError>>;

/// Loads the values of keys in batches. Its tasks end when it is dropped.
#[derive(Debug)]
pub(crate) struct BatchLoader<K, V> {
    queue: mpsc::Sender<Pending<K, V>>,
}

#[derive(Debug)]
struct Pending<K, V> {
    key: K,
    reply: oneshot::Sender<Loaded<V>>,
}

/// The account id of a normalised username.
pub(crate) type AccountIdLoader = BatchLoader<String, Option<String>>;

/// The account with an id.
pub(crate) type AccountLoader = BatchLoader<String, Option<Arc<KnownAccount>>>;

/// The account that a registration claims.
pub(crate) type ClaimLoader = BatchLoader<AccountClaim, Account>;

impl<K: Send + 'static, V: Send + 'static> BatchLoader<K, V> {
    /// `load` gets at most `max_keys` keys, and returns the value of each in their order.
    pub(crate) fn start<F, Fut>(exclusive_time: Duration, max_keys: usize, load: F) -> Self
    where
        F: Fn(Vec<K>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Vec<Loaded<V>>> + Send + 'static,
    {
        let (queue, pending) = mpsc::channel(QUEUE_CAPACITY);
        let pending = Arc::new(Mutex::new(pending));
        for _ in 0..CONCURRENCY {
            tokio::spawn(run(exclusive_time, max_keys, load.clone(), Arc::clone(&pending)));
        }
        Self { queue }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The store's error.
    pub(crate) async fn load(&self, key: K) -> Loaded<V> {
        self.enqueue(key).await.value().await
    }

    /// Adds a key to the queue, which keeps the order of these calls.
    pub(crate) async fn enqueue(&self, key: K) -> PendingValue<V> {
        let (reply, loaded) = oneshot::channel();
        // Without a task that loads, the reply is dropped with the key.
        let _ = self.queue.send(Pending { key, reply }).await;
        PendingValue(loaded)
    }
}

/// A key in the queue.
#[derive(Debug)]
pub(crate) struct PendingValue<V>(oneshot::Receiver<Loaded<V>>);

impl<V> PendingValue<V> {
    /// The value of the key.
    ///
    /// # Errors
    /// The store's error.
    pub(crate) async fn value(self) -> Loaded<V> {
        let ended = |_| {
            Err(Arc::new(StoreError::Unavailable(
                "the registry could not ask it".to_owned(),
            )))
        };
        self.0.await.unwrap_or_else(ended)
    }
}

async fn run<K, V, F, Fut>(
    exclusive_time: Duration,
    max_keys: usize,
    load: F,
    pending: Arc<Mutex<mpsc::Receiver<Pending<K, V>>>>,
) where
    F: Fn(Vec<K>) -> Fut,
    Fut: Future<Output = Vec<Loaded<V>>>,
{
    let mut batch = Vec::with_capacity(max_keys);
    loop {
        let mut turn = pending.lock().await;
        if turn.recv_many(&mut batch, max_keys).await == 0 {
            return;
        }
        // Callers that gave up need no value.
        batch.retain(|pending: &Pending<K, V>| !pending.reply.is_closed());
        if batch.is_empty() {
            continue;
        }
        let (keys, replies): (Vec<_>, Vec<_>) = batch.drain(..).map(|pending| (pending.key, pending.reply)).unzip();
        let mut loading = pin!(AssertUnwindSafe(load(keys)).catch_unwind());
        let in_time = match exclusive_time {
            Duration::ZERO => None,
            exclusive_time => timeout(exclusive_time, loading.as_mut()).await.ok(),
        };
        drop(turn);
        let values = match in_time {
            Some(values) => values,
            None => loading.await,
        };
        let Ok(values) = values else {
            tracing::error!("a batch lookup panicked");
            continue;
        };
        for (reply, value) in replies.into_iter().zip(values) {
            // The caller may have given up.
            let _ = reply.send(value);
        }
    }
}

impl AccountIdLoader {
    pub(crate) fn new(store: &Arc<dyn Store>) -> Self {
        let store = Arc::clone(store);
        Self::start(LOOKUP_EXCLUSIVE_TIME, MAX_KEYS, move |usernames| {
            let store = Arc::clone(&store);
            async move {
                let found = store.account_ids(&usernames).await;
                let found = found.map(|found| found.into_iter().collect::<HashMap<_, _>>());
                let found = found.map_err(Arc::new);
                let one = |username| found.as_ref().map(|found| found.get(username).cloned());
                usernames.iter().map(|name| one(name).map_err(Arc::clone)).collect()
            }
        })
    }
}

impl AccountLoader {
    pub(crate) fn new(store: &Arc<dyn Store>) -> Self {
        let store = Arc::clone(store);
        Self::start(LOOKUP_EXCLUSIVE_TIME, MAX_KEYS, move |ids: Vec<String>| {
            let store = Arc::clone(&store);
            async move {
                let distinct: Vec<String> = ids.iter().collect::<HashSet<_>>().into_iter().cloned().collect();
                let found = store.known_accounts(&distinct).await.map_err(Arc::new);
                let found = found.map(|found| {
                    let by_id = |account: KnownAccount| (account.account_id.clone(), Arc::new(account));
                    found.into_iter().map(by_id).collect::<HashMap<_, _>>()
                });
                let one = |id| found.as_ref().map(|found| found.get(id).cloned());
                ids.iter().map(|id| one(id).map_err(Arc::clone)).collect()
            }
        })
    }
}

impl ClaimLoader {
    pub(crate) fn new(store: &Arc<dyn Store>) -> Self {
        let store = Arc::clone(store);
        Self::start(CLAIM_EXCLUSIVE_TIME, MAX_CLAIMS, move |claims| {
            let store = Arc::clone(&store);
            async move { claim(store.as_ref(), &claims).await }
        })
    }
}

async fn claim(store: &dyn Store, claims: &[AccountClaim]) -> Vec<Loaded<Account>> {
    match store.claim_accounts(claims).await {
        Ok(outcomes) => outcomes.into_iter().map(|outcome| outcome.map_err(Arc::new)).collect(),
        Err(error) if error.is_unreachable() => {
            let error = Arc::new(error);
            claims.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
        // One claim that fails must not fail the others.
        Err(_) => {
            let mut outcomes = Vec::with_capacity(claims.len());
            for claim in claims {
                outcomes.push(store.claim_account(claim).await.map_err(Arc::new));
            }
            outcomes
        }
    }
}
