//! What the store has to learn of presence.

use std::sync::Arc;

use agentnet_protocol::Timestamp;
use agentnet_store::model::Session;

use super::Presence;

/// What the store has to learn of one session.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// All of it.
    Upsert,
    /// Its `last_seen`.
    Touch,
    /// That it ended; with the whole session where the store may not know it yet.
    End(Timestamp, Option<Box<Session>>),
}

/// What the store has to learn, ready for its calls.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    pub(crate) upserts: Vec<Session>,
    pub(crate) touches: Vec<(String, Timestamp)>,
    pub(crate) ends: Vec<(String, Timestamp)>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.touches.is_empty() && self.ends.is_empty()
    }
}

impl Presence {
    /// The sessions that the store has to learn something of: first the new ones. Without `all`, those of which there are only
    /// signs of life stay out.
    pub(crate) fn due(&self, all: bool) -> Vec<Arc<str>> {
        let state = self.lock();
        let mut due: Vec<_> = state
            .pending
            .iter()
            .filter(|(_, change)| all || **change != Change::Touch)
            .map(|(tag, change)| (*change != Change::Upsert, Arc::clone(tag)))
            .collect();
        due.sort_by_key(|(later, _)| *later);
        due.into_iter().map(|(_, tag)| tag).collect()
    }

    /// Takes what the store has to learn of these sessions.
    pub(crate) fn take_changes(&self, due: &[Arc<str>]) -> Changes {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut changes = Changes::default();
        for tag in due {
            let live = state.sessions.get(tag).map(|live| &live.session);
            match (state.pending.remove(tag), live) {
                (Some(Change::Upsert), Some(session)) => changes.upserts.push(session.clone()),
                (Some(Change::Touch), Some(session)) => changes.touches.push((tag.to_string(), session.last_seen)),
                (Some(Change::End(at, None)), _) => changes.ends.push((tag.to_string(), at)),
                (Some(Change::End(_, Some(session))), _) => changes.upserts.push(*session),
                (Some(Change::Upsert | Change::Touch), None) | (None, _) => {}
            }
        }
        changes
    }

    /// Puts changes back that the store did not take. What has happened since goes before them.
    pub(crate) fn put_back(&self, changes: Changes) {
        let mut state = self.lock();
        let mut put = |tag: &str, change: Change| {
            state.pending.entry(Arc::from(tag)).or_insert(change);
        };
        for session in changes.upserts {
            let tag = session.session_tag.clone();
            match session.disconnected_at {
                Some(at) => put(&tag, Change::End(at, Some(Box::new(session)))),
                None => put(&tag, Change::Upsert),
            }
        }
        // While the store failed, another registry may have taken a session for gone; written whole, it is there again.
        for (tag, _) in changes.touches {
            put(&tag, Change::Upsert);
        }
        for (tag, at) in changes.ends {
            put(&tag, Change::End(at, None));
        }
    }

    /// Before a stop: the last signs of life of the sessions that this registry minds are to reach the store.
    pub(crate) fn touch_all(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for tag in state.sessions.keys().filter(|tag| state.replicas.minds(tag)) {
            state.pending.entry(Arc::clone(tag)).or_insert(Change::Touch);
        }
    }
}
