//! The keys of other accounts, as the registry gives them.
//!
//! Keys are remembered for [`Limits::key_cache_ttl`](crate::Limits::key_cache_ttl); that there is none, or that the registry
//! did not answer, for a second. Of many who ask for one key at a time, one asks the registry. What is remembered of an
//! account is a fingerprint of its id and what the registry said, whatever a forger writes into messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentnet_protocol::rpc::{ProfileRequest, ResolveKeyRequest};
use agentnet_protocol::signing_scope::SigningScope;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;

use crate::guard::fingerprint::Fingerprints;
use crate::registry::RegistryClient;

/// How long it is remembered that there was no key to be had; and how often at most an account's key is asked for anew.
const PAUSE: Duration = Duration::from_secs(1);
/// Questions to the registry at the same time.
const QUESTIONS: usize = 32;
/// Above so many accounts the expired ones are cleared when one is added.
const CLEAN_ABOVE: usize = 10_000;

/// The key of an account, and what else its sessions sign.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AccountKey {
    pub(super) public_key: String,
    pub(super) signs: SigningScope,
    /// Whether it had a live session when the registry was asked; looked up only where it signs no receipts.
    pub(super) live: bool,
}

/// What the registry said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Looked {
    Key(Arc<AccountKey>),
    /// No such account, or no key is bound to it; whether it has a live session all the same.
    NoKey {
        live: bool,
    },
    /// It did not answer.
    Failed,
}

#[derive(Debug)]
struct Entry {
    looked: Looked,
    asked: Instant,
    until: Instant,
}

/// They.
pub(super) struct Keys {
    registry: RegistryClient,
    ttl: Duration,
    fingerprints: Fingerprints,
    known: Mutex<HashMap<u128, Entry>>,
    asking: Mutex<HashMap<u128, Shared<BoxFuture<'static, Looked>>>>,
    turns: Semaphore,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Keys")
            .field("known", &lock(&self.known).len())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keys {
    pub(super) fn new(registry: RegistryClient, ttl: Duration) -> Self {
        Self {
            registry,
            ttl,
            fingerprints: Fingerprints::default(),
            known: Mutex::default(),
            asking: Mutex::default(),
            turns: Semaphore::new(QUESTIONS),
        }
    }

    /// What is known of an account's key; `None` if the registry has to be asked.
    pub(super) fn cached(&self, account_id: &str) -> Option<Looked> {
        let known = lock(&self.known);
        let entry = known.get(&self.fingerprints.of(account_id))?;
        (entry.until > Instant::now()).then(|| entry.looked.clone())
    }

    /// Whether the registry was asked about an account a moment ago: who is online changes faster than keys do.
    pub(super) fn asked_lately(&self, account_id: &str) -> bool {
        !self.pause(account_id).is_zero()
    }

    /// How long an account's key is not to be asked for, since that was done a moment ago.
    fn pause(&self, account_id: &str) -> Duration {
        let known = lock(&self.known);
        let asked = known
            .get(&self.fingerprints.of(account_id))
            .map(|entry| entry.asked.elapsed());
        asked.map_or(Duration::ZERO, |elapsed| PAUSE.saturating_sub(elapsed))
    }

    /// Asks the registry; where a question about the account has just been answered, only after a pause, so that forgeries
    /// cause few questions. The question goes on to its end even if nobody waits for it any more.
    pub(super) fn ask(self: &Arc<Self>, account_id: &str) -> Shared<BoxFuture<'static, Looked>> {
        let fingerprint = self.fingerprints.of(account_id);
        let mut asking = lock(&self.asking);
        if let Some(running) = asking.get(&fingerprint) {
            return running.clone();
        }
        let keys = Arc::clone(self);
        // A text of its own: the one of the message would keep the whole message.
        let id = account_id.to_owned();
        let question = tokio::spawn(async move {
            tokio::time::sleep(keys.pause(&id)).await;
            // The semaphore is never closed.
            let _turn = keys.turns.acquire().await;
            let looked = keys.question(&id).await;
            let looked = keys.note(fingerprint, looked);
            lock(&keys.asking).remove(&fingerprint);
            looked
        });
        let question = question.map(|done| done.unwrap_or(Looked::Failed)).boxed().shared();
        asking.insert(fingerprint, question.clone());
        question
    }

    async fn question(&self, account_id: &str) -> Looked {
        let request = ResolveKeyRequest {
            account_id: account_id.to_owned(),
        };
        match self.registry.call(&request).await {
            Ok(reply) if reply.account_id == account_id.trim() && !reply.public_key.is_empty() => {
                let signs = reply.signs;
                Looked::Key(Arc::new(AccountKey {
                    public_key: reply.public_key,
                    signs,
                    live: !signs.receipts && self.is_live(account_id).await,
                }))
            }
            Ok(_) => Looked::Failed,
            Err(error) if error.is_not_found() => Looked::NoKey {
                live: self.is_live(account_id).await,
            },
            Err(error) => {
                tracing::warn!(account_id, %error, "an account's key could not be looked up");
                Looked::Failed
            }
        }
    }

    /// Whether an account has a live session, as far as the registry says.
    async fn is_live(&self, account_id: &str) -> bool {
        let request = ProfileRequest {
            account_id: Some(account_id.to_owned()),
            ..ProfileRequest::default()
        };
        let profile = self.registry.call(&request).await;
        profile.is_ok_and(|reply| reply.profile.online)
    }

    /// Remembers what was said; a failure leaves a key that is known.
    fn note(&self, fingerprint: u128, looked: Looked) -> Looked {
        let now = Instant::now();
        let mut known = lock(&self.known);
        if looked == Looked::Failed
            && let Some(entry) = known.get_mut(&fingerprint)
            && entry.until > now
            && matches!(entry.looked, Looked::Key(_))
        {
            entry.asked = now;
            return entry.looked.clone();
        }
        if known.len() >= CLEAN_ABOVE {
            known.retain(|_, entry| entry.until > now);
            if known.len() >= CLEAN_ABOVE {
                known.clear();
            }
        }
        let ttl = match looked {
            Looked::Key(_) => self.ttl,
            Looked::NoKey { .. } | Looked::Failed => PAUSE,
        };
        let entry = Entry {
            looked: looked.clone(),
            asked: now,
            until: now + ttl,
        };
        known.insert(fingerprint, entry);
        looked
    }
}
