//! Signed registration: the nonces that were used, and which account a request would get (PROTOCOL.md section 13.3).
//!
//! Everything is checked before an account is created or changed (section 0, decision 5). The key is compared once more, and
//! bound, in the store's transaction.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentnet_protocol::json::Value;
use agentnet_protocol::register_auth::{self, Registrant, Registration};
use agentnet_protocol::rpc::{RegisterRequest, RpcError};
use agentnet_store::model::{Account, AccountClaim, DesiredName};
use agentnet_store::{Store, StoreError};
use ahash::AHashSet;
use siphasher::sip128::SipHasher13;

use crate::announce;
use crate::clock::Now;
use crate::context::Context;

/// Nonces that are remembered of registries that prove nothing (older versions; anybody may pretend to be one).
const MOST_TOLD: usize = 50_000;
/// Nonces that are remembered at all: more than a registry can take in while one lives. With so many, no further one counts as
/// new: registrations are refused rather than replayed.
const MOST: usize = 1_000_000;

/// The nonces of the recent past. Of each a keyed hash is kept: they come from the network, and are of any length.
#[derive(Debug)]
pub(crate) struct Nonces {
    lifetime: Duration,
    hasher: SipHasher13,
    own: Mutex<Seen>,
    /// What strangers told.
    told: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    hashes: AHashSet<u128>,
    order: VecDeque<(Instant, u128)>,
}

impl Nonces {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            hasher: SipHasher13::new_with_key(&rand::random()),
            own: Mutex::default(),
            told: Mutex::default(),
        }
    }

    fn hash(&self, nonce: &str) -> u128 {
        self.hasher.hash(nonce.as_bytes()).as_u128()
    }

    /// Remembers a nonce; `false` if it was used within its lifetime, or if there is no room.
    pub(crate) fn remember(&self, nonce: &str, now: Instant) -> bool {
        let hash = self.hash(nonce);
        !lock(&self.told).knows(hash, now) && lock(&self.own).add(hash, now, now + self.lifetime, MOST)
    }

    /// Another registry has seen a nonce used. What strangers tell is remembered apart, where it takes nobody's room.
    pub(crate) fn used_elsewhere(&self, nonce: &str, known: bool, now: Instant) {
        let (seen, most) = if known {
            (&self.own, MOST)
        } else {
            (&self.told, MOST_TOLD)
        };
        lock(seen).add(self.hash(nonce), now, now + self.lifetime, most);
    }

    /// Drops those whose lifetime is over.
    pub(crate) fn forget(&self, now: Instant) {
        lock(&self.own).forget_before(now);
        lock(&self.told).forget_before(now);
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn knows(&mut self, hash: u128, now: Instant) -> bool {
        self.forget_before(now);
        self.hashes.contains(&hash)
    }

    fn add(&mut self, hash: u128, now: Instant, until: Instant, most: usize) -> bool {
        if self.knows(hash, now) || self.order.len() >= most {
            return false;
        }
        self.hashes.insert(hash);
        self.order.push_back((until, hash));
        true
    }

    /// They expire in the order in which they came.
    fn forget_before(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, hash)) = self.order.pop_front() {
                self.hashes.remove(&hash);
            }
        }
        // A flood's room is given back.
        if self.order.capacity() > 1024 && self.order.len() < self.order.capacity() / 4 {
            self.order.shrink_to(2 * self.order.len());
            self.hashes.shrink_to(2 * self.order.len());
        }
    }
}

/// Tells the other registries which nonce was used up. Whatever else is wrong with the request: it must not be replayed to
/// another registry. One that gets it at the very moment in which this is on its way still takes it; the store cannot tell
/// either.
pub(crate) async fn announce_used(ctx: &Context, nonce: Option<String>) {
    if let Some(nonce) = nonce {
        announce::nonce(ctx, &nonce).await;
    }
}

