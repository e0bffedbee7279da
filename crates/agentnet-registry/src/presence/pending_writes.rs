//! Changes of sessions that the store does not have yet.

use std::collections::HashMap;
use std::sync::Arc;

use agentnet_protocol::Timestamp;
use agentnet_store::model::Session;

/// What the store lacks of one session.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// All of it.
    Upsert,
    /// Its `last_seen`.
    Touch,
    /// Its end; with the whole session where the store may not have it yet.
    End(Timestamp, Option<Box<Session>>),
}

/// Changes in the form of the store's calls.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct WriteBatch {
    pub(crate) upserts: Vec<Session>,
    pub(crate) touches: Vec<(String, Timestamp)>,
    pub(crate) ends: Vec<(String, Timestamp)>,
}

impl WriteBatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.touches.is_empty() && self.ends.is_empty()
    }
}

/// Changes that the store does not have yet, by session tag.
#[derive(Debug, Default)]
pub(super) struct PendingWrites(HashMap<Arc<str>, Change>);

impl PendingWrites {
    /// Replaces the pending change of a session.
    pub(super) fn set(&mut self, tag: Arc<str>, change: Change) {
        self.0.insert(tag, change);
    }

    /// Adds a change unless one is pending.
    pub(super) fn add(&mut self, tag: Arc<str>, change: Change) {
        self.0.entry(tag).or_insert(change);
    }

    pub(super) fn remove(&mut self, tag: &str) -> Option<Change> {
        self.0.remove(tag)
    }

    pub(super) fn contains(&self, tag: &str) -> bool {
        self.0.contains_key(tag)
    }

    /// The tags with a pending change, those to upsert first. Without `all`, mere touches are left out.
    pub(super) fn due(&self, all: bool) -> Vec<Arc<str>> {
        let mut due: Vec<_> = self
            .0
            .iter()
            .filter(|(_, change)| all || **change != Change::Touch)
            .map(|(tag, change)| (*change != Change::Upsert, Arc::clone(tag)))
            .collect();
        due.sort_by_key(|(later, _)| *later);
        due.into_iter().map(|(_, tag)| tag).collect()
    }

    /// Takes out the changes of these tags. `live` finds a live session.
    pub(super) fn take<'a>(&mut self, due: &[Arc<str>], live: impl Fn(&str) -> Option<&'a Session>) -> WriteBatch {
        let mut batch = WriteBatch::default();
        for tag in due {
            match (self.0.remove(tag), live(tag)) {
                (Some(Change::Upsert), Some(session)) => batch.upserts.push(session.clone()),
                (Some(Change::Touch), Some(session)) => batch.touches.push((tag.to_string(), session.last_seen)),
                (Some(Change::End(at, None)), _) => batch.ends.push((tag.to_string(), at)),
                (Some(Change::End(_, Some(session))), _) => batch.upserts.push(*session),
                (Some(Change::Upsert | Change::Touch), None) | (None, _) => {}
            }
        }
        batch
    }

    /// Puts back changes that the store did not take. Newer changes of the same sessions win.
    pub(super) fn put_back(&mut self, batch: WriteBatch) {
        for session in batch.upserts {
            let tag = Arc::from(session.session_tag.as_str());
            match session.disconnected_at {
                Some(at) => self.add(tag, Change::End(at, Some(Box::new(session)))),
                None => self.add(tag, Change::Upsert),
            }
        }
        // While the store failed, another registry may have ended the session there; an upsert makes it online again.
        for (tag, _) in batch.touches {
            self.add(tag.into(), Change::Upsert);
        }
        for (tag, at) in batch.ends {
            self.add(tag.into(), Change::End(at, None));
        }
    }
}
