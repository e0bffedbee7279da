//! Which capabilities live sessions have: whether a message to one of them finds anybody (PROTOCOL.md section 0.9).

use agentnet_protocol::json::trim;
use ahash::AHashMap;

use super::Presence;

/// How many live sessions have each capability, spelled as agents subscribe to it.
#[derive(Debug, Default)]
pub(super) struct Served(AHashMap<Box<str>, usize>);

impl Served {
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
}

impl Presence {
    /// Whether a live session has the capability.
    pub(crate) fn serves(&self, capability: &str) -> bool {
        self.lock().served.0.contains_key(capability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_served_as_long_as_one_session_has_it() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut served = Served::default();
        served.add(&list(&["chat", " sum ", "chat"]));
        served.add(&list(&["chat"]));
        served.remove(&list(&["chat", " sum ", "chat"]));
        assert_eq!((served.0.get("chat"), served.0.get("sum")), (Some(&1), None));
        served.remove(&list(&["chat", "never"]));
        assert!(served.0.is_empty());
    }
}
