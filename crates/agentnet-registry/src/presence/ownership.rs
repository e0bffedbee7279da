//! Which registry owns a session: the one that writes its changes to the store.
//!
//! Every registry receives every hello. If each of them wrote what it receives, the store would get every sign of life as
//! often as there are registries. So one of the running registries owns a session: the one whose instance id, mixed with the
//! session tag, is the largest (rendezvous hashing). Each registry computes that from the beats of the others, without further
//! messages, and when a registry starts or stops only its share of the sessions changes owner.
//!
//! The registries need not agree at every moment. Two owners of a session write the same. A session without an owner for a
//! few seconds has its sign of life in the store that much later, and before a session is ended for its silence, the store
//! is asked (`session_end`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Other registries that are remembered: more than a network has, and a bound for faked beats.
const MAX_OTHERS: usize = 1000;

/// The running registries.
#[derive(Debug)]
pub(super) struct Ownership {
    own_id: u64,
    others: HashMap<u64, Instant>,
}

impl Ownership {
    /// `own_id` is the instance id of this registry, which no other one has.
    pub(super) fn new(own_id: u64) -> Self {
        Self {
            own_id,
            others: HashMap::new(),
        }
    }

    /// Another registry runs; `true` if it was not known.
    pub(super) fn heard(&mut self, other: u64, now: Instant) -> bool {
        if let Some(last) = self.others.get_mut(&other) {
            *last = now;
            return false;
        }
        if other == self.own_id || self.others.len() >= MAX_OTHERS {
            return false;
        }
        self.others.insert(other, now);
        true
    }

    /// Another registry stops; `true` if it was known.
    pub(super) fn left(&mut self, other: u64) -> bool {
        self.others.remove(&other).is_some()
    }

    /// Forgets registries that were silent for longer than `silence`; `true` if there are such.
    pub(super) fn forget(&mut self, now: Instant, silence: Duration) -> bool {
        let before = self.others.len();
        self.others
            .retain(|_, last| now.saturating_duration_since(*last) <= silence);
        self.others.len() < before
    }

    /// Whether this registry owns a session.
    pub(super) fn owns(&self, session_tag: &str) -> bool {
        if self.others.is_empty() {
            return true;
        }
        let tag = fnv1a(session_tag.as_bytes());
        let own = (mix(tag ^ self.own_id), self.own_id);
        self.others.keys().all(|other| (mix(tag ^ other), *other) < own)
    }
}

/// FNV-1a: the same in every build, unlike the standard library's hashes.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The finalizer of SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [u64; 3] = [11, 0x8000_0000_0000_0000, u64::MAX];

    fn running(ids: &[u64]) -> Vec<Ownership> {
        let now = Instant::now();
        ids.iter()
            .map(|own_id| {
                let mut ownership = Ownership::new(*own_id);
                for other in ids {
                    ownership.heard(*other, now);
                }
                ownership
            })
            .collect()
    }

    fn shares(all: &[Ownership], tags: &[String]) -> Vec<usize> {
        let share = |ownership: &Ownership| tags.iter().filter(|tag| ownership.owns(tag)).count();
        all.iter().map(share).collect()
    }

    #[test]
    fn each_session_has_one_owner_and_the_shares_are_even() {
        let tags: Vec<String> = (0..9000).map(|number| format!("registry_01KJ{number:022}")).collect();
        let all = running(&IDS);
        assert!(
            tags.iter()
                .all(|tag| all.iter().filter(|one| one.owns(tag)).count() == 1)
        );
        let shares = shares(&all, &tags);
        assert!(shares.iter().all(|share| (2700..3300).contains(share)), "{shares:?}");
    }

    #[test]
    fn only_the_share_of_the_one_that_goes_changes_hands() {
        let tags: Vec<String> = (0..900).map(|number| format!("r_{number}")).collect();
        let (three, two) = (running(&IDS), running(&IDS[..2]));
        for tag in &tags {
            if !three[2].owns(tag) {
                assert_eq!(three[0].owns(tag), two[0].owns(tag), "{tag}");
            }
        }
        assert_eq!(shares(&two, &tags).iter().sum::<usize>(), tags.len());
    }

    #[test]
    fn a_registry_is_there_from_its_first_beat_until_it_leaves_or_falls_silent() {
        let start = Instant::now();
        let silence = Duration::from_secs(4);
        let mut ownership = Ownership::new(1);
        assert!(ownership.heard(2, start) && !ownership.heard(2, start));
        assert!(!ownership.heard(1, start), "that is this one");
        assert!(ownership.heard(3, start + silence));
        ownership.forget(start + silence, silence);
        assert_eq!(ownership.others.len(), 2);
        ownership.forget(start + silence + Duration::from_millis(1), silence);
        assert_eq!(ownership.others.len(), 1);
        ownership.left(3);
        assert!(ownership.owns("any"));
        for number in 10..5000 {
            ownership.heard(number, start);
        }
        assert_eq!(ownership.others.len(), MAX_OTHERS);
    }
}
