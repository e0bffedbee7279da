//! The handling of a message that counts as delivered when it is processed (PROTOCOL.md section 21.4).
//!
//! The same message may come twice: published, and from the mailbox. While the first copy is handled, whether the message is
//! delivered is not known yet. So the lease of the second copy waits for that end: a message that is processed is delivered, and
//! one whose handling fails goes back to the mailbox. The same holds for another message with its idempotency key.

use std::sync::{Arc, Weak};

use agentnet_protocol::Reject;
use ahash::AHashMap;
use parking_lot::Mutex;

use crate::guard::fingerprint::Fingerprints;

/// The first size at which a table of messages is searched for ended ones.
const MIN_SWEEP_LEN: usize = 64;

/// The handling of one message of type `M`, from its arrival on.
#[derive(Debug)]
pub(crate) struct Handling<M>(Mutex<State<M>>);

#[derive(Debug)]
enum State<M> {
    /// It is waiting for a handler, or is handled. These wait for its end.
    Running(Vec<Duplicate<M>>),
    Ended(Result<(), Reject>),
}

impl<M> Default for Handling<M> {
    fn default() -> Self {
        Self(Mutex::new(State::Running(Vec::new())))
    }
}

/// A leased message that was seen before.
#[derive(Debug)]
pub(crate) struct Duplicate<M> {
    pub(crate) message: M,
    /// What was seen: its id, or its idempotency key.
    pub(crate) reject: Reject,
}

impl<M> Handling<M> {
    /// Has a duplicate wait for the end. If the handling has ended already, the duplicate comes back with its outcome.
    pub(crate) fn wait_for_end(&self, duplicate: Duplicate<M>) -> Option<(Duplicate<M>, Result<(), Reject>)> {
        match &mut *self.0.lock() {
            State::Running(waiting) => {
                waiting.push(duplicate);
                None
            }
            State::Ended(outcome) => Some((duplicate, outcome.clone())),
        }
    }

    /// The handling has ended; returns what waits for that.
    pub(crate) fn end(&self, outcome: Result<(), Reject>) -> Vec<Duplicate<M>> {
        match std::mem::replace(&mut *self.0.lock(), State::Ended(outcome)) {
            State::Running(waiting) => waiting,
            State::Ended(_) => Vec::new(),
        }
    }

    fn is_processed(&self) -> bool {
        matches!(&*self.0.lock(), State::Ended(Ok(())))
    }
}

/// The messages whose handling has not ended well, by message id and by idempotency scope. Only messages that count as
/// delivered when they are processed are in it.
#[derive(Debug)]
pub(crate) struct Handlings<M> {
    fingerprints: Fingerprints,
    by_id: AHashMap<u128, Weak<Handling<M>>>,
    by_scope: AHashMap<u128, Weak<Handling<M>>>,
}

impl<M> Default for Handlings<M> {
    fn default() -> Self {
        Self {
            fingerprints: Fingerprints::default(),
            by_id: AHashMap::new(),
            by_scope: AHashMap::new(),
        }
    }
}

impl<M> Handlings<M> {
    pub(crate) fn insert(&mut self, message_id: &str, scope: Option<&str>, handling: &Arc<Handling<M>>) {
        insert(&mut self.by_id, self.fingerprints.of(message_id), handling);
        if let Some(scope) = scope {
            insert(&mut self.by_scope, self.fingerprints.of(scope), handling);
        }
    }

    pub(crate) fn remove(&mut self, message_id: &str, scope: Option<&str>) {
        if self.by_id.is_empty() {
            return;
        }
        self.by_id.remove(&self.fingerprints.of(message_id));
        if let Some(scope) = scope {
            self.by_scope.remove(&self.fingerprints.of(scope));
        }
    }

    /// The handling of the message with this id. None is known of a message that was processed.
    pub(crate) fn with_id(&self, message_id: &str) -> Option<Arc<Handling<M>>> {
        self.by_id.get(&self.fingerprints.of(message_id))?.upgrade()
    }

    /// The handling of the message with this idempotency scope.
    pub(crate) fn with_scope(&self, scope: &str) -> Option<Arc<Handling<M>>> {
        self.by_scope.get(&self.fingerprints.of(scope))?.upgrade()
    }
}

/// Before a table grows, what was processed is removed. It doubles if that frees less than a half, so that each entry is looked at
/// a few times in all.
fn insert<M>(table: &mut AHashMap<u128, Weak<Handling<M>>>, key: u128, handling: &Arc<Handling<M>>) {
    if table.len() >= MIN_SWEEP_LEN && table.len() == table.capacity() {
        table.retain(|_, handling| handling.upgrade().is_some_and(|handling| !handling.is_processed()));
        let capacity = table.capacity();
        if table.len() > capacity / 2 {
            table.reserve(capacity);
        }
    }
    table.insert(key, Arc::downgrade(handling));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_processed_takes_no_room() {
        let mut handlings = Handlings::<()>::default();
        let running = Arc::new(Handling::default());
        handlings.insert("running", Some("scope"), &running);
        let failed = Arc::new(Handling::default());
        failed.end(Err(Reject::HandlerError));
        handlings.insert("failed", None, &failed);
        for number in 0..100_000 {
            let handling = Arc::new(Handling::default());
            handlings.insert(&number.to_string(), None, &handling);
            handling.end(Ok(()));
        }
        assert!(handlings.by_id.len() < 1_000, "{}", handlings.by_id.len());
        for (id, known) in [("running", &running), ("failed", &failed)] {
            assert!(Arc::ptr_eq(&handlings.with_id(id).unwrap(), known), "{id}");
        }
        assert!(handlings.with_scope("scope").is_some() && handlings.with_scope("running").is_none());
        handlings.remove("running", Some("scope"));
        assert!(handlings.with_id("running").is_none() && handlings.with_scope("scope").is_none());
    }

    #[test]
    fn many_that_run_are_all_kept() {
        let mut handlings = Handlings::<()>::default();
        let running: Vec<Arc<Handling<()>>> = (0..10_000).map(|_| Arc::default()).collect();
        for (number, handling) in running.iter().enumerate() {
            handlings.insert(&number.to_string(), None, handling);
        }
        assert!((0..10_000).all(|number| handlings.with_id(&number.to_string()).is_some()));
    }
}
