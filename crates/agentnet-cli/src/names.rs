//! Account ids as names: who is behind `acct_…`, for commands that show what passes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use agentnet::RegistryClient;
use agentnet_protocol::rpc::ProfileRequest;

use crate::output::cell::clean;

/// How long one look-up may take: what passes is not held up for long.
const PATIENCE: Duration = Duration::from_millis(500);
/// After a look-up without an answer none is made for so long.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a name, or that there is none, is believed.
const FRESH: Duration = Duration::from_secs(300);
/// More names than this are not kept.
const MOST: usize = 100_000;
/// How much of an account id stands where there is no name.
const SHORT: usize = 13;

/// The names of accounts, asked for once each.
#[derive(Debug)]
pub(crate) struct Names {
    registry: RegistryClient,
    known: HashMap<String, (Option<String>, Instant)>,
    silent_until: Option<Instant>,
}

impl Names {
    /// Begins with everybody who is online. A registry that does not answer only means that ids stand for names.
    pub(crate) async fn open(registry: RegistryClient) -> Self {
        let mut names = Self {
            registry: registry.with_timeout(PATIENCE),
            known: HashMap::new(),
            silent_until: None,
        };
        match names.registry.clone().with_timeout(4 * PATIENCE).list_online().await {
            Ok(online) => {
                let until = Instant::now() + FRESH;
                for agent in online {
                    if let Some(id) = agent.account_id {
                        names.keep(id, agent.username, until);
                    }
                }
            }
            Err(error) => names.unanswered(&error),
        }
        names
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

    /// The username of an account, if it has one and the registry says so.
    pub(crate) async fn of(&mut self, account_id: &str) -> Option<String> {
        let now = Instant::now();
        if let Some((name, until)) = self.known.get(account_id)
            && *until > now
        {
            return name.clone();
        }
        if account_id.is_empty() || self.silent_until.is_some_and(|until| until > now) {
            return None;
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
                return None;
            }
        };
        self.keep(account_id.to_owned(), name.clone(), now + FRESH);
        name
    }

    /// Who is meant, for people: `@name`, `capability:x`, or the beginning of the account id, or the agent id.
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

/// The beginning of an account id.
pub(crate) fn short(id: &str) -> String {
    let id = clean(id);
    match id.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", &id[..end]),
        None => id.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ids_are_cut() {
        assert_eq!(short("acct_01kj0000000000000000000000"), "acct_01kj0000…");
        assert_eq!(short("acct_bob"), "acct_bob");
        assert_eq!(short("日本\n"), "日本 ");
    }
}
