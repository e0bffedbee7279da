//! The online accounts in the order of `registry.search`: by number of live sessions, then by username.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

use agentnet_protocol::limits::readable_metadata;
use agentnet_protocol::rpc::AccountHit;
use agentnet_store::fold_case;
use agentnet_store::model::Account;

/// The position of an online account in the order of `registry.search`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) online: Reverse<usize>,
    pub(crate) username: String,
    pub(crate) account_id: String,
}

/// Which accounts a search finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Case-folded part of username or display name; empty: any.
    text: String,
    /// Case-folded capability of the account; `None`: any.
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

/// A part of the search result.
#[derive(Debug, Default)]
pub(crate) struct SearchPart {
    pub(crate) hits: Vec<(Rank, AccountHit)>,
    /// The last account that was examined, unless it was the last of all.
    pub(crate) next: Option<Rank>,
}

/// The online accounts whose profile is known, ranked.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    ranked: BTreeMap<Rank, RankedAccount>,
    ranks: HashMap<String, Rank>,
}

#[derive(Debug)]
struct RankedAccount {
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
        let profile = RankedAccount {
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

    /// Examines up to `max_examined` accounts behind `after`, and stops at `limit` matches.
    pub(crate) fn search(
        &self,
        after: Option<&Rank>,
        filter: &Filter,
        limit: usize,
        max_examined: usize,
    ) -> SearchPart {
        let start = after.map_or(Unbounded, |rank| Excluded(rank.clone()));
        let mut part = SearchPart::default();
        for (seen, (rank, profile)) in self.ranked.range((start, Unbounded)).enumerate() {
            if part.hits.len() == limit || seen == max_examined {
                return part;
            }
            if profile.matches(filter) {
                part.hits.push((rank.clone(), hit(&profile.account, rank.online.0)));
            }
            part.next = Some(rank.clone());
        }
        part.next = None;
        part
    }
}

impl RankedAccount {
    fn matches(&self, filter: &Filter) -> bool {
        (filter.text.is_empty() || self.username.contains(&filter.text) || self.display_name.contains(&filter.text))
            && filter
                .capability
                .as_ref()
                .is_none_or(|wanted| self.capabilities.contains(wanted))
    }
}

/// The search result of an account with `online` live sessions.
pub(crate) fn hit(account: &Account, online: usize) -> AccountHit {
    AccountHit {
        account_id: account.account_id.clone(),
        username: account.username.clone(),
        display_name: account.display_name.clone(),
        capabilities: account.capabilities.clone(),
        metadata: readable_metadata(account.metadata.clone()),
        visibility: account.visibility.clone(),
        status: account.status.clone(),
        online_sessions: i64::try_from(online).unwrap_or(i64::MAX),
        online: online > 0,
    }
}
