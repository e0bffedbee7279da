//! The nonces of signed requests that were used (PROTOCOL.md section 13.3).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ahash::AHashSet;
use parking_lot::{Mutex, MutexGuard};
use siphasher::sip128::SipHasher13;

/// Nonces that are remembered from announcements without proof: of registries of older versions, or of any client.
const MAX_UNPROVEN_NONCES: usize = 50_000;
/// Nonces that are remembered at all: more than a registry can receive within their lifetime. With so many, no further one
/// counts as new: registrations are rejected rather than replayed.
const MAX_NONCES: usize = 1_000_000;

/// The recent nonces. A keyed hash of each is kept: nonces come from the network, and have any length.
#[derive(Debug)]
pub(crate) struct Nonces {
    lifetime: Duration,
    hasher: SipHasher13,
    own: Mutex<Seen>,
    /// From announcements without proof.
    unproven: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    hashes: AHashSet<u128>,
    order: VecDeque<(Instant, u128)>,
}

impl Nonces {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            hasher: SipHasher13::new_with_key(&rand::random()),
            own: Mutex::default(),
            unproven: Mutex::default(),
        }
    }

    fn hash(&self, nonce: &str) -> u128 {
        self.hasher.hash(nonce.as_bytes()).as_u128()
    }

    /// Remembers a nonce; `false` if it was used within its lifetime, or if there is no room.
    pub(crate) fn remember(&self, nonce: &str, now: Instant) -> bool {
        let hash = self.hash(nonce);
        !lock(&self.unproven).knows(hash, now) && lock(&self.own).add(hash, now, now + self.lifetime, MAX_NONCES)
    }

    /// Another registry has seen a nonce. Announcements without proof have a limit of their own.
    pub(crate) fn used_elsewhere(&self, nonce: &str, proven: bool, now: Instant) {
        let (seen, max) = if proven {
            (&self.own, MAX_NONCES)
        } else {
            (&self.unproven, MAX_UNPROVEN_NONCES)
        };
        lock(seen).add(self.hash(nonce), now, now + self.lifetime, max);
    }

    /// Drops nonces that have expired.
    pub(crate) fn forget(&self, now: Instant) {
        lock(&self.own).forget_before(now);
        lock(&self.unproven).forget_before(now);
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock()
}

impl Seen {
    fn knows(&mut self, hash: u128, now: Instant) -> bool {
        self.forget_before(now);
        self.hashes.contains(&hash)
    }

    fn add(&mut self, hash: u128, now: Instant, until: Instant, max: usize) -> bool {
        if self.knows(hash, now) || self.order.len() >= max {
            return false;
        }
        self.hashes.insert(hash);
        self.order.push_back((until, hash));
        true
    }

    /// Nonces expire in the order in which they came.
    fn forget_before(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, hash)) = self.order.pop_front() {
                self.hashes.remove(&hash);
            }
        }
        // Frees the memory of a flood.
        if self.order.capacity() > 1024 && self.order.len() < self.order.capacity() / 4 {
            self.order.shrink_to(2 * self.order.len());
            self.hashes.shrink_to(2 * self.order.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_counts_once_within_its_lifetime() {
        let nonces = Nonces::new(Duration::from_secs(300));
        let start = Instant::now();
        assert!(nonces.remember("a:1", start));
        assert!(!nonces.remember("a:1", start + Duration::from_secs(299)));
        assert!(nonces.remember("b:1", start));
        assert!(nonces.remember("a:1", start + Duration::from_secs(300)));
    }

    #[test]
    fn old_nonces_are_forgotten() {
        let nonces = Nonces::new(Duration::from_secs(5));
        let start = Instant::now();
        for number in 0..100 {
            nonces.remember(&number.to_string(), start);
        }
        nonces.forget(start + Duration::from_secs(5));
        let seen = lock(&nonces.own);
        assert_eq!((seen.hashes.len(), seen.order.len()), (0, 0));
    }

    #[test]
    fn nonces_without_proof_are_bounded_apart_from_the_others() {
        let nonces = Nonces::new(Duration::from_secs(5));
        let start = Instant::now();
        for number in 0..2 * MAX_UNPROVEN_NONCES {
            nonces.used_elsewhere(&number.to_string(), false, start);
        }
        assert!(!nonces.remember("7", start), "an older registry may have seen it");
        assert_eq!(lock(&nonces.unproven).order.len(), MAX_UNPROVEN_NONCES);
        assert!(nonces.remember("own", start));
        nonces.used_elsewhere("told", true, start);
        assert!(!nonces.remember("told", start));
    }

    #[test]
    fn without_room_nothing_counts_as_new() {
        let mut seen = Seen::default();
        let now = Instant::now();
        let until = now + Duration::from_secs(5);
        assert!(seen.add(1, now, until, 2) && seen.add(2, now, until, 2));
        assert!(!seen.add(3, now, until, 2));
        assert!(seen.add(3, until, until + Duration::from_secs(5), 2));
    }
}
