//! From username to account (PROTOCOL.md section 11.3 with section 0.8).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentnet_protocol::Text;
use agentnet_protocol::rpc::{ListRequest, ResolveAccountRequest};
use agentnet_protocol::username::{lookup_key, usable};
use ahash::AHashMap;

use crate::error::{RegistryError, ResolveError};
use crate::metrics::Metrics;
use crate::registry::RegistryClient;

/// Above so many names the expired ones are cleared when a name is added.
const CLEAN_ABOVE: usize = 10_000;
/// Stands for lifetimes that the clock cannot express.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Remembers resolved usernames for a while.
#[derive(Debug)]
pub(crate) struct Resolver {
    ttl: Duration,
    known: Mutex<AHashMap<String, (Text, Instant)>>,
}

impl Resolver {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            known: Mutex::new(AHashMap::new()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Drops a name whose account could not be reached.
    pub(crate) fn forget(&self, username: &str) {
        self.lock().remove(&lookup_key(username));
    }

    /// The account of a username.
    pub(crate) async fn resolve(
        &self,
        registry: &RegistryClient,
        metrics: &Metrics,
        username: &str,
    ) -> Result<Text, ResolveError> {
        match self.remembered(username, metrics) {
            Some(account_id) => Ok(account_id),
            None => self.ask(registry, metrics, username).await,
        }
    }

    /// The account of a username, if it is known.
    pub(crate) fn remembered(&self, username: &str, metrics: &Metrics) -> Option<Text> {
        // The key of a name that must not be looked up may be that of another.
        if !username.is_ascii() && usable(username).is_err() {
            return None;
        }
        let account_id = self.cached(&lookup_key(username))?;
        metrics.cache_hits.add_one();
        Some(account_id)
    }

    /// The account of a username that is not known yet.
    pub(crate) async fn ask(
        &self,
        registry: &RegistryClient,
        metrics: &Metrics,
        username: &str,
    ) -> Result<Text, ResolveError> {
        let key = lookup_key(username);
        if !key.is_empty() {
            usable(username)?;
        }
        metrics.cache_misses.add_one();
        let started = Instant::now();
        let account_id = Text::from(ask(registry, &key).await?);
        metrics.resolve_username.record(started.elapsed());
        self.remember(key, &account_id);
        Ok(account_id)
    }

    fn cached(&self, key: &str) -> Option<Text> {
        let mut known = self.lock();
        match known.get(key) {
            Some((account_id, until)) if *until > Instant::now() => Some(account_id.clone()),
            Some(_) => {
                known.remove(key);
                None
            }
            None => None,
        }
    }

    fn remember(&self, key: String, account_id: &Text) {
        if self.ttl.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut known = self.lock();
        if known.len() >= CLEAN_ABOVE {
            known.retain(|_, (_, until)| *until > now);
            if known.len() >= CLEAN_ABOVE {
                known.clear();
            }
        }
        let until = now.checked_add(self.ttl).unwrap_or(now + FOR_EVER);
        known.insert(key, (account_id.clone(), until));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, AHashMap<String, (Text, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(registry: &RegistryClient, key: &str) -> Result<String, ResolveError> {
    match registry
        .call(&ResolveAccountRequest {
            username: key.to_owned(),
        })
        .await
    {
        Ok(reply) => Ok(reply.account_id),
        Err(error) if error.is_not_found() => Err(ResolveError::NotFound(key.to_owned())),
        // The registry said what is wrong with the name: the list would not know better.
        Err(RegistryError::Refused(text)) if text == "username is required" => {
            Err(ResolveError::NotFound(key.to_owned()))
        }
        // Without a connection the list cannot be asked either.
        Err(error @ RegistryError::Connection { .. }) => Err(error.into()),
        Err(_) => from_list(registry, key).await,
    }
}

/// An old or silent registry: look for the name among those online.
async fn from_list(registry: &RegistryClient, key: &str) -> Result<String, ResolveError> {
    let mut request = ListRequest::default();
    loop {
        let page = registry.call(&request).await?;
        let found = page
            .agents
            .into_iter()
            .find(|agent| agent.username.as_ref().is_some_and(|name| name.to_lowercase() == key));
        match (found.and_then(|agent| agent.account_id), page.next_cursor) {
            (Some(account_id), _) => return Ok(account_id),
            (None, Some(cursor)) => request.cursor = Some(cursor),
            (None, None) => return Err(ResolveError::NotFound(key.to_owned())),
        }
    }
}
