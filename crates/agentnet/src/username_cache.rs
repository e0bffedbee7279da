//! From username to account (PROTOCOL.md section 11.3 with section 0.8).

pub(crate) mod error;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::Text;
use agentnet_protocol::page_walk::PageWalk;
use agentnet_protocol::rpc::{ListRequest, ResolveAccountRequest};
use agentnet_protocol::subject::routable_account;
use agentnet_protocol::username::{lookup_key, usable};
use parking_lot::{Mutex, MutexGuard};

use self::error::ResolveError;
use crate::bounded_cache::{BoundedCache, bounded_cache};
use crate::metrics::Metrics;
use crate::registry::RegistryClient;
use crate::registry::error::{RegistryError, RegistryRefusal};

/// Usernames that are cached at most.
const MAX_ENTRIES: usize = 10_000;
/// The longest lifetime; longer ones cannot be added to the clock.
const MAX_TTL: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Resolves usernames, and caches their accounts.
pub(crate) struct UsernameCache {
    ttl: Duration,
    registry: RegistryClient,
    metrics: Arc<Metrics>,
    accounts: Mutex<BoundedCache<String, CachedAccount>>,
}

#[derive(Debug)]
struct CachedAccount {
    account_id: Text,
    expires: Instant,
}

impl UsernameCache {
    pub(crate) fn new(ttl: Duration, registry: RegistryClient, metrics: Arc<Metrics>) -> Self {
        Self {
            ttl,
            registry,
            metrics,
            accounts: Mutex::new(bounded_cache(MAX_ENTRIES)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Removes a name whose account could not be reached.
    pub(crate) fn forget(&self, username: &str) {
        self.lock().remove(&lookup_key(username));
    }

    /// The account of a username.
    pub(crate) async fn resolve(&self, username: &str) -> Result<Text, ResolveError> {
        match self.cached_account(username) {
            Some(account_id) => Ok(account_id),
            None => self.look_up(username).await,
        }
    }

    /// The account of a username, if it is cached.
    pub(crate) fn cached_account(&self, username: &str) -> Option<Text> {
        // The key of a name that cannot be a username may be that of another.
        if !username.is_ascii() && usable(username).is_err() {
            return None;
        }
        let account_id = self.cached(&lookup_key(username))?;
        self.metrics.cache_hits.add_one();
        Some(account_id)
    }

    /// The account of a username that is not cached.
    pub(crate) async fn look_up(&self, username: &str) -> Result<Text, ResolveError> {
        let key = lookup_key(username);
        if !key.is_empty() {
            usable(username)?;
        }
        self.metrics.cache_misses.add_one();
        let started = Instant::now();
        let account_id = Text::from(ask_registry(&self.registry, &key).await?);
        self.metrics.resolve_username.record(started.elapsed());
        // To an account that no subject can name nothing can be sent: the next call asks again.
        if routable_account(&account_id) {
            self.insert(key, &account_id);
        }
        Ok(account_id)
    }

    fn cached(&self, key: &str) -> Option<Text> {
        let mut accounts = self.lock();
        let cached = accounts.get(key)?;
        if cached.expires > Instant::now() {
            return Some(cached.account_id.clone());
        }
        accounts.remove(key);
        None
    }

    fn insert(&self, key: String, account_id: &Text) {
        if self.ttl.is_zero() {
            return;
        }
        let now = Instant::now();
        let expires = now.checked_add(self.ttl).unwrap_or(now + MAX_TTL);
        let account_id = account_id.clone();
        self.lock().insert(key, CachedAccount { account_id, expires });
    }

    fn lock(&self) -> MutexGuard<'_, BoundedCache<String, CachedAccount>> {
        self.accounts.lock()
    }
}

impl std::fmt::Debug for UsernameCache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("UsernameCache")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

async fn ask_registry(registry: &RegistryClient, key: &str) -> Result<String, ResolveError> {
    match registry
        .call(&ResolveAccountRequest {
            username: key.to_owned(),
        })
        .await
    {
        Ok(reply) => Ok(reply.account_id),
        // The registry rejects the name itself: the list cannot have it.
        Err(error)
            if matches!(
                error.refusal(),
                Some(RegistryRefusal::NotFound | RegistryRefusal::UsernameRequired)
            ) =>
        {
            Err(ResolveError::NotFound(key.to_owned()))
        }
        // Without a connection the list cannot be asked either.
        Err(error @ RegistryError::Connection { .. }) => Err(error.into()),
        Err(_) => from_list(registry, key).await,
    }
}

/// For a registry that does not answer or does not know the call: looks for the name among the agents online.
async fn from_list(registry: &RegistryClient, key: &str) -> Result<String, ResolveError> {
    let mut request = ListRequest::default();
    let mut walk = PageWalk::default();
    loop {
        let page = registry.call(&request).await?;
        let next = walk.follow(page.next_cursor, page.agents.len());
        let found = page
            .agents
            .into_iter()
            .find(|agent| agent.username.as_ref().is_some_and(|name| name.to_lowercase() == key));
        if let Some(account_id) = found.and_then(|agent| agent.account_id) {
            return Ok(account_id);
        }
        match next.map_err(RegistryError::endless::<ListRequest>)? {
            Some(cursor) => request.cursor = Some(cursor),
            None => return Err(ResolveError::NotFound(key.to_owned())),
        }
    }
}
