//! Events of tasks: what happens to work that accounts asked for or do (PROTOCOL.md section 22.5).

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use agentnet_protocol::rpc::TaskEvent;
use agentnet_protocol::subject::EVENTS_PREFIX;

/// Maximum number of events that are remembered.
const MAX_SEEN_EVENTS: usize = 10_000;

/// The account of a subject of task events.
pub(crate) fn account(subject: &str) -> Option<&str> {
    let account = subject.strip_prefix(EVENTS_PREFIX)?.strip_suffix(".task")?;
    (!account.is_empty() && !account.contains('.')).then_some(account)
}

/// Recognises the second copy of an event: it is published for the coordinator, then for the worker.
#[derive(Debug, Default)]
pub(super) struct SeenTaskEvents {
    /// Hashes, because the texts of others may be long.
    seen: HashSet<u64>,
    order: VecDeque<u64>,
    hasher: RandomState,
}

impl SeenTaskEvents {
    /// Adds an event. Returns whether it is new.
    pub(super) fn insert(&mut self, event: &TaskEvent) -> bool {
        let hash = self
            .hasher
            .hash_one((&event.task_id, event.seq, &event.at, &event.r#type));
        if !self.seen.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > MAX_SEEN_EVENTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_names_the_account() {
        for (subject, name) in [
            ("agentnet.events.acct_1.task", Some("acct_1")),
            ("agentnet.events..task", None),
            ("agentnet.events.a.b.task", None),
            ("agentnet.events.acct_1.mailbox", None),
            ("account.acct_1.inbox", None),
        ] {
            assert_eq!(account(subject), name, "{subject}");
        }
    }

    #[test]
    fn the_second_copy_of_an_event_is_recognised() {
        let event = |id: &str, seq: i64| TaskEvent {
            task_id: Some(id.into()),
            seq,
            ..TaskEvent::default()
        };
        let mut seen = SeenTaskEvents::default();
        assert!(seen.insert(&event("task_1", 1)));
        assert!(!seen.insert(&event("task_1", 1)));
        assert!(seen.insert(&event("task_1", 2)) && seen.insert(&event("task_2", 1)));
        for seq in 3..MAX_SEEN_EVENTS as i64 * 2 {
            seen.insert(&event("task_1", seq));
        }
        assert_eq!((seen.seen.len(), seen.order.len()), (MAX_SEEN_EVENTS, MAX_SEEN_EVENTS));
    }
}
