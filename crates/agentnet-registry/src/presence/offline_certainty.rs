//! How certain this registry is that an account without a live session is offline (PROTOCOL.md section 0, decision 9).
//!
//! A registry that has just started, was cut off, or could not look up a session that said hello, may not know every live
//! session. Each live session says hello within the time to live (TTL). So once a registry has received, and could handle,
//! everything for a full TTL, it is *warm*: an account without a live session is offline.

use std::time::{Duration, Instant};

use agentnet_protocol::Timestamp;

/// An overflow counts as a new one so many TTLs after the last one that counted.
const OVERFLOW_PERIOD_TTLS: u32 = 10;

/// What a registry knows of an account's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccountPresence {
    /// It has a live session.
    Online,
    /// It has none; with the time at which the last one ended, if this registry knows it.
    Offline(Option<Timestamp>),
    /// It may have a session that this registry does not know yet.
    Uncertain,
}

/// From when on this registry has received everything. The states are drawn in [`super`].
#[derive(Debug)]
pub(super) struct Certainty {
    ttl: Duration,
    /// Silence counts from here at the earliest: before, nothing could be received.
    heard_since: Instant,
    /// The last time that a session was heard of and could not be handled.
    missed_at: Instant,
    /// Start of the last overflow that counted as missed.
    overflow_since: Option<Instant>,
    /// Sessions of the store are known, and nothing was missed, from here on; `None` until the store was read.
    sure_from: Option<Instant>,
}

impl Certainty {
    pub(super) fn new(ttl: Duration, now: Instant) -> Self {
        Self {
            ttl,
            heard_since: now,
            missed_at: now,
            overflow_since: None,
            sure_from: None,
        }
    }

    /// The sessions of the store were read. An `empty` store has no session that could be alive and unknown here, so that a
    /// new network need not wait.
    pub(super) fn loaded(&mut self, empty: bool, now: Instant) {
        self.sure_from = Some(if empty { self.one_ttl_before(now) } else { now });
    }

    /// This is the first registry of its network: no session can be alive and unknown here.
    pub(super) fn first_registry(&mut self, now: Instant) {
        self.heard_since = self.one_ttl_before(now);
        self.missed_at = self.heard_since;
    }

    /// Nothing could be received until now.
    pub(super) fn reset_silence_from(&mut self, now: Instant) {
        self.heard_since = now;
        self.missed(now);
    }

    /// A session was heard of and could not be handled.
    pub(super) fn missed(&mut self, now: Instant) {
        self.missed_at = now;
        self.sure_from = self.sure_from.map(|from| from.max(now));
    }

    /// More came in than could be handled. Only the first TTL of an overflow counts as missed: any client can cause one, and
    /// a client that does so again and again must not keep this registry from ever being warm.
    pub(super) fn overflowed(&mut self, now: Instant) {
        let since = *self.overflow_since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age >= self.ttl * OVERFLOW_PERIOD_TTLS {
            self.overflow_since = Some(now);
            self.missed(now);
        } else if age < self.ttl {
            self.missed(now);
        }
    }

    /// From when on this registry is warm if nothing is missed until then; `None` until the store was read.
    pub(super) fn warm_from(&self) -> Option<Instant> {
        self.sure_from.and_then(|from| from.checked_add(self.ttl))
    }

    /// Whether every live session that the store knows must be known here.
    pub(super) fn is_warm(&self, now: Instant) -> bool {
        self.warm_from().is_some_and(|from| from <= now)
    }

    /// Whether every live session must be known here, even one that the store does not know.
    pub(super) fn knows_all(&self, now: Instant) -> bool {
        let since = self.missed_at.max(self.heard_since);
        self.is_warm(now) && now.saturating_duration_since(since) >= self.ttl
    }

    /// Whether a session that was not heard of is silent: this registry could receive for a full TTL.
    pub(super) fn can_judge_silence(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard_since) >= self.ttl
    }

    /// Whether this registry could receive for so long without a gap.
    pub(super) fn has_heard_for(&self, time: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.heard_since) > time
    }

    fn one_ttl_before(&self, now: Instant) -> Instant {
        now.checked_sub(self.ttl).unwrap_or(now)
    }
}
