//! What the registry counts of tasks.

use std::collections::BTreeMap;

use agentnet_protocol::task::TaskState;
use parking_lot::Mutex;

/// The kinds of events, each with a count of its own.
const KINDS: [&str; 11] = [
    "created",
    "claimed",
    "progress",
    "input",
    "blocked",
    "lost",
    "retried",
    "released",
    "cancel_requested",
    "finished",
    "ignored",
];
/// Events of another version.
const OTHER: &str = "other";

/// Counters of tasks.
#[derive(Debug, Default)]
pub(crate) struct TaskMetrics {
    /// Events that this registry has caused, by kind.
    events: Mutex<BTreeMap<&'static str, u64>>,
    /// What the store said last.
    counts: Mutex<BTreeMap<&'static str, i64>>,
}

impl TaskMetrics {
    /// Something happened to a task.
    pub(crate) fn happened(&self, kind: &str) {
        let kind = KINDS.iter().find(|known| **known == kind).copied().unwrap_or(OTHER);
        *self.events.lock().entry(kind).or_default() += 1;
    }

    /// Events by kind.
    pub(crate) fn events(&self) -> BTreeMap<&'static str, u64> {
        self.events.lock().clone()
    }

    /// How many tasks are in each state now.
    pub(crate) fn set_counts(&self, counts: &[(TaskState, i64)]) {
        let mut by_state: BTreeMap<_, _> = TaskState::ALL.iter().map(|state| (state.as_str(), 0)).collect();
        by_state.extend(counts.iter().map(|(state, count)| (state.as_str(), *count)));
        *self.counts.lock() = by_state;
    }

    /// How many tasks were in each state when the store was asked last.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, i64> {
        self.counts.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_without_tasks_are_shown_and_unknown_kinds_are_counted_together() {
        let metrics = TaskMetrics::default();
        for kind in ["created", "created", "x1", "x2"] {
            metrics.happened(kind);
        }
        assert_eq!(metrics.events(), BTreeMap::from([("created", 2), ("other", 2)]));
        assert!(metrics.counts().is_empty(), "the store was not asked");
        metrics.set_counts(&[(TaskState::Working, 3)]);
        let counts = metrics.counts();
        assert_eq!((counts["working"], counts["failed"], counts.len()), (3, 0, 8));
        metrics.set_counts(&[]);
        assert_eq!(metrics.counts()["working"], 0);
    }
}
