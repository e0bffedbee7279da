//! The latest of something: when accounts left, when sessions said goodbye. Bounded, whatever comes in.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use agentnet_protocol::Timestamp;

/// Entries that are remembered.
const REMEMBERED: usize = 10_000;
/// Longer names are nobody's: ids have at most 128 characters, session tags little more than a server's name.
const LONGEST: usize = 512;

/// When something happened last, by name; the oldest entries are forgotten.
#[derive(Debug, Default)]
pub(super) struct Latest {
    at: HashMap<Arc<str>, Timestamp>,
    order: VecDeque<Arc<str>>,
}

impl Latest {
    pub(super) fn note(&mut self, name: &str, at: Timestamp) {
        if let Some(known) = self.at.get_mut(name) {
            *known = at;
            return;
        }
        if name.len() > LONGEST {
            return;
        }
        let name: Arc<str> = Arc::from(name);
        self.at.insert(Arc::clone(&name), at);
        self.order.push_back(name);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.at.remove(&oldest);
        }
    }

    /// It did not happen, or does not count any more. Its place is given back in its turn.
    pub(super) fn forget(&mut self, name: &str) {
        self.at.remove(name);
    }

    pub(super) fn get(&self, name: &str) -> Option<Timestamp> {
        self.at.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let mut latest = Latest::default();
        let at = Timestamp::from_micros;
        for number in 0..20_000 {
            latest.note(&number.to_string(), at(number));
            latest.forget("7");
        }
        assert_eq!((latest.get("9999"), latest.get("10000")), (None, Some(at(10_000))));
        latest.note("15000", at(1));
        assert_eq!(latest.get("15000"), Some(at(1)));
        latest.forget("15000");
        latest.note(&"x".repeat(LONGEST + 1), at(1));
        assert_eq!(
            (latest.get("15000"), latest.at.len(), latest.order.len()),
            (None, 9999, REMEMBERED)
        );
    }
}
