//! Ending sessions in the store without ending one that lives.
//!
//! A goodbye is heard by every registry, and the one that minds the session writes it. Silence is another matter: a registry
//! may have missed what others heard. So a session that went silent here leaves the memory, but it is ended in the store only
//! where the store agrees that nobody has heard of it for the time to live; those who hear it write that often enough. The
//! registry that minds the session asks at once, the others later, should that one be gone; they look after its goodbyes too.
//!
//! Nobody asks who could not hear for the time to live, or while the store has just come back and may not have got what the
//! others heard.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::Timestamp;
use agentnet_store::model::Session;
use agentnet_store::{Store, StoreError};

use super::Presence;
use crate::clock::Now;

/// Above so many, all online sessions are read at once.
const SINGLE: usize = 32;
/// Sessions in one transaction.
const CHUNK: usize = 500;

/// A session that has left this registry's memory and may still be online in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// When it said goodbye, or was heard last.
    at: Timestamp,
    said_goodbye: bool,
}

/// They, by the time at which the store is asked.
pub(super) type Unsettled = BTreeMap<(Instant, Arc<str>), Left>;

impl super::State {
    /// The store is to be asked about a session, at `due`.
    pub(super) fn unsettle(&mut self, due: Instant, tag: &str, at: Timestamp, said_goodbye: bool) {
        self.unsettled.insert((due, Arc::from(tag)), Left { at, said_goodbye });
    }
}

impl Presence {
    /// How long the registry that minds a session has to end it before the others look.
    pub(super) fn grace(&self) -> Duration {
        self.ttl / 2
    }

    /// Takes what the store has to be asked about now; `steady` tells whether it has got what everybody heard.
    fn take_due(&self, steady: bool, now: Now) -> Vec<(Arc<str>, Left)> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let may_ask = steady && now.instant.saturating_duration_since(state.heard_since) >= self.ttl;
        let mut due = Vec::new();
        let mut later = Vec::new();
        while let Some(entry) = state.unsettled.first_entry() {
            if entry.key().0 > now.instant {
                break;
            }
            let ((_, tag), left) = entry.remove_entry();
            if state.sessions.contains_key(&tag) {
                continue;
            }
            if left.said_goodbye || may_ask {
                due.push((tag, left));
            } else {
                later.push((tag, left));
            }
        }
        for (tag, left) in later {
            state.unsettled.insert((now.instant + self.ttl / 4, tag), left);
        }
        due
    }

    fn ask_again(&self, after: Duration, left: impl IntoIterator<Item = (Arc<str>, Left)>, now: Now) {
        let mut state = self.lock();
        for (tag, left) in left {
            state.unsettled.insert((now.instant + after, tag), left);
        }
    }

    /// Ends in the store what has ended, as far as the store agrees.
    ///
    /// # Errors
    /// What the store says; it is asked again later.
    pub(super) async fn settle(&self, store: &dyn Store, steady: bool) -> Result<(), StoreError> {
        let now = Now::read();
        let due = self.take_due(steady, now);
        if due.is_empty() {
            return Ok(());
        }
        let outcome = self.ask(store, &due, now).await;
        match &outcome {
            Ok(alive) => self.ask_again(self.grace(), alive.iter().map(|index| due[*index].clone()), now),
            Err(_) => self.ask_again(Duration::from_secs(1), due, now),
        }
        outcome.map(drop)
    }

    /// Gives those that somebody else has heard of since.
    async fn ask(&self, store: &dyn Store, due: &[(Arc<str>, Left)], now: Now) -> Result<Vec<usize>, StoreError> {
        let rows = online(store, due).await?;
        let mut ended = Vec::new();
        let mut alive = Vec::new();
        for (index, (tag, left)) in due.iter().enumerate() {
            let Some(seen) = rows.get(&**tag) else { continue };
            if self.is_over(*left, *seen, now) {
                ended.push((tag.to_string(), left.at));
            } else {
                alive.push(index);
            }
        }
        for chunk in ended.chunks(CHUNK) {
            store.end_sessions(chunk).await?;
        }
        Ok(alive)
    }

    fn is_over(&self, left: Left, seen: Timestamp, now: Now) -> bool {
        let ttl = i64::try_from(self.ttl.as_micros()).unwrap_or(i64::MAX);
        now.time.micros_since(seen) > ttl || (left.said_goodbye && seen <= left.at)
    }
}

/// When the store was last told of a sign of life, of those that it holds as online.
async fn online(store: &dyn Store, due: &[(Arc<str>, Left)]) -> Result<HashMap<String, Timestamp>, StoreError> {
    let rows: Vec<Session> = if due.len() > SINGLE {
        store.online_sessions().await?
    } else {
        let mut rows = Vec::new();
        for (tag, _) in due {
            rows.extend(store.session(tag).await?.filter(|session| session.online));
        }
        rows
    };
    Ok(rows
        .into_iter()
        .map(|session| (session.session_tag, session.last_seen))
        .collect())
}
