//! One token bucket a sender (PROTOCOL.md section 12).
//!
//! Buckets sit in two generations that change places every idle time: a bucket that is used moves to the young one, and what
//! is still in the old one at the next change has been idle for at least that long and goes. No call looks at all buckets.
//! A fingerprint of its name stands for a sender. A generation that is full changes places early: a client that invents so many
//! names gets a full bucket for each anyway.

use std::time::Duration;

use agentnet_protocol::token_bucket::{RateLimit, TokenBucket};
use ahash::AHashMap;

use crate::guard::fingerprint::Fingerprints;

/// Senders of one generation.
const MAX_SENDERS: usize = 50_000;

#[derive(Debug)]
pub(crate) struct Rates {
    limit: RateLimit,
    idle: Duration,
    changed: Duration,
    fingerprints: Fingerprints,
    young: AHashMap<u128, TokenBucket>,
    old: AHashMap<u128, TokenBucket>,
}

impl Rates {
    pub(crate) fn new(per_second: f64, burst: u32, idle: Duration) -> Self {
        Self {
            limit: RateLimit::new(per_second, burst),
            idle,
            changed: Duration::ZERO,
            fingerprints: Fingerprints::default(),
            young: AHashMap::new(),
            old: AHashMap::new(),
        }
    }

    /// Takes one token of this sender's bucket, if there is one.
    pub(crate) fn take(&mut self, sender: &str, now: Duration) -> bool {
        let sender = self.fingerprints.of(sender);
        if now.saturating_sub(self.changed) >= self.idle || self.young.len() >= MAX_SENDERS {
            self.old = std::mem::take(&mut self.young);
            self.changed = now;
        }
        let seconds = now.as_secs_f64();
        if let Some(bucket) = self.young.get_mut(&sender) {
            return bucket.take(&self.limit, seconds);
        }
        let mut bucket = self
            .old
            .remove(&sender)
            .unwrap_or_else(|| TokenBucket::full(&self.limit, seconds));
        let allowed = bucket.take(&self.limit, seconds);
        self.young.insert(sender, bucket);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_have_buckets_of_their_own_and_idle_ones_go() {
        let second = Duration::from_secs;
        let mut rates = Rates::new(1.0, 2, second(600));
        let taken: Vec<bool> = (0..3).map(|_| rates.take("a", second(1))).collect();
        assert_eq!(taken, [true, true, false]);
        assert!(rates.take("b", second(1)));
        assert!(
            rates.take("a", second(700)),
            "refilled, and moved to the young generation"
        );
        assert_eq!(rates.old.len(), 1, "b has not been used");
        assert!(rates.take("a", second(1400)));
        assert_eq!(rates.young.len() + rates.old.len(), 1, "b is gone");
    }

    #[test]
    fn any_number_of_made_up_senders_takes_bounded_room() {
        let mut rates = Rates::new(1.0, 2, Duration::from_secs(600));
        for number in 0..3 * MAX_SENDERS {
            assert!(rates.take(&format!("sender {number}"), Duration::from_secs(1)));
            assert!(rates.young.len() + rates.old.len() <= 2 * MAX_SENDERS);
        }
    }
}
