//! The keys of other accounts, as the registry gives them.
//!
//! Keys are cached for [`Limits::key_cache_ttl`](crate::Limits::key_cache_ttl); that there is none, or that the registry did not
//! answer, for a second. Concurrent look-ups of one key make one request to the registry. An entry holds a fingerprint of the
//! account id and the registry's answer, so that its size does not depend on what a forger writes into messages.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::rpc::{ProfileRequest, ResolveKeyRequest};
use agentnet_protocol::signing_scope::SigningScope;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

use crate::bounded_cache::{BoundedCache, bounded_cache};
use crate::guard::fingerprint::Fingerprints;
use crate::registry::RegistryClient;

/// How long a failed look-up is cached, and the shortest time between two look-ups of one account's key.
const MIN_LOOKUP_INTERVAL: Duration = Duration::from_secs(1);
/// Look-ups at the same time.
const LOOKUP_CONCURRENCY: usize = 32;
/// Accounts whose key is cached at most.
const MAX_ACCOUNTS: usize = 10_000;

/// The key of an account, and what else its sessions sign.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AccountKey {
    pub(super) public_key: String,
    pub(super) signs: SigningScope,
    /// Whether it had a live session when the registry was asked; looked up only where it signs no receipts.
    pub(super) live: bool,
}

/// The outcome of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyLookup {
    Key(Arc<AccountKey>),
    /// No such account, or no key is bound to it; whether it has a live session all the same.
    NoKey {
        live: bool,
    },
    /// The registry did not answer.
    Failed,
}

#[derive(Debug)]
struct Entry {
    lookup: KeyLookup,
    asked: Instant,
    until: Instant,
}

/// The keys of other accounts.
pub(super) struct KeyCache {
    registry: RegistryClient,
    ttl: Duration,
    fingerprints: Fingerprints,
    known: Mutex<BoundedCache<u128, Entry>>,
    asking: Mutex<HashMap<u128, Shared<BoxFuture<'static, KeyLookup>>>>,
    permits: Semaphore,
}

impl std::fmt::Debug for KeyCache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("KeyCache")
            .field("known", &lock(&self.known).len())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

impl KeyCache {
    pub(super) fn new(registry: RegistryClient, ttl: Duration) -> Self {
        Self {
            registry,
            ttl,
            fingerprints: Fingerprints::default(),
            known: Mutex::new(bounded_cache(MAX_ACCOUNTS)),
            asking: Mutex::default(),
            permits: Semaphore::new(LOOKUP_CONCURRENCY),
        }
    }

    /// The cached look-up of an account's key; `None` if there is none.
    pub(super) fn cached(&self, account_id: &str) -> Option<KeyLookup> {
        let known = lock(&self.known);
        let entry = known.get(&self.fingerprints.of(account_id))?;
        (entry.until > Instant::now()).then(|| entry.lookup.clone())
    }

    /// Whether the registry was asked about an account within the last second: presence changes faster than keys do.
    pub(super) fn was_asked_lately(&self, account_id: &str) -> bool {
        !self.lookup_delay(account_id).is_zero()
    }

    /// The time until an account's key may be looked up again.
    fn lookup_delay(&self, account_id: &str) -> Duration {
        let known = lock(&self.known);
        let asked = known
            .get(&self.fingerprints.of(account_id))
            .map(|entry| entry.asked.elapsed());
        asked.map_or(Duration::ZERO, |elapsed| MIN_LOOKUP_INTERVAL.saturating_sub(elapsed))
    }

    /// Asks the registry; after a recent look-up of the same account only after a delay, so that forgeries cause few look-ups.
    /// The look-up runs to its end even if its caller stops waiting.
    pub(super) fn ask(self: &Arc<Self>, account_id: &str) -> Shared<BoxFuture<'static, KeyLookup>> {
        let fingerprint = self.fingerprints.of(account_id);
        let mut asking = lock(&self.asking);
        if let Some(running) = asking.get(&fingerprint) {
            return running.clone();
        }
        let keys = Arc::clone(self);
        // A copy: a `Text` of the message would keep the whole message in memory.
        let id = account_id.to_owned();
        let lookup = tokio::spawn(async move {
            tokio::time::sleep(keys.lookup_delay(&id)).await;
            // The semaphore is never closed.
            let _permit = keys.permits.acquire().await;
            let lookup = keys.look_up(&id).await;
            let lookup = keys.note(fingerprint, lookup);
            lock(&keys.asking).remove(&fingerprint);
            lookup
        });
        let lookup = lookup.map(|done| done.unwrap_or(KeyLookup::Failed)).boxed().shared();
        asking.insert(fingerprint, lookup.clone());
        lookup
    }

    async fn look_up(&self, account_id: &str) -> KeyLookup {
        let request = ResolveKeyRequest {
            account_id: account_id.to_owned(),
        };
        match self.registry.call(&request).await {
            Ok(reply) if reply.account_id == account_id.trim() && !reply.public_key.is_empty() => {
                let signs = reply.signs;
                KeyLookup::Key(Arc::new(AccountKey {
                    public_key: reply.public_key,
                    signs,
                    live: !signs.receipts && self.is_live(account_id).await,
                }))
            }
            Ok(_) => KeyLookup::Failed,
            Err(error) if error.is_not_found() => KeyLookup::NoKey {
                live: self.is_live(account_id).await,
            },
            Err(error) => {
                tracing::warn!(account_id, %error, "an account's key could not be looked up");
                KeyLookup::Failed
            }
        }
    }

    /// Whether an account has a live session, according to the registry.
    async fn is_live(&self, account_id: &str) -> bool {
        let request = ProfileRequest {
            account_id: Some(account_id.to_owned()),
            ..ProfileRequest::default()
        };
        let profile = self.registry.call(&request).await;
        profile.is_ok_and(|reply| reply.profile.online)
    }

    /// Caches the outcome; a failure does not replace a key.
    fn note(&self, fingerprint: u128, lookup: KeyLookup) -> KeyLookup {
        let now = Instant::now();
        let mut known = lock(&self.known);
        if lookup == KeyLookup::Failed
            && let Some(mut entry) = known.get_mut(&fingerprint)
            && entry.until > now
            && matches!(entry.lookup, KeyLookup::Key(_))
        {
            entry.asked = now;
            return entry.lookup.clone();
        }
        let ttl = match lookup {
            KeyLookup::Key(_) => self.ttl,
            KeyLookup::NoKey { .. } | KeyLookup::Failed => MIN_LOOKUP_INTERVAL,
        };
        let entry = Entry {
            lookup: lookup.clone(),
            asked: now,
            until: now + ttl,
        };
        known.insert(fingerprint, entry);
        lookup
    }
}
