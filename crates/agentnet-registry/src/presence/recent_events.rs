//! A bounded memory of recent events: when accounts went offline, when sessions said goodbye.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use agentnet_protocol::Timestamp;

/// Entries that are kept.
const MAX_ENTRIES: usize = 10_000;
/// Longer names are not kept: ids have at most 128 characters, session tags little more than a server id.
const MAX_NAME_LEN: usize = 512;

/// The last time of an event for each name; the oldest entries are dropped.
#[derive(Debug, Default)]
pub(super) struct RecentEvents {
    at: HashMap<Arc<str>, Timestamp>,
    order: VecDeque<Arc<str>>,
}

impl RecentEvents {
    pub(super) fn note(&mut self, name: &str, at: Timestamp) {
        if let Some(known) = self.at.get_mut(name) {
            *known = at;
            return;
        }
        if name.len() > MAX_NAME_LEN {
            return;
        }
        let name: Arc<str> = Arc::from(name);
        self.at.insert(Arc::clone(&name), at);
        self.order.push_back(name);
        if self.order.len() > MAX_ENTRIES
            && let Some(oldest) = self.order.pop_front()
        {
            self.at.remove(&oldest);
        }
    }

    /// Removes an event. Its place in `order` is freed in its turn.
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
    fn the_latest_events_are_kept() {
        let mut recent = RecentEvents::default();
        let at = Timestamp::from_micros;
        for number in 0..20_000 {
            recent.note(&number.to_string(), at(number));
            recent.forget("7");
        }
        assert_eq!((recent.get("9999"), recent.get("10000")), (None, Some(at(10_000))));
        recent.note("15000", at(1));
        assert_eq!(recent.get("15000"), Some(at(1)));
        recent.forget("15000");
        recent.note(&"x".repeat(MAX_NAME_LEN + 1), at(1));
        assert_eq!(
            (recent.get("15000"), recent.at.len(), recent.order.len()),
            (None, 9999, MAX_ENTRIES)
        );
    }
}
