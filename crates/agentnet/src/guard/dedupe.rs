//! The texts that were seen lately. Entries live equally long, so they expire in the order in which they came: each call drops the
//! expired ones at the front and is O(1) amortised.
//!
//! Of each text a keyed hash of 128 bits is kept and not the text: 24 bytes in the row of those that expire, and five in the
//! table that finds them there. Two texts of one hash are practically impossible, and a sender cannot search for them without
//! the key, which is random for each receiver.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use siphasher::sip128::SipHasher13;

/// Texts that are remembered at most: about 15 MB. Of more that come within the time to live, the oldest are forgotten early.
const MAX_ENTRIES: usize = 500_000;

/// What is remembered of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint(u64, u64);

#[derive(Debug, Clone, Copy)]
struct Seen {
    fingerprint: Fingerprint,
    /// The time of expiry in nanoseconds.
    expires: u64,
}

#[derive(Debug)]
pub(crate) struct Dedupe {
    ttl: Duration,
    keyed: SipHasher13,
    /// In the order of expiry, with what was forgotten before its time.
    order: VecDeque<Seen>,
    /// The number of the first in `order`; the others follow.
    first: u32,
    /// The numbers of those that are known, found by their fingerprint.
    known: HashTable<u32>,
}

impl Dedupe {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            keyed: SipHasher13::new_with_key(&rand::random()),
            order: VecDeque::new(),
            first: 0,
            known: HashTable::new(),
        }
    }

    /// Whether this text was remembered less than the time to live ago. Empty text never was.
    pub(crate) fn seen(&mut self, text: &str, now: Duration) -> bool {
        self.expire(now);
        let wanted = self.fingerprint(text);
        let (order, first) = (&self.order, self.first);
        self.known
            .find(wanted.0, |number| at(order, first, *number) == Some(wanted))
            .is_some()
    }

    /// Remembers a text that has not been seen. Empty text is not remembered.
    pub(crate) fn remember(&mut self, text: &str, now: Duration) {
        if text.is_empty() {
            return;
        }
        let fingerprint = self.fingerprint(text);
        if self.order.len() >= MAX_ENTRIES {
            self.drop_oldest();
        }
        let (order, first) = (&self.order, self.first);
        let place = self.known.entry(
            fingerprint.0,
            |number| at(order, first, *number) == Some(fingerprint),
            |number| at(order, first, *number).map_or(0, |fingerprint| fingerprint.0),
        );
        if let Entry::Vacant(place) = place {
            place.insert(first.wrapping_add(u32::try_from(order.len()).unwrap_or(u32::MAX)));
            let expires = nanos(now.saturating_add(self.ttl));
            self.order.push_back(Seen { fingerprint, expires });
        }
    }

    /// As if a text had never been seen.
    pub(crate) fn forget(&mut self, text: &str) {
        let wanted = self.fingerprint(text);
        let (order, first) = (&self.order, self.first);
        let found = self
            .known
            .find_entry(wanted.0, |number| at(order, first, *number) == Some(wanted));
        if let Ok(entry) = found {
            entry.remove();
        }
    }

    fn expire(&mut self, now: Duration) {
        let now = nanos(now);
        while self.order.front().is_some_and(|seen| seen.expires <= now) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(seen) = self.order.pop_front() else { return };
        // A text that was forgotten and came again has another number, and lives until its new time.
        let number = self.first;
        if let Ok(entry) = self.known.find_entry(seen.fingerprint.0, |known| *known == number) {
            entry.remove();
        }
        self.first = self.first.wrapping_add(1);
    }

    fn fingerprint(&self, text: &str) -> Fingerprint {
        let hash = self.keyed.hash(text.as_bytes());
        Fingerprint(hash.h1, hash.h2)
    }
}

/// The fingerprint with a number.
fn at(order: &VecDeque<Seen>, first: u32, number: u32) -> Option<Fingerprint> {
    let seen = order.get(number.wrapping_sub(first) as usize);
    seen.map(|seen| seen.fingerprint)
}

/// Five hundred years fit.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_known_for_the_time_to_live() {
        let second = Duration::from_secs;
        let mut dedupe = Dedupe::new(second(600));
        assert!(!dedupe.seen("a", second(0)));
        dedupe.remember("a", second(0));
        dedupe.remember("b", second(10));
        assert!(dedupe.seen("a", second(599)));
        assert!(!dedupe.seen("a", second(600)));
        assert!(dedupe.seen("b", second(600)));
        assert_eq!(dedupe.known.len(), 1, "expired entries are gone");
        assert_eq!(dedupe.order.len(), 1);
    }

    #[test]
    fn forgotten_texts_may_come_again_and_live_their_full_time() {
        let second = Duration::from_secs;
        let mut dedupe = Dedupe::new(second(600));
        dedupe.remember("a", second(0));
        dedupe.forget("a");
        assert!(!dedupe.seen("a", second(1)));
        dedupe.remember("a", second(100));
        assert!(dedupe.seen("a", second(600)), "the first time to live does not count");
        assert!(!dedupe.seen("a", second(700)));
        assert_eq!((dedupe.known.len(), dedupe.order.len()), (0, 0));
    }

    #[test]
    fn many_come_and_go() {
        let second = Duration::from_secs;
        let mut dedupe = Dedupe::new(second(10));
        // Numbers run over their end on the way.
        dedupe.first = u32::MAX - 5_000;
        let text = |time: u64, number: u64| format!("{time:x}-{number}");
        for time in 0..100 {
            for number in 0..200 {
                let text = text(time, number);
                assert!(!dedupe.seen(&text, second(time)));
                dedupe.remember(&text, second(time));
                dedupe.remember(&text, second(time));
            }
            for before in 0..=time {
                let known = time - before < 10;
                assert_eq!(
                    dedupe.seen(&text(before, before % 200), second(time)),
                    known,
                    "{before} at {time}"
                );
            }
            let session = 200 * (time + 1).min(10);
            assert_eq!(
                (dedupe.known.len() as u64, dedupe.order.len() as u64),
                (session, session)
            );
        }
    }

    #[test]
    fn no_number_of_texts_takes_more_than_its_room() {
        let mut dedupe = Dedupe::new(Duration::from_secs(600));
        for number in 0..MAX_ENTRIES + 1000 {
            dedupe.remember(&number.to_string(), Duration::ZERO);
        }
        assert_eq!((dedupe.known.len(), dedupe.order.len()), (MAX_ENTRIES, MAX_ENTRIES));
        assert!(!dedupe.seen("999", Duration::ZERO));
        assert!(dedupe.seen("1000", Duration::ZERO));
    }

    #[test]
    fn empty_text_is_never_known() {
        let mut dedupe = Dedupe::new(Duration::from_secs(600));
        dedupe.remember("", Duration::ZERO);
        assert!(!dedupe.seen("", Duration::ZERO));
    }
}
