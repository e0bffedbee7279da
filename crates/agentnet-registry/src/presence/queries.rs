//! What requests ask of presence.

use std::ops::Bound::{Excluded, Unbounded};

use agentnet_protocol::Timestamp;
use agentnet_protocol::signing_scope::SigningScope;
use agentnet_store::model::Session;

use super::live_session::LiveSession;
use super::offline_certainty::AccountPresence;
use super::state::{ListKey, State};
use crate::clock::Now;

/// Whose signature the events of a live session must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signer {
    pub(super) account_id: String,
    pub(super) signs: SigningScope,
    /// The account's key, if it is known here.
    pub(super) key: Option<String>,
    /// Time of the last signed hello, by the session's own clock.
    pub(super) said_at: Option<Timestamp>,
}

impl State {
    pub(super) fn list(&self, after: Option<&ListKey>, limit: usize, page: &mut ListPage) -> bool {
        let start = after.map_or(Unbounded, |key| Excluded(key.clone()));
        let before = page.len();
        for key in self.order.range((start, Unbounded)).take(limit) {
            if let Some(live) = self.sessions.get(&key.1) {
                page.add(key.clone(), live);
            }
        }
        page.len() - before == limit
    }

    pub(super) fn sessions_of(&self, account_id: &str) -> Vec<Session> {
        let mut live: Vec<&LiveSession> = self.live_sessions(account_id).collect();
        live.sort_by(|a, b| {
            let key = |live: &LiveSession| (live.session.last_seen, live.session.session_tag.clone());
            key(b).cmp(&key(a))
        });
        live.into_iter().map(|live| live.session.clone()).collect()
    }

    pub(super) fn account_presence(&self, account_id: &str, now: Now) -> AccountPresence {
        if self.accounts.contains_key(account_id) {
            AccountPresence::Online
        } else if self.certainty.is_warm(now.instant) {
            AccountPresence::Offline(self.departures.get(account_id))
        } else {
            AccountPresence::Uncertain
        }
    }

    pub(super) fn accounts_without_profile(&self) -> Vec<String> {
        let unknown = self.accounts.keys().filter(|id| !self.ranking.contains(id));
        unknown.cloned().collect()
    }

    pub(super) fn signer(&self, tag: &str) -> Option<Signer> {
        let live = self.sessions.get(tag)?;
        let account_id = live.session.account_id.clone().unwrap_or_default();
        Some(Signer {
            signs: live.session.signs,
            key: self.ranking.public_key(&account_id).map(str::to_owned),
            said_at: live.said_at,
            account_id,
        })
    }

    pub(super) fn signs(&self, account_id: &str) -> Option<SigningScope> {
        let all = self.live_sessions(account_id).map(|live| live.session.signs);
        all.reduce(|one, other| SigningScope {
            receipts: one.receipts && other.receipts,
            presence: one.presence && other.presence,
        })
    }

    fn live_sessions(&self, account_id: &str) -> impl Iterator<Item = &LiveSession> {
        let tags = self.accounts.get(account_id).into_iter().flatten();
        tags.filter_map(|tag| self.sessions.get(tag).map(Box::as_ref))
    }
}

/// Entries of `registry.list`, with commas between them.
#[derive(Debug, Default)]
pub(crate) struct ListPage {
    text: String,
    /// The key of each entry, and where its text ends.
    entries: Vec<(ListKey, usize)>,
}

impl ListPage {
    fn add(&mut self, key: ListKey, live: &LiveSession) {
        if !self.entries.is_empty() {
            self.text.push(',');
        }
        live.write_entry(&mut self.text);
        self.entries.push((key, self.text.len()));
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all entries.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The key of one entry.
    pub(crate) fn key(&self, at: usize) -> Option<&ListKey> {
        self.entries.get(at).map(|(key, _)| key)
    }

    /// The first `count` entries, with commas between them.
    pub(crate) fn first(&self, count: usize) -> &str {
        let last = count.checked_sub(1).and_then(|last| self.entries.get(last));
        last.map_or("", |(_, end)| &self.text[..*end])
    }

    /// Where the text of each entry ends.
    pub(crate) fn ends(&self) -> impl Iterator<Item = usize> {
        self.entries.iter().map(|(_, end)| *end)
    }

    /// Keeps the first `count` entries.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.entries.truncate(count);
        let end = self.entries.last().map_or(0, |(_, end)| *end);
        self.text.truncate(end);
    }
}
