//! Account ids as names: who is behind `acct_…`, for commands that show what passes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use agentnet::RegistryClient;
use agentnet_protocol::AgentInfo;
use agentnet_protocol::rpc::ProfileRequest;
use futures::FutureExt;
use tokio::task::JoinHandle;

use crate::output::cell::{clean, shortened};

/// How long one look-up may take: what passes is not held up for long.
const PATIENCE: Duration = Duration::from_millis(500);
/// After a look-up without an answer none is made for so long.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a name, or that there is none, is believed.
const FRESH: Duration = Duration::from_secs(300);
/// More names than this are not kept.
const MOST: usize = 100_000;
/// How much of an account id stands where there is no name.
const SHORT: usize = 14;

type Online = Result<Vec<AgentInfo>, agentnet::RegistryError>;

/// The names of accounts, asked for once each.
#[derive(Debug)]
pub(crate) struct Names {
    registry: RegistryClient,
    known: HashMap<String, (Option<String>, Instant)>,
    silent_until: Option<Instant>,
    /// Everybody who is online, asked for again; the names that were known hold meanwhile.
    renewal: Option<JoinHandle<Online>>,
    renewed: Instant,
}

impl Drop for Names {
    fn drop(&mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.abort();
        }
    }
}

impl Names {
    /// Begins with everybody who is online. A registry that does not answer only means that ids stand for names.
    pub(crate) async fn open(registry: RegistryClient) -> Self {
        let mut names = Self {
            registry: registry.with_timeout(PATIENCE),
            known: HashMap::new(),
            silent_until: None,
            renewal: None,
            renewed: Instant::now(),
        };
        let online = names.list().await;
        names.hear(online);
        names
    }

    fn list(&self) -> impl Future<Output = Online> + Send + use<> {
        let registry = self.registry.clone().with_timeout(4 * PATIENCE);
        async move { registry.list_online().await }
    }

    fn hear(&mut self, online: Online) {
        match online {
            Ok(online) => {
                let until = Instant::now() + FRESH;
                for agent in online {
                    if let Some(id) = agent.account_id {
                        self.keep(id, agent.username, until);
                    }
                }
            }
            Err(error) => self.unanswered(&error),
        }
    }

    /// Whether names that are no longer fresh hold a while longer, since everybody is being asked for.
    fn renews(&mut self, now: Instant) -> bool {
        if let Some(renewal) = &mut self.renewal {
            let Some(ended) = renewal.now_or_never() else {
                return true;
            };
            self.renewal = None;
            if let Ok(online) = ended {
                self.hear(online);
            }
            return false;
        }
        if now < self.renewed + FRESH {
            return false;
        }
        self.renewed = now;
        self.renewal = Some(tokio::spawn(self.list()));
        true
    }

    fn keep(&mut self, account_id: String, name: Option<String>, until: Instant) {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(account_id, (name, until));
    }

    fn unanswered(&mut self, error: &agentnet::RegistryError) {
        tracing::debug!(%error, "names are not known");
        self.silent_until = Some(Instant::now() + PAUSE);
    }

    fn fresh(&self, account_id: &str, now: Instant) -> Option<Option<String>> {
        let (name, until) = self.known.get(account_id)?;
        (*until > now).then(|| name.clone())
    }

    /// The username of an account, if it has one and the registry says so.
    pub(crate) async fn of(&mut self, account_id: &str) -> Option<String> {
        let now = Instant::now();
        if let Some(name) = self.fresh(account_id, now) {
            return name;
        }
        // An older name is better than none.
        let older = |names: &Self| names.known.get(account_id).and_then(|(name, _)| name.clone());
        if self.known.contains_key(account_id) {
            if self.renews(now) {
                return older(self);
            }
            if let Some(name) = self.fresh(account_id, now) {
                return name;
            }
        }
        if account_id.is_empty() || self.silent_until.is_some_and(|until| until > now) {
            return older(self);
        }
        let request = ProfileRequest {
            account_id: Some(account_id.to_owned()),
            username: None,
        };
        let name = match self.registry.call(&request).await {
            Ok(reply) => Some(reply.profile.username).filter(|name| !name.is_empty()),
            Err(agentnet::RegistryError::Refused(_)) => None,
            Err(error) => {
                self.unanswered(&error);
                return older(self);
            }
        };
        self.keep(account_id.to_owned(), name.clone(), now + FRESH);
        name
    }

    /// Who sent something, for people: the account's `@name`, or its id shortened. What the sender calls itself counts for nothing.
    pub(crate) async fn sender(&mut self, account_id: Option<&str>, label: &str) -> String {
        match account_id.filter(|id| !id.is_empty()) {
            Some(id) => self.shown(Some(id), "").await,
            None => unproven(label),
        }
    }

    /// Who is meant, for people: `@name`, `capability:x`, or the account id shortened, or the agent id.
    pub(crate) async fn shown(&mut self, account_id: Option<&str>, otherwise: &str) -> String {
        let account_id = account_id.filter(|id| !id.is_empty());
        let account_id = account_id.or(Some(otherwise).filter(|other| other.starts_with("acct_")));
        let Some(id) = account_id else {
            return crate::output::cell::or_dash(Some(otherwise));
        };
        match self.of(id).await {
            Some(name) => format!("@{}", clean(&name)),
            None => short(id),
        }
    }
}

/// What stands for a sender that has no account: what it says of itself is proven by nothing, and is not to look like a name.
pub(crate) fn unproven(label: &str) -> String {
    match label.trim() {
        "" => "(no account)".to_owned(),
        label => format!("{} (no account)", clean(label)),
    }
}

/// An account id, with `…` in its middle where it is long.
pub(crate) fn short(id: &str) -> String {
    shortened(&clean(id), SHORT)
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
            assert_eq!(unproven(label), shown);
        }
    }

    #[test]
    fn long_ids_are_cut() {
        assert_eq!(short("acct_01kj0000000000000000000000"), "acct_01…000000");
        assert_eq!(short("acct_bob"), "acct_bob");
        assert_eq!(short("日本\n"), "日本 ");
    }
}
