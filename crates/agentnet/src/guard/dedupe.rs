//! What has been seen lately. Entries live equally long, so they expire in the order in which they came: each call drops the
//! expired ones at the front and is O(1) amortised.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;

/// What is remembered of a text. Most are message ids of 32 hexadecimal digits: as numbers they take a quarter of the room.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Hex(u128),
    Text(Arc<str>),
}

impl Key {
    fn of(text: &str) -> Self {
        hex(text).map_or_else(|| Self::Text(text.into()), Self::Hex)
    }
}

/// The number that exactly this text stands for: 32 digits, none of them a capital.
fn hex(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 32 {
        return None;
    }
    let mut number = 0;
    for byte in bytes {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u128::from(digit);
    }
    Some(number)
}

#[derive(Debug)]
pub(crate) struct Dedupe {
    ttl: Duration,
    /// Each text with the time at which it expires.
    known: AHashMap<Key, Duration>,
    /// The same in the order of expiry, and what was forgotten before its time.
    order: VecDeque<(Duration, Key)>,
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
        self.known.contains_key(&Key::of(text))
    }

    /// Remembers a text that has not been seen. Empty text is not remembered.
    pub(crate) fn remember(&mut self, text: &str, now: Duration) {
        if text.is_empty() {
            return;
        }
        let (key, expires) = (Key::of(text), now.saturating_add(self.ttl));
        if let Entry::Vacant(place) = self.known.entry(key.clone()) {
            place.insert(expires);
            self.order.push_back((expires, key));
        }
    }

    /// As if a text had never been seen.
    pub(crate) fn forget(&mut self, text: &str) {
        self.known.remove(&Key::of(text));
    }

    fn expire(&mut self, now: Duration) {
        while let Some((expires, _)) = self.order.front() {
            if *expires > now {
                return;
            }
            let expired = self.order.pop_front();
            // A text that was forgotten and came again lives until its new time.
            if let Some((expires, key)) = expired
                && self.known.get(&key) == Some(&expires)
            {
                self.known.remove(&key);
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
    fn a_number_stands_for_one_text_only() {
        let id = "0123456789abcdef0123456789abcdef";
        let mut dedupe = Dedupe::new(Duration::from_secs(600));
        dedupe.remember(id, Duration::ZERO);
        assert!(dedupe.seen(id, Duration::ZERO));
        for other in [
            "0123456789ABCDEF0123456789ABCDEF",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdef0",
            "0123456789abcdef0123456789abcdeg",
            "1123456789abcdef0123456789abcdef",
            "0123456789abcdef0123456789abcde0",
        ] {
            assert!(!dedupe.seen(other, Duration::ZERO), "{other}");
            dedupe.remember(other, Duration::ZERO);
            assert!(dedupe.seen(other, Duration::ZERO), "{other}");
        }
        assert_eq!(dedupe.known.len(), 7);
    }

    #[test]
    fn empty_text_is_never_known() {
        let mut dedupe = Dedupe::new(Duration::from_secs(600));
        dedupe.remember("", Duration::ZERO);
        assert!(!dedupe.seen("", Duration::ZERO));
    }
}
