//! Usernames for account ids.
//!
//! [`PageNames`] looks up the accounts of one page of rows, all at once. [`AccountNames`] is a cache for commands that show
//! messages as they come. Both fall back to the account id.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use agentnet::{RegistryClient, RegistryError};
use agentnet_protocol::AgentInfo;
use agentnet_protocol::rpc::ProfileRequest;
use futures::{FutureExt as _, StreamExt as _, stream};
use tokio::task::JoinHandle;

use crate::output::Output;
use crate::output::sanitize::{clean, or_dash, shortened};

/// Timeout of one lookup, and of all lookups of a page.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(500);
/// Timeout of the list of online agents.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);
/// Lookups of one page that run at the same time.
const LOOKUP_CONCURRENCY: usize = 32;
/// Delay before the next lookup after one without an answer.
const RETRY_DELAY: Duration = Duration::from_secs(10);
/// How long a cached name, or the knowledge that there is none, is used.
const CACHE_TTL: Duration = Duration::from_secs(300);
/// Maximum number of cached names.
const MAX_CACHED_NAMES: usize = 100_000;
/// Maximum length of an account id that is shown instead of a name.
const SHORT_ID_LENGTH: usize = 14;

/// The username of an account; `None` if the account does not exist or has none.
async fn username(registry: &RegistryClient, account_id: &str) -> Result<Option<String>, RegistryError> {
    let request = ProfileRequest {
        account_id: Some(account_id.to_owned()),
        username: None,
    };
    match registry.call(&request).await {
        Ok(reply) => Ok(Some(reply.profile.username).filter(|name| !name.is_empty())),
        Err(RegistryError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The usernames of the accounts of one page.
#[derive(Debug)]
pub(crate) struct PageNames {
    names: HashMap<String, String>,
    output: Output,
}

impl PageNames {
    /// Looks up each account once. Looks up none where ids are shown: with `--wide`, and where stdout is not a terminal.
    pub(crate) async fn look_up<'a>(
        registry: &RegistryClient,
        accounts: impl IntoIterator<Item = &'a str>,
        output: Output,
    ) -> Self {
        match output.is_terminal() {
            true => Self::look_up_for_table(registry, accounts, output).await,
            false => Self::empty(output),
        }
    }

    /// As [`PageNames::look_up`], also where stdout is not a terminal; ids are shown with `--wide` and in CSV.
    pub(crate) async fn look_up_for_table<'a>(
        registry: &RegistryClient,
        accounts: impl IntoIterator<Item = &'a str>,
        output: Output,
    ) -> Self {
        let mut page = Self::empty(output);
        if !output.is_csv() && !output.is_wide() {
            let registry = registry.clone().with_timeout(LOOKUP_TIMEOUT);
            let accounts: BTreeSet<&str> = accounts.into_iter().filter(|id| !id.is_empty()).collect();
            let look_up = |account: &str| {
                let (registry, account) = (registry.clone(), account.to_owned());
                async move {
                    let name = username(&registry, &account).await.ok().flatten()?;
                    Some((account, name))
                }
            };
            let mut found = stream::iter(accounts).map(look_up).buffer_unordered(LOOKUP_CONCURRENCY);
            let deadline = tokio::time::Instant::now() + LOOKUP_TIMEOUT;
            while let Ok(Some(name)) = tokio::time::timeout_at(deadline, found.next()).await {
                page.names.extend(name);
            }
        }
        page
    }

    /// No names: all accounts are shown by their ids.
    pub(crate) fn empty(output: Output) -> Self {
        Self {
            names: HashMap::new(),
            output,
        }
    }

    /// `@name`, or the account id as the output shows it.
    pub(crate) fn display(&self, account: Option<&str>) -> String {
        match account.and_then(|id| self.names.get(id)) {
            Some(name) => format!("@{}", clean(name)),
            None => self.output.account(account),
        }
    }
}

type OnlineResult = Result<Vec<AgentInfo>, RegistryError>;

/// A cache of usernames.
#[derive(Debug)]
pub(crate) struct AccountNames {
    registry: RegistryClient,
    cached: HashMap<String, (Option<String>, Instant)>,
    /// No lookups before this time: the last one got no answer.
    paused_until: Option<Instant>,
    /// A running request for the list of online agents. Expired names are used meanwhile.
    renewal: Option<JoinHandle<OnlineResult>>,
    renewed_at: Instant,
}

impl Drop for AccountNames {
    fn drop(&mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.abort();
        }
    }
}

impl AccountNames {
    /// Fills the cache with the agents that are online. Without an answer from the registry, ids are shown.
    pub(crate) async fn open(registry: RegistryClient) -> Self {
        let mut names = Self {
            registry: registry.with_timeout(LOOKUP_TIMEOUT),
            cached: HashMap::new(),
            paused_until: None,
            renewal: None,
            renewed_at: Instant::now(),
        };
        let online = names.list_online().await;
        names.insert_online(online);
        names
    }

