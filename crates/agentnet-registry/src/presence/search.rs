//! The online accounts in the order of `registry.search`: more live sessions first, then by username.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

use agentnet_protocol::rpc::AccountHit;
use agentnet_store::fold_case;
use agentnet_store::model::Account;

/// Where an online account stands in the order of `registry.search`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) online: Reverse<usize>,
    pub(crate) username: String,
    pub(crate) account_id: String,
}

/// What an account must have to be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Folded; a literal part of username or display name; empty = any.
    text: String,
    /// Folded; one of its capabilities.
    capability: Option<String>,
}

impl Filter {
    pub(crate) fn new(text: &str, capability: Option<&str>) -> Self {
        Self {
            text: fold_case(text),
            capability: capability.map(fold_case),
        }
    }
}

/// One look at the ranking: what matched, and where to look on.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) hits: Vec<(Rank, AccountHit)>,
    /// The last account looked at, unless the end was reached.
    pub(crate) next: Option<Rank>,
}

/// The online accounts whose profile is known, ranked.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    ranked: BTreeMap<Rank, Profile>,
    ranks: HashMap<String, Rank>,
}

#[derive(Debug)]
struct Profile {
    account: Account,
    username: String,
    display_name: String,
    capabilities: Vec<String>,
}

impl Ranking {
    /// An account's number of live sessions has changed; with 0 it leaves.
    pub(super) fn set_online(&mut self, account_id: &str, online: usize) {
        let Some(rank) = self.ranks.get_mut(account_id) else {
            return;
        };
        let Some(profile) = self.ranked.remove(rank) else {
            return;
        };
        if online == 0 {
            self.ranks.remove(account_id);
        } else {
            rank.online = Reverse(online);
            self.ranked.insert(rank.clone(), profile);
        }
    }

    /// An account's profile has changed, or becomes known.
    pub(super) fn set_profile(&mut self, account: Account, online: usize) {
        let rank = Rank {
            online: Reverse(online),
            username: account.username.clone(),
            account_id: account.account_id.clone(),
        };
        if let Some(old) = self.ranks.insert(account.account_id.clone(), rank.clone()) {
            self.ranked.remove(&old);
        }
        let profile = Profile {
            username: fold_case(&account.username),
            display_name: fold_case(&account.display_name),
            capabilities: account
                .capabilities
                .iter()
                .map(|capability| fold_case(capability))
                .collect(),
            account,
        };
        self.ranked.insert(rank, profile);
    }

    pub(crate) fn contains(&self, account_id: &str) -> bool {
        self.ranks.contains_key(account_id)
    }

    /// The key that is bound to an online account.
    pub(super) fn public_key(&self, account_id: &str) -> Option<&str> {
        let profile = self.ranked.get(self.ranks.get(account_id)?)?;
        profile.account.public_key.as_deref()
    }

    /// Looks at up to `scan` accounts behind `after` and stops at `want` matches.
    pub(crate) fn look(&self, after: Option<&Rank>, filter: &Filter, want: usize, scan: usize) -> Look {
        let start = after.map_or(Unbounded, |rank| Excluded(rank.clone()));
        let mut look = Look::default();
        for (seen, (rank, profile)) in self.ranked.range((start, Unbounded)).enumerate() {
            if look.hits.len() == want || seen == scan {
                return look;
            }
            if profile.matches(filter) {
                look.hits.push((rank.clone(), hit(&profile.account, rank.online.0)));
            }
            look.next = Some(rank.clone());
        }
        look.next = None;
        look
    }
}

impl Profile {
    fn matches(&self, filter: &Filter) -> bool {
        (filter.text.is_empty() || self.username.contains(&filter.text) || self.display_name.contains(&filter.text))
            && filter
                .capability
                .as_ref()
                .is_none_or(|wanted| self.capabilities.contains(wanted))
    }
}

/// The search result of an account with so many live sessions.
pub(crate) fn hit(account: &Account, online: usize) -> AccountHit {
    AccountHit {
        account_id: account.account_id.clone(),
        username: account.username.clone(),
        display_name: account.display_name.clone(),
        capabilities: account.capabilities.clone(),
        metadata: account.metadata.clone(),
        visibility: account.visibility.clone(),
        status: account.status.clone(),
        online_sessions: i64::try_from(online).unwrap_or(i64::MAX),
        online: online > 0,
    }
}
