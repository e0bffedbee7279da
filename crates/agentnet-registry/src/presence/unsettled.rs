//! Sessions that have left the memory and may still be online in the store, by the time at which the store is asked about
//! them (`session_end`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use agentnet_protocol::Timestamp;

/// A session that has left this registry's memory and may still be online in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeftSession {
    /// Time of its goodbye, else of its last sign of life.
    pub(super) at: Timestamp,
    pub(super) said_goodbye: bool,
}

/// The sessions about which the store has to be asked, in the order of their time.
#[derive(Debug, Default)]
pub(super) struct Unsettled(BTreeMap<(Instant, Arc<str>), LeftSession>);

impl Unsettled {
    /// Asks the store about a session at `due`.
    pub(super) fn add(&mut self, due: Instant, tag: Arc<str>, left: LeftSession) {
        self.0.insert((due, tag), left);
    }

    /// Takes out the next session whose time has come.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(Arc<str>, LeftSession)> {
        let entry = self.0.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((_, tag), left) = entry.remove_entry();
        Some((tag, left))
    }

    #[cfg(test)]
    pub(super) fn take_all(&mut self) -> Vec<((Instant, Arc<str>), LeftSession)> {
        std::mem::take(&mut self.0).into_iter().collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
