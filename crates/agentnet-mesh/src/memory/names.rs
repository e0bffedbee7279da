//! Usernames of accounts, remembered for some minutes.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use agentnet::AgentNode;
use futures::StreamExt as _;
use futures::stream;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Accounts that are remembered.
const MAX_NAMES: usize = 512;
/// How long a name is used.
const NAME_TTL: Duration = Duration::from_secs(600);
/// How long an account that was not found is not looked up again.
const MISSING_TTL: Duration = Duration::from_secs(30);
/// Accounts that are looked up for one message.
const MAX_LOOKUPS: usize = 32;
/// Accounts that are looked up at the same time.
const LOOKUP_CONCURRENCY: usize = 8;
/// Characters of a name that are shown.
const MAX_SHOWN_CHARS: usize = 64;

/// Usernames by account id.
#[derive(Debug, Default)]
pub struct AccountNames(Mutex<HashMap<String, Remembered>>);

#[derive(Debug, Clone)]
struct Remembered {
    username: Option<String>,
    until: Instant,
}

/// The names of some accounts.
#[derive(Debug, Clone, Default)]
pub struct KnownNames(HashMap<String, String>);

impl AccountNames {
    /// Looks up the names of these accounts. One that cannot be found is absent from the result.
    pub async fn resolve(&self, node: &AgentNode, accounts: BTreeSet<String>) -> KnownNames {
        let now = Instant::now();
        let mut known = KnownNames::default();
        let mut missing = Vec::new();
        {
            let names = self.0.lock();
            for account in accounts.into_iter().filter(|account| !account.is_empty()) {
                match names.get(&account).filter(|remembered| remembered.until > now) {
                    Some(Remembered {
                        username: Some(username),
                        ..
                    }) => known.insert(&account, username),
                    Some(_) => {}
                    None => missing.push(account),
                }
            }
        }
        missing.truncate(MAX_LOOKUPS);
        let lookups = missing.into_iter().map(|account| async move {
            let profile = node.profile_of_account(&account).await;
            (account, profile.ok().map(|profile| profile.username))
        });
        let mut lookups = stream::iter(lookups).buffer_unordered(LOOKUP_CONCURRENCY);
        while let Some((account, username)) = lookups.next().await {
            if let Some(username) = &username {
                known.insert(&account, username);
            }
            self.remember(account, username, now);
        }
        known
    }

    fn remember(&self, account: String, username: Option<String>, now: Instant) {
        let ttl = if username.is_some() { NAME_TTL } else { MISSING_TTL };
        let mut names = self.0.lock();
        if names.len() >= MAX_NAMES {
            names.retain(|_, remembered| remembered.until > now);
        }
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.insert(
            account,
            Remembered {
                username,
                until: now + ttl,
            },
        );
    }
}

impl KnownNames {
    /// Adds a name.
    pub fn insert(&mut self, account: &str, username: &str) {
        self.0.insert(account.to_owned(), username.to_owned());
    }

    /// The account's name as `@username`; else its label, which the sender chose, else its id.
    #[must_use]
    pub fn name(&self, account: &str, label: Option<&str>) -> String {
        match self.0.get(account) {
            Some(username) => format!("@{}", plain(username)),
            None => plain(label.filter(|label| !label.is_empty()).unwrap_or(account)),
        }
    }
}

/// The text as part of a mark: nothing in it can end the mark.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    let chars = name.chars().take(MAX_SHOWN_CHARS);
    chars.map(|c| if is_plain(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_cannot_end_a_mark() {
        let mut names = KnownNames::default();
        names.insert("acct_1", "bob");
        names.insert("acct_2", "b\">x");
        assert_eq!(names.name("acct_1", Some("label")), "@bob");
        assert_eq!(names.name("acct_2", None), "@b__x");
        assert_eq!(names.name("acct_3", Some("<label>\n")), "_label__");
        assert_eq!(names.name("acct_3", Some("")), "acct_3");
        assert_eq!(names.name("x".repeat(300).as_str(), None).len(), MAX_SHOWN_CHARS);
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let names = AccountNames::default();
        let now = Instant::now();
        for number in 0..2 * MAX_NAMES {
            names.remember(format!("acct_{number}"), None, now);
        }
        assert!(names.0.lock().len() <= MAX_NAMES);
    }
}
