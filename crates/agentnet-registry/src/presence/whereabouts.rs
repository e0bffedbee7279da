//! Whether an account is surely offline, and since when (PROTOCOL.md section 0, decision 9).
//!
//! A registry that has just started, or that was cut off, may not have heard of everybody yet. It is sure of an account
//! only where no session of it can be alive unheard.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use agentnet_protocol::Timestamp;

use super::Presence;
use crate::clock::Now;

/// Departures that are remembered, the latest ones.
const REMEMBERED: usize = 10_000;

/// What can be said of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// It has a live session.
    Online,
    /// It has none, and if this registry saw the last one end: since when.
    Offline(Option<Timestamp>),
    /// It may have one that was not heard of yet.
    Unsure,
}

/// When accounts left.
#[derive(Debug)]
pub(super) struct Departures {
    started: Instant,
    /// Accounts whose sessions were too old when the registry started; a hello may still bring them back.
    lapsed: HashSet<String>,
    left: HashMap<String, Timestamp>,
    order: VecDeque<String>,
}

impl Departures {
    pub(super) fn new(now: Now) -> Self {
        Self {
            started: now.instant,
            lapsed: HashSet::new(),
            left: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn note(&mut self, account_id: &str, at: Timestamp) {
        if self.left.insert(account_id.to_owned(), at).is_some() {
            return;
        }
        self.order.push_back(account_id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.left.remove(&oldest);
        }
    }
}

impl Presence {
    /// The registry starts with sessions of this account that ended while none ran.
    pub(crate) fn lapsed(&self, account_id: &str, last_seen: Timestamp) {
        let mut state = self.lock();
        state.departures.lapsed.insert(account_id.to_owned());
        state.departures.note(account_id, last_seen);
    }

    /// Whether an account that the store knows is online.
    pub(crate) fn whereabouts(&self, account_id: &str, now: Now) -> Whereabouts {
        let state = self.lock();
        let departures = &state.departures;
        let since = |instant| now.instant.saturating_duration_since(instant);
        if state.accounts.contains_key(account_id) {
            Whereabouts::Online
        } else if since(state.heard_since) < self.ttl / 2
            || (departures.lapsed.contains(account_id) && since(departures.started) < self.ttl)
        {
            Whereabouts::Unsure
        } else {
            Whereabouts::Offline(departures.left.get(account_id).copied())
        }
    }

    /// Whether everybody who is alive must have been heard of by now, even those whom the store does not know.
    pub(crate) fn heard_all(&self, now: Now) -> bool {
        let state = self.lock();
        let latest = state.heard_since.max(state.departures.started);
        now.instant.saturating_duration_since(latest) >= self.ttl
    }
}
