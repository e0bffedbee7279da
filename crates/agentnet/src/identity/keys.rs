//! The keys of other accounts, as the registry gives them.
//!
//! Keys are remembered for [`Limits::key_cache_ttl`](crate::Limits::key_cache_ttl); that there is none, or that the registry
//! did not answer, for a second. Of many who ask for one key at a time, one asks the registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentnet_protocol::Text;
use agentnet_protocol::rpc::ResolveKeyRequest;
use agentnet_protocol::signs::Signs;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;

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
    pub(super) signs: Signs,
}

/// What the registry said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Looked {
    Key(Arc<AccountKey>),
    /// No such account, or no key is bound to it.
    NoKey,
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
    known: Mutex<HashMap<Text, Entry>>,
    asking: Mutex<HashMap<Text, Shared<BoxFuture<'static, Looked>>>>,
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
            known: Mutex::default(),
            asking: Mutex::default(),
            turns: Semaphore::new(QUESTIONS),
        }
    }

    /// What is known of an account's key; `None` if the registry has to be asked.
    pub(super) fn cached(&self, account_id: &str) -> Option<Looked> {
        let known = lock(&self.known);
        let entry = known.get(account_id)?;
        (entry.until > Instant::now()).then(|| entry.looked.clone())
    }

    /// How long an account's key is not to be asked for, since that was done a moment ago.
    fn pause(&self, account_id: &str) -> Duration {
        let known = lock(&self.known);
        let asked = known.get(account_id).map(|entry| entry.asked.elapsed());
        asked.map_or(Duration::ZERO, |elapsed| PAUSE.saturating_sub(elapsed))
    }

    /// Asks the registry; where a question about the account has just been answered, only after a pause, so that forgeries
    /// cause few questions. The question goes on to its end even if nobody waits for it any more.
    pub(super) fn ask(self: &Arc<Self>, account_id: Text) -> Shared<BoxFuture<'static, Looked>> {
        let mut asking = lock(&self.asking);
        if let Some(running) = asking.get(&account_id) {
            return running.clone();
        }
        let keys = Arc::clone(self);
        let id = account_id.clone();
        let question = tokio::spawn(async move {
            tokio::time::sleep(keys.pause(&id)).await;
            // The semaphore is never closed.
            let _turn = keys.turns.acquire().await;
            let looked = keys.question(&id).await;
            let looked = keys.note(&id, looked);
            lock(&keys.asking).remove(&id);
            looked
        });
        let question = question.map(|done| done.unwrap_or(Looked::Failed)).boxed().shared();
        asking.insert(account_id, question.clone());
        question
    }

    async fn question(&self, account_id: &str) -> Looked {
        let request = ResolveKeyRequest {
            account_id: account_id.to_owned(),
        };
        match self.registry.call(&request).await {
            Ok(reply) if reply.account_id == account_id.trim() && !reply.public_key.is_empty() => {
                Looked::Key(Arc::new(AccountKey {
                    public_key: reply.public_key,
                    signs: reply.signs,
                }))
            }
            Ok(_) => Looked::Failed,
            Err(error) if error.is_not_found() => Looked::NoKey,
            Err(error) => {
                tracing::warn!(account_id, %error, "an account's key could not be looked up");
                Looked::Failed
            }
        }
    }

    /// Remembers what was said; a failure leaves a key that is known.
    fn note(&self, account_id: &Text, looked: Looked) -> Looked {
        let now = Instant::now();
        let mut known = lock(&self.known);
        if looked == Looked::Failed
            && let Some(entry) = known.get_mut(account_id)
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
            Looked::NoKey | Looked::Failed => PAUSE,
        };
        let entry = Entry {
            looked: looked.clone(),
            asked: now,
            until: now + ttl,
        };
        known.insert(account_id.clone(), entry);
        looked
    }
}