/// Checks a request's signature and says who made it.
///
/// # Errors
/// The code of section 13.3; `auth_validation_failed` if the store cannot say whose account it is.
pub(crate) async fn check(
    ctx: &Context,
    request: &RegisterRequest,
    claim: &AccountClaim,
    now: Now,
) -> Result<Registrant, RpcError> {
    let target = target(ctx.store.as_ref(), claim).await.map_err(|error| {
        tracing::error!(%error, "a registration's account could not be looked up");
        RpcError::fault("auth_validation_failed")
    })?;
    let registration = Registration {
        agent_id: &request.agent.agent_id,
        name: &request.agent.name,
        requested_username: request.agent.username.as_deref(),
        account_id: &target.account_id,
        username: &target.username,
        bound_key: target.key.as_deref(),
    };
    let skew = u64::try_from(ctx.config.dev_auth_max_skew.as_millis()).unwrap_or(u64::MAX);
    let auth = request.auth.as_ref().map_or(Value::NULL, |auth| auth.view());
    let mut used = None;
    let checked = register_auth::check(&auth, &registration, now.time, skew, |nonce| {
        let new = ctx.nonces.remember(nonce, now.instant);
        used = new.then(|| nonce.to_owned());
        new
    });
    announce_used(ctx, used).await;
    checked.map_err(|error| RpcError::new(error.code()))
}

/// The account that a claim would get, as far as can be said without creating it.
struct Target {
    account_id: String,
    username: String,
    key: Option<String>,
}

async fn target(store: &dyn Store, claim: &AccountClaim) -> Result<Target, StoreError> {
    let requested = matches!(claim.name, DesiredName::Requested(_));
    let (name, owner) = match &claim.name {
        DesiredName::Requested(name) | DesiredName::Derived(name) => (name, store.account_by_username(name).await?),
        // A made-up name never joins an account.
        DesiredName::Generated(name) => (name, None),
    };
    let known = match &claim.account_id {
        Some(id) => store.account_by_id(id).await?,
        None => None,
    };
    let of = |account: Account, username: String| Target {
        account_id: account.account_id,
        username,
        key: account.public_key,
    };
    let free = owner.is_none();
    Ok(match (known, &claim.account_id, owner) {
        // A known account takes a requested name that is free, else keeps its own.
        (Some(account), _, _) => {
            let username = if requested && free {
                name.clone()
            } else {
                account.username.clone()
            };
            of(account, username)
        }
        // A new account of this id; with a taken name it would get another one, which nobody can have claimed.
        (None, Some(id), owner) => {
            let username = if owner.is_none() { name.clone() } else { String::new() };
            Target {
                account_id: id.clone(),
                username,
                key: None,
            }
        }
        (None, None, Some(account)) => {
            let username = account.username.clone();
            of(account, username)
        }
        (None, None, None) => Target {
            account_id: claim.new_account_id.clone(),
            username: name.clone(),
            key: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_counts_once_within_its_lifetime() {
        let nonces = Nonces::new(Duration::from_secs(300));
        let start = Instant::now();
        assert!(nonces.remember("a:1", start));
        assert!(!nonces.remember("a:1", start + Duration::from_secs(299)));
        assert!(nonces.remember("b:1", start));
        assert!(nonces.remember("a:1", start + Duration::from_secs(300)));
    }

    #[test]
    fn old_nonces_are_forgotten() {
        let nonces = Nonces::new(Duration::from_secs(5));
        let start = Instant::now();
        for number in 0..100 {
            nonces.remember(&number.to_string(), start);
        }
        nonces.forget(start + Duration::from_secs(5));
        let seen = lock(&nonces.own);
        assert_eq!((seen.hashes.len(), seen.order.len()), (0, 0));
    }

    #[test]
    fn what_strangers_tell_is_bounded_and_takes_nobodys_room() {
        let nonces = Nonces::new(Duration::from_secs(5));
        let start = Instant::now();
        for number in 0..2 * MOST_TOLD {
            nonces.used_elsewhere(&number.to_string(), false, start);
        }
        assert!(!nonces.remember("7", start), "an older registry may have told it");
        assert_eq!(lock(&nonces.told).order.len(), MOST_TOLD);
        assert!(nonces.remember("own", start));
        nonces.used_elsewhere("told", true, start);
        assert!(!nonces.remember("told", start));
    }

    #[test]
    fn without_room_nothing_counts_as_new() {
        let mut seen = Seen::default();
        let now = Instant::now();
        let until = now + Duration::from_secs(5);
        assert!(seen.add(1, now, until, 2) && seen.add(2, now, until, 2));
        assert!(!seen.add(3, now, until, 2));
        assert!(seen.add(3, until, until + Duration::from_secs(5), 2));
    }
}
