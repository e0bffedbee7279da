//! Which registry minds which session in the store.
//!
//! Every registry hears every agent. If each of them wrote what it hears, the store would get every sign of life as often as
//! there are registries. So of those that run, one minds a session: the one whose number, mixed with the session's tag, is the
//! largest (rendezvous hashing). All of them work that out for themselves from the beats that registries send to each other,
//! without asking anybody, and when one comes or goes only its share of the sessions changes hands.
//!
//! Nothing depends on all of them agreeing at every moment. Two that mind the same session write the same. One that nobody
//! minds for a few seconds has its sign of life in the store that much later, and before a session is ended in the store for
//! its silence, the store is asked (`ends`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Others that are remembered: more than anybody runs, and a bound for what somebody may pretend.
const MOST: usize = 1000;

/// The registries that run.
#[derive(Debug)]
pub(crate) struct Replicas {
    me: u64,
    others: HashMap<u64, Instant>,
}

impl Replicas {
    /// `me` is a number that no other registry has.
    pub(crate) fn new(me: u64) -> Self {
        Self {
            me,
            others: HashMap::new(),
        }
    }

    /// Another registry runs; `true` if that is news.
    pub(crate) fn heard(&mut self, other: u64, now: Instant) -> bool {
        if let Some(last) = self.others.get_mut(&other) {
            *last = now;
            return false;
        }
        if other == self.me || self.others.len() >= MOST {
            return false;
        }
        self.others.insert(other, now);
        true
    }

    /// Another registry stops.
    pub(crate) fn left(&mut self, other: u64) {
        self.others.remove(&other);
    }

    /// Registries that were silent for so long have gone.
    pub(crate) fn forget(&mut self, now: Instant, silence: Duration) {
        self.others
            .retain(|_, last| now.saturating_duration_since(*last) <= silence);
    }

    /// Whether this registry is the one that minds a session.
    pub(crate) fn minds(&self, session_tag: &str) -> bool {
        if self.others.is_empty() {
            return true;
        }
        let tag = fnv1a(session_tag.as_bytes());
        let mine = (mix(tag ^ self.me), self.me);
        self.others.keys().all(|other| (mix(tag ^ other), *other) < mine)
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

    const NUMBERS: [u64; 3] = [11, 0x8000_0000_0000_0000, u64::MAX];

    fn running(numbers: &[u64]) -> Vec<Replicas> {
        let now = Instant::now();
        numbers
            .iter()
            .map(|me| {
                let mut replicas = Replicas::new(*me);
                for other in numbers {
                    replicas.heard(*other, now);
                }
                replicas
            })
            .collect()
    }

    fn shares(all: &[Replicas], tags: &[String]) -> Vec<usize> {
        let share = |replicas: &Replicas| tags.iter().filter(|tag| replicas.minds(tag)).count();
        all.iter().map(share).collect()
    }

    #[test]
    fn each_session_is_minded_by_one_and_the_shares_are_even() {
        let tags: Vec<String> = (0..9000).map(|number| format!("registry_01KJ{number:022}")).collect();
        let all = running(&NUMBERS);
        assert!(
            tags.iter()
                .all(|tag| all.iter().filter(|one| one.minds(tag)).count() == 1)
        );
        let shares = shares(&all, &tags);
        assert!(shares.iter().all(|share| (2700..3300).contains(share)), "{shares:?}");
    }

    #[test]
    fn only_the_share_of_the_one_that_goes_changes_hands() {
        let tags: Vec<String> = (0..900).map(|number| format!("r_{number}")).collect();
        let (three, two) = (running(&NUMBERS), running(&NUMBERS[..2]));
        for tag in &tags {
            if !three[2].minds(tag) {
                assert_eq!(three[0].minds(tag), two[0].minds(tag), "{tag}");
            }
        }
        assert_eq!(shares(&two, &tags).iter().sum::<usize>(), tags.len());
    }

    #[test]
    fn a_registry_is_there_from_its_first_beat_until_it_leaves_or_falls_silent() {
        let start = Instant::now();
        let silence = Duration::from_secs(4);
        let mut replicas = Replicas::new(1);
        assert!(replicas.heard(2, start) && !replicas.heard(2, start));
        assert!(!replicas.heard(1, start), "that is this one");
        assert!(replicas.heard(3, start + silence));
        replicas.forget(start + silence, silence);
        assert_eq!(replicas.others.len(), 2);
        replicas.forget(start + silence + Duration::from_millis(1), silence);
        assert_eq!(replicas.others.len(), 1);
        replicas.left(3);
        assert!(replicas.minds("any"));
        for number in 10..5000 {
            replicas.heard(number, start);
        }
        assert_eq!(replicas.others.len(), MOST);
    }
}
