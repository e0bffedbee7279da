//! What has been seen lately. Entries live equally long, so they expire in the order in which they came: each call drops the
//! expired ones at the front and is O(1) amortised.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;

#[derive(Debug)]
pub(crate) struct Dedupe {
    ttl: Duration,
    /// Each text with the time at which it expires.
    known: AHashMap<Arc<str>, Duration>,
    /// The same in the order of expiry, and what was forgotten before its time.
    order: VecDeque<(Duration, Arc<str>)>,
}

impl Dedupe {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            known: AHashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether this text was remembered less than the time to live ago. Empty text never was.
    pub(crate) fn seen(&mut self, text: &str, now: Duration) -> bool {
        self.expire(now);
        self.known.contains_key(text)
    }

    /// Remembers a text that has not been seen. Empty text is not remembered.
    pub(crate) fn remember(&mut self, text: &str, now: Duration) {
        if text.is_empty() {
            return;
        }
        let (text, expires) = (Arc::<str>::from(text), now.saturating_add(self.ttl));
        if let Entry::Vacant(place) = self.known.entry(text.clone()) {
            place.insert(expires);
            self.order.push_back((expires, text));
        }
    }

    /// As if a text had never been seen.
    pub(crate) fn forget(&mut self, text: &str) {
        self.known.remove(text);
    }

    fn expire(&mut self, now: Duration) {
        while let Some((expires, _)) = self.order.front() {
            if *expires > now {
                return;
            }
            let expired = self.order.pop_front();
            // A text that was forgotten and came again lives until its new time.
            if let Some((expires, text)) = expired
                && self.known.get(&text) == Some(&expires)
            {
                self.known.remove(&text);
            }
        }
    }
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
    fn empty_text_is_never_known() {
        let mut dedupe = Dedupe::new(Duration::from_secs(600));
        dedupe.remember("", Duration::ZERO);
        assert!(!dedupe.seen("", Duration::ZERO));
    }
}
