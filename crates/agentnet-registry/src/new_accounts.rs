//! Limits how many accounts are created: an account is kept for ever, and without signed identity every client can create
//! one. Registrations of existing accounts are never limited.
//!
//! There is one token bucket for the registry, and one with half of its rate for each connection, so that one program in a
//! loop does not use up the budget of the others. NATS does not reveal the sender of a request; a connection is recognised by
//! the prefix of the reply subject, which each client library generates once. An attacker generates a new one each time, and
//! is limited by the bucket of the registry.

use std::collections::HashMap;
use std::time::Instant;

use agentnet_protocol::Timestamp;
use agentnet_protocol::rpc::RpcError;
use agentnet_store::model::{Account, AccountClaim, DesiredName};
use agentnet_store::{Store, StoreError};
use ahash::RandomState;
use parking_lot::{Mutex, MutexGuard};

/// A burst is the budget of so many seconds.
const BURST_SECONDS: f64 = 20.0;
/// Connections with a bucket of their own; further ones only use that of the registry.
const MAX_CONNECTIONS: usize = 10_000;

/// The budget of one registry for new accounts.
#[derive(Debug)]
pub(crate) struct NewAccounts {
    per_second: u32,
    hasher: RandomState,
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    all: Bucket,
    connections: HashMap<u64, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// A token for one account: used, or given back.
#[derive(Debug)]
pub(crate) struct AccountToken {
    connection: Option<u64>,
}

impl NewAccounts {
    /// No limit if `per_second` is zero.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            hasher: RandomState::new(),
            buckets: Mutex::new(Buckets {
                all: Bucket::full(per_second, now),
                connections: HashMap::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock()
    }

    /// A token for the account that a request with this reply subject may create; `None` if the budget is used up.
    fn take(&self, reply_to: Option<&str>, now: Instant) -> Option<AccountToken> {
        let prefix = reply_to
            .and_then(|subject| subject.rsplit_once('.'))
            .map(|(prefix, _)| prefix);
        let mut connection = prefix.map(|prefix| self.hasher.hash_one(prefix));
        if self.per_second == 0 {
            return Some(AccountToken { connection: None });
        }
        let rate = f64::from(self.per_second);
        let mut buckets = self.lock();
        buckets.all.fill(rate, rate, now);
        if buckets.all.tokens < 1.0 {
            return None;
        }
        if let Some(key) = connection {
            if buckets.connections.len() >= MAX_CONNECTIONS && !buckets.connections.contains_key(&key) {
                buckets.connections.retain(|_, bucket| {
                    bucket.fill(rate / 2.0, rate, now);
                    bucket.tokens < rate * BURST_SECONDS
                });
            }
            if buckets.connections.len() < MAX_CONNECTIONS || buckets.connections.contains_key(&key) {
                let full = Bucket::full(self.per_second, now);
                let bucket = buckets.connections.entry(key).or_insert(full);
                bucket.fill(rate / 2.0, rate, now);
                if bucket.tokens < 1.0 {
                    return None;
                }
                bucket.tokens -= 1.0;
            } else {
                connection = None;
            }
        }
        buckets.all.tokens -= 1.0;
        Some(AccountToken { connection })
    }

    /// Returns a token: the account existed already.
    fn give_back(&self, token: AccountToken) {
        let mut buckets = self.lock();
        buckets.all.tokens += 1.0;
        if let Some(bucket) = token.connection.and_then(|key| buckets.connections.get_mut(&key)) {
            bucket.tokens += 1.0;
        }
    }

    /// A token for the account that a claim may create; `None` if the account exists.
    ///
    /// # Errors
    /// The rejection, if the budget is used up; the store's error.
    pub(crate) async fn reserve(
        &self,
        store: &dyn Store,
        claim: &AccountClaim,
        reply_to: Option<&str>,
        now: Instant,
    ) -> Result<Option<AccountToken>, RpcError> {
        if let Some(token) = self.take(reply_to, now) {
            return Ok(Some(token));
        }
        // Only now is a lookup worth its cost.
        match existing(store, claim).await {
            Ok(Some(_)) => Ok(None),
            Ok(None) => Err(self.rejection()),
            Err(error) => {
                tracing::debug!(%error, "an account could not be looked up");
                Err(RpcError::fault("failed resolving account identity"))
            }
        }
    }

    /// Uses the token if the claim created an account, else gives it back.
    pub(crate) fn settle(&self, token: Option<AccountToken>, claimed: Option<&Account>, claimed_at: Timestamp) {
        let created = claimed.is_some_and(|account| account.created_at == claimed_at);
        if let Some(token) = token.filter(|_| !created) {
            self.give_back(token);
        }
    }

    fn rejection(&self) -> RpcError {
        RpcError::with_text(format!(
            "too many new accounts: at most {} a second; try again",
            self.per_second
        ))
    }
}

impl Bucket {
    fn full(per_second: u32, now: Instant) -> Self {
        Self {
            tokens: f64::from(per_second) * BURST_SECONDS,
            at: now,
        }
    }

    /// Adds the tokens of the time since the last call. `largest` is the rate that the burst is computed from.
    fn fill(&mut self, rate: f64, largest: f64, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + seconds * rate).min(largest * BURST_SECONDS);
        self.at = self.at.max(now);
    }
}

/// The account that a claim is for, if it exists.
pub(crate) async fn existing(store: &dyn Store, claim: &AccountClaim) -> Result<Option<Account>, StoreError> {
    Ok(match (&claim.account_id, &claim.name) {
        (Some(id), _) => store.account_by_id(id).await?,
        (None, DesiredName::Requested(name) | DesiredName::Derived(name)) => store.account_by_username(name).await?,
        (None, DesiredName::Generated(_)) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(accounts: &NewAccounts, reply_to: Option<&str>, tries: usize, now: Instant) -> usize {
        (0..tries).filter(|_| accounts.take(reply_to, now).is_some()).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let accounts = NewAccounts::new(10, start);
        assert_eq!(taken(&accounts, None, 1000, start), 200);
        assert_eq!(taken(&accounts, None, 1000, start + Duration::from_secs(3)), 30);
        assert_eq!(taken(&accounts, None, 1000, start + Duration::from_secs(1000)), 200);
    }

    #[test]
    fn what_is_given_back_counts_again() {
        let start = Instant::now();
        let accounts = NewAccounts::new(10, start);
        for _ in 0..1000 {
            let token = accounts.take(Some("_INBOX.a.1"), start).unwrap();
            accounts.give_back(token);
        }
        assert_eq!(taken(&accounts, Some("_INBOX.a.2"), 1000, start), 200);
    }

    #[test]
    fn one_connection_leaves_half_of_the_rate_to_others() {
        let start = Instant::now();
        let accounts = NewAccounts::new(10, start);
        assert_eq!(taken(&accounts, Some("_INBOX.a.1"), 1000, start), 200);
        let later = start + Duration::from_secs(10);
        assert_eq!(taken(&accounts, Some("_INBOX.a.2"), 1000, later), 50);
        assert_eq!(taken(&accounts, Some("_INBOX.b.1"), 1000, later), 50);
    }

    #[test]
    fn connections_are_bounded_and_zero_is_no_limit() {
        let start = Instant::now();
        let accounts = NewAccounts::new(10_000, start);
        for number in 0..20_000 {
            accounts.take(Some(&format!("_INBOX.{number}.1")), start);
        }
        assert_eq!(accounts.lock().connections.len(), MAX_CONNECTIONS);
        let unlimited = NewAccounts::new(0, start);
        assert_eq!(taken(&unlimited, Some("_INBOX.a.1"), 30_000, start), 30_000);
    }
}