    fn list_online(&self) -> impl Future<Output = OnlineResult> + Send + use<> {
        let registry = self.registry.clone().with_timeout(LIST_TIMEOUT);
        async move { registry.list_online().await }
    }

    fn insert_online(&mut self, online: OnlineResult) {
        match online {
            Ok(online) => {
                let expires = Instant::now() + CACHE_TTL;
                for agent in online {
                    if let Some(id) = agent.account_id {
                        self.insert(id, agent.username, expires);
                    }
                }
            }
            Err(error) => self.pause(&error),
        }
    }

    /// Whether the list of online agents is being renewed, so that expired names may still be used. Starts the renewal when
    /// it is due.
    fn is_renewing(&mut self, now: Instant) -> bool {
        if let Some(renewal) = &mut self.renewal {
            let Some(finished) = renewal.now_or_never() else {
                return true;
            };
            self.renewal = None;
            if let Ok(online) = finished {
                self.insert_online(online);
            }
            return false;
        }
        if now < self.renewed_at + CACHE_TTL {
            return false;
        }
        self.renewed_at = now;
        self.renewal = Some(tokio::spawn(self.list_online()));
        true
    }

    fn insert(&mut self, account_id: String, name: Option<String>, expires: Instant) {
        if self.cached.len() >= MAX_CACHED_NAMES {
            self.cached.clear();
        }
        self.cached.insert(account_id, (name, expires));
    }

    fn pause(&mut self, error: &RegistryError) {
        tracing::debug!(%error, "the names of accounts cannot be looked up");
        self.paused_until = Some(Instant::now() + RETRY_DELAY);
    }

    fn unexpired(&self, account_id: &str, now: Instant) -> Option<Option<String>> {
        let (name, expires) = self.cached.get(account_id)?;
        (*expires > now).then(|| name.clone())
    }

    /// The username of an account, if the registry knows one.
    pub(crate) async fn username(&mut self, account_id: &str) -> Option<String> {
        let now = Instant::now();
        if let Some(name) = self.unexpired(account_id, now) {
            return name;
        }
        // An expired name is better than none.
        let expired = |names: &Self| names.cached.get(account_id).and_then(|(name, _)| name.clone());
        if self.cached.contains_key(account_id) {
            if self.is_renewing(now) {
                return expired(self);
            }
            if let Some(name) = self.unexpired(account_id, now) {
                return name;
            }
        }
        if account_id.is_empty() || self.paused_until.is_some_and(|until| until > now) {
            return expired(self);
        }
        match username(&self.registry, account_id).await {
            Ok(name) => {
                self.insert(account_id.to_owned(), name.clone(), now + CACHE_TTL);
                name
            }
            Err(error) => {
                self.pause(&error);
                expired(self)
            }
        }
    }

    /// The sender of a message for people: `@name` of its account, or the shortened account id. The label that a sender gives
    /// itself is marked, since nothing proves it.
    pub(crate) async fn sender(&mut self, account_id: Option<&str>, label: &str) -> String {
        match account_id.filter(|id| !id.is_empty()) {
            Some(id) => self.display(Some(id), "").await,
            None => without_account(label),
        }
    }

    /// An account for people: `@name`, the shortened account id, or without an account the fallback (`capability:x`, an agent
    /// id).
    pub(crate) async fn display(&mut self, account_id: Option<&str>, fallback: &str) -> String {
        let account_id = account_id.filter(|id| !id.is_empty());
        let account_id = account_id.or(Some(fallback).filter(|other| other.starts_with("acct_")));
        let Some(id) = account_id else {
            return or_dash(Some(fallback));
        };
        match self.username(id).await {
            Some(name) => format!("@{}", clean(&name)),
            None => short_id(id),
        }
    }
}

/// A sender without an account: its own label, marked so that it does not look like a username.
pub(crate) fn without_account(label: &str) -> String {
    match label.trim() {
        "" => "(no account)".to_owned(),
        label => format!("{} (no account)", clean(label)),
    }
}

/// An account id, with `…` in its middle where it is long.
pub(crate) fn short_id(id: &str) -> String {
    shortened(&clean(id), SHORT_ID_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sender_calls_itself_is_no_name() {
        for (label, shown) in [
            ("alice", "alice (no account)"),
            ("@alice", "@alice (no account)"),
            ("acct_alice", "acct_alice (no account)"),
            (" \u{1b}", "\u{fffd} (no account)"),
            (" ", "(no account)"),
        ] {
            assert_eq!(without_account(label), shown);
        }
    }

    #[test]
    fn long_ids_are_cut() {
        assert_eq!(short_id("acct_01kj0000000000000000000000"), "acct_01…000000");
        assert_eq!(short_id("acct_bob"), "acct_bob");
        assert_eq!(short_id("日本\n"), "日本 ");
    }
}
