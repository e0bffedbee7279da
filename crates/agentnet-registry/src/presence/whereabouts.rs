//! Whether an account is surely offline, and since when (PROTOCOL.md section 0, decision 9).
//!
//! A registry that has just started, that was cut off, or that could not look up somebody who said hello, may not know of
//! everybody yet. Everybody who is alive says hello within the time to live: only when a registry has heard, and could take
//! in, everything for so long, its presence is *warm* and it is sure of those who are not there.

use agentnet_protocol::Timestamp;

use super::Presence;
use crate::clock::Now;

/// A flood counts as one that begins so many times to live after the last one that did.
const FLOODS_APART: u32 = 10;

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

impl Presence {
    /// The sessions that the store holds have been taken over. A database that is `empty` knows nobody who could be alive
    /// unheard, so that a new network need not wait.
    pub(crate) fn loaded(&self, empty: bool, now: Now) {
        let from = if empty {
            now.instant.checked_sub(self.ttl).unwrap_or(now.instant)
        } else {
            now.instant
        };
        self.lock().sure_from = Some(from);
    }

    /// The network begins with this registry: there is nobody who could be alive unheard.
    pub(crate) fn first_of_all(&self, now: Now) {
        let long_ago = now.instant.checked_sub(self.ttl).unwrap_or(now.instant);
        let mut state = self.lock();
        state.heard_since = long_ago;
        state.missed_at = long_ago;
    }

    /// Nobody could be heard until now (the connection was lost, this program was paused): silence counts from here.
    pub(crate) fn deaf_until(&self, now: Now) {
        let mut state = self.lock();
        state.heard_since = now.instant;
        state.missed(now);
    }

    /// Somebody was heard who could not be taken in.
    pub(crate) fn missed(&self, now: Now) {
        self.lock().missed(now);
    }

    /// More was heard than could be taken in. That counts as missed while it begins: anybody can cause it, and who does so
    /// again and again must not keep this registry from ever being sure.
    pub(crate) fn overflowed(&self, now: Now) {
        let mut state = self.lock();
        let since = *state.flood_since.get_or_insert(now.instant);
        let age = now.instant.saturating_duration_since(since);
        if age >= self.ttl * FLOODS_APART {
            state.flood_since = Some(now.instant);
            state.missed(now);
        } else if age < self.ttl {
            state.missed(now);
        }
    }

    /// Whether everybody who is alive and whom the store knows must be known here by now.
    pub(crate) fn is_warm(&self, now: Now) -> bool {
        self.lock().is_warm(self.ttl, now)
    }

    /// Whether everybody who is alive must have been heard of by now, even those whom the store does not know.
    pub(crate) fn heard_all(&self, now: Now) -> bool {
        let state = self.lock();
        let since = state.missed_at.max(state.heard_since);
        state.is_warm(self.ttl, now) && now.instant.saturating_duration_since(since) >= self.ttl
    }

    /// Whether an account that the store knows is online.
    pub(crate) fn whereabouts(&self, account_id: &str, now: Now) -> Whereabouts {
        let state = self.lock();
        if state.accounts.contains_key(account_id) {
            Whereabouts::Online
        } else if state.is_warm(self.ttl, now) {
            Whereabouts::Offline(state.departures.get(account_id))
        } else {
            Whereabouts::Unsure
        }
    }
}

impl super::State {
    fn missed(&mut self, now: Now) {
        self.missed_at = now.instant;
        self.sure_from = self.sure_from.map(|from| from.max(now.instant));
    }

    fn is_warm(&self, ttl: std::time::Duration, now: Now) -> bool {
        self.sure_from
            .is_some_and(|from| now.instant.saturating_duration_since(from) >= ttl)
    }
}
