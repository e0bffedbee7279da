//! Counts the capabilities of live sessions: whether a message to a capability has a receiver (PROTOCOL.md section 0.9).

use agentnet_protocol::json::trim;
use ahash::AHashMap;

/// The number of live sessions with each capability, spelled as agents subscribe to it.
#[derive(Debug, Default)]
pub(super) struct CapabilityCounts(AHashMap<Box<str>, usize>);

impl CapabilityCounts {
    pub(super) fn contains(&self, capability: &str) -> bool {
        self.0.contains_key(capability)
    }

    pub(super) fn add(&mut self, capabilities: &[String]) {
        for capability in capabilities {
            match self.0.get_mut(trim(capability)) {
                Some(sessions) => *sessions += 1,
                None => drop(self.0.insert(trim(capability).into(), 1)),
            }
        }
    }

    pub(super) fn remove(&mut self, capabilities: &[String]) {
        for capability in capabilities {
            let capability = trim(capability);
            match self.0.get_mut(capability) {
                Some(sessions) if *sessions > 1 => *sessions -= 1,
                _ => drop(self.0.remove(capability)),
            }
        }
    }

    /// Counts a hello that may change the capabilities of its session. Most hellos repeat them, which costs a comparison.
    pub(super) fn replace(&mut self, old: &[String], new: &[String]) {
        if old != new {
            self.add(new);
            self.remove(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_served_as_long_as_one_session_has_it() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut counts = CapabilityCounts::default();
        counts.add(&list(&["chat", " sum ", "chat"]));
        counts.add(&list(&["chat"]));
        counts.remove(&list(&["chat", " sum ", "chat"]));
        assert_eq!((counts.0.get("chat"), counts.0.get("sum")), (Some(&1), None));
        counts.remove(&list(&["chat", "never"]));
        assert!(counts.0.is_empty());
    }

    #[test]
    fn a_session_changes_its_capabilities() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut counts = CapabilityCounts::default();
        counts.add(&list(&["chat", "sum"]));
        counts.replace(&list(&["chat", "sum"]), &list(&["chat", "sum"]));
        assert_eq!((counts.0.get("chat"), counts.0.get("sum")), (Some(&1), Some(&1)));
        counts.replace(&list(&["chat", "sum"]), &list(&["chat", " draw "]));
        assert_eq!((counts.0.get("chat"), counts.0.get("draw")), (Some(&1), Some(&1)));
        assert!(!counts.contains("sum"));
    }
}
