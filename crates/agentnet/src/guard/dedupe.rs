//! What has been seen lately. Entries live equally long, so they expire in the order in which they came: each call drops the
//! expired ones at the front and is O(1) amortised.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Dedupe {
    ttl: Duration,
    known: HashSet<Arc<str>>,
    order: VecDeque<(Duration, Arc<str>)>,
}

impl Dedupe {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            known: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether this text was remembered less than the time to live ago. Empty text never was.
    pub(crate) fn seen(&mut self, text: &str, now: Duration) -> bool {
        self.expire(now);
        self.known.contains(text)
    }

    /// Remembers a text that has not been seen. Empty text is not remembered.
    pub(crate) fn remember(&mut self, text: &str, now: Duration) {
        if text.is_empty() {
            return;
        }
        let text: Arc<str> = Arc::from(text);
        if self.known.insert(text.clone()) {
            self.order.push_back((now.saturating_add(self.ttl), text));
        }
    }

    fn expire(&mut self, now: Duration) {
        while let Some((expires, _)) = self.order.front() {
            if *expires > now {
                return;
            }
            if let Some((_, text)) = self.order.pop_front() {
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
    fn empty_text_is_never_known() {
        let mut dedupe = Dedupe::new(Duration::from_secs(600));
        dedupe.remember("", Duration::ZERO);
        assert!(!dedupe.seen("", Duration::ZERO));
    }
}
