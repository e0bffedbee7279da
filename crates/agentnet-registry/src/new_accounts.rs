//! How many accounts are created: an account is kept for ever, and anybody on a network without signed identity can ask for
//! one. Accounts that exist are never limited.
//!
//! A token bucket for the whole registry, and one for each connection with half of its rate, so that one program in a loop
//! leaves room for the others. NATS does not tell who a request comes from; the connection is told by the prefix of the reply
//! subject, which each client library draws once. Who means harm draws a new one each time: the bucket of the registry is what
//! bounds those.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use agentnet_protocol::rpc::RpcError;
use agentnet_store::StoreError;
use agentnet_store::model::{Account, AccountClaim, DesiredName};
use ahash::RandomState;

use crate::context::Context;

/// So many seconds' accounts may be created at once.
const BURST_SECONDS: f64 = 20.0;
/// Connections that are told apart; those beyond count for the registry alone.
const CONNECTIONS: usize = 10_000;

/// The budget of one registry.
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

/// Room for one account, until it is used or given back.
#[derive(Debug)]
pub(crate) struct Room {
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
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for one account that a request on this reply subject asks for; `None` if there is none now.
    fn take(&self, reply_to: Option<&str>, now: Instant) -> Option<Room> {
        let prefix = reply_to
            .and_then(|subject| subject.rsplit_once('.'))
            .map(|(prefix, _)| prefix);
        let mut connection = prefix.map(|prefix| self.hasher.hash_one(prefix));
        if self.per_second == 0 {
            return Some(Room { connection: None });
        }
        let rate = f64::from(self.per_second);
        let mut buckets = self.lock();
        buckets.all.fill(rate, rate, now);
        if buckets.all.tokens < 1.0 {
            return None;
        }
        if let Some(key) = connection {
            if buckets.connections.len() >= CONNECTIONS && !buckets.connections.contains_key(&key) {
                buckets.connections.retain(|_, bucket| {
                    bucket.fill(rate / 2.0, rate, now);
                    bucket.tokens < rate * BURST_SECONDS
                });
            }
            if buckets.connections.len() < CONNECTIONS || buckets.connections.contains_key(&key) {
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
        Some(Room { connection })
    }

    /// The account was there already.
    fn give_back(&self, room: Room) {
        let mut buckets = self.lock();
        buckets.all.tokens += 1.0;
        if let Some(bucket) = room.connection.and_then(|key| buckets.connections.get_mut(&key)) {
            bucket.tokens += 1.0;
        }
    }

    fn refusal(&self) -> RpcError {
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

    /// What has come in since the last look. `largest` is the rate that the burst is reckoned by.
    fn fill(&mut self, rate: f64, largest: f64, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + seconds * rate).min(largest * BURST_SECONDS);
        self.at = self.at.max(now);
    }
}

/// Room for the account that a claim may create; `None` if it exists.
///
/// # Errors
/// The refusal, if there is no room; what the store says.
pub(crate) async fn room(
    ctx: &Context,
    claim: &AccountClaim,
    reply_to: Option<&str>,
    now: Instant,
) -> Result<Option<Room>, RpcError> {
    if let Some(room) = ctx.new_accounts.take(reply_to, now) {
        return Ok(Some(room));
    }
    // Only now is it worth a look whether the account exists.
    match existing(ctx, claim).await {
        Ok(Some(_)) => Ok(None),
        Ok(None) => Err(ctx.new_accounts.refusal()),
        Err(error) => {
            tracing::debug!(%error, "an account could not be looked up");
            Err(RpcError::fault("failed resolving account identity"))
        }
    }
}

/// Settles the room when the claim was made: an account that existed, or was refused, took none.
pub(crate) fn settle(
    ctx: &Context,
    room: Option<Room>,
    claimed: Option<&Account>,
    claim_at: agentnet_protocol::Timestamp,
) {
    let created = claimed.is_some_and(|account| account.created_at == claim_at);
    if let Some(room) = room.filter(|_| !created) {
        ctx.new_accounts.give_back(room);
    }
}

/// The account that a claim means, if there is one already.
pub(crate) async fn existing(ctx: &Context, claim: &AccountClaim) -> Result<Option<Account>, StoreError> {
    Ok(match (&claim.account_id, &claim.name) {
        (Some(id), _) => ctx.store.account_by_id(id).await?,
        (None, DesiredName::Requested(name) | DesiredName::Derived(name)) => {
            ctx.store.account_by_username(name).await?
        }
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
            let room = accounts.take(Some("_INBOX.a.1"), start).unwrap();
            accounts.give_back(room);
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
        assert_eq!(accounts.lock().connections.len(), CONNECTIONS);
        let unlimited = NewAccounts::new(0, start);
        assert_eq!(taken(&unlimited, Some("_INBOX.a.1"), 30_000, start), 30_000);
    }
}
