//! Ends sessions in the store, but none that is alive.
//!
//! Every registry receives a goodbye, and the owner of the session writes it. Silence is different: one registry may have
//! missed what others received. So a session that is silent here leaves the memory, and is ended in the store only if its
//! `last_seen` there is older than the time to live too; registries that receive its hellos write that often enough. The owner
//! asks the store at once, the others later, in case the owner has stopped. They also check that goodbyes were written.
//!
//! A registry that missed events for a full TTL does not ask, nor does one whose store has just come back and may lack what
//! other registries received.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::Timestamp;
use agentnet_store::model::Session;
use agentnet_store::{Store, StoreError};

use super::Presence;
use super::unsettled::LeftSession;
use crate::clock::Now;

/// With more sessions than this, all online sessions are read at once.
const MAX_SINGLE_READS: usize = 32;
/// Sessions in one transaction.
const TRANSACTION_SESSIONS: usize = 500;
/// The store is asked again after this time if it fails.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Ends in the store the sessions that have ended, where the store agrees. `steady`: the store has had time to receive what
/// all registries know.
///
/// # Errors
/// The store's error; the sessions are checked again later.
pub(super) async fn settle(presence: &Presence, store: &dyn Store, steady: bool) -> Result<(), StoreError> {
    let now = Now::read();
    let due = presence.take_unsettled(steady, now);
    if due.is_empty() {
        return Ok(());
    }
    let outcome = end_if_silent(presence, store, &due, now).await;
    match &outcome {
        Ok(alive) => {
            let alive = alive.iter().map(|index| due[*index].clone());
            presence.unsettle_again(presence.grace(), alive, now);
        }
        Err(_) => presence.unsettle_again(RETRY_DELAY, due, now),
    }
    outcome.map(drop)
}

/// Ends the sessions that have ended; returns the indexes of those that another registry has heard of since.
async fn end_if_silent(
    presence: &Presence,
    store: &dyn Store,
    due: &[(Arc<str>, LeftSession)],
    now: Now,
) -> Result<Vec<usize>, StoreError> {
    let rows = online(store, due).await?;
    let mut ended = Vec::new();
    let mut alive = Vec::new();
    for (index, (tag, left)) in due.iter().enumerate() {
        let Some(seen) = rows.get(&**tag) else { continue };
        if has_ended(presence.ttl(), *left, *seen, now) {
            ended.push((tag.to_string(), left.at));
        } else {
            alive.push(index);
        }
    }
    for chunk in ended.chunks(TRANSACTION_SESSIONS) {
        store.end_sessions(chunk).await?;
    }
    Ok(alive)
}

/// `seen`: `last_seen` in the store.
fn has_ended(ttl: Duration, left: LeftSession, seen: Timestamp, now: Now) -> bool {
    let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
    now.time.micros_since(seen) > ttl || (left.said_goodbye && seen <= left.at)
}

/// `last_seen` of the sessions that are online in the store.
async fn online(store: &dyn Store, due: &[(Arc<str>, LeftSession)]) -> Result<HashMap<String, Timestamp>, StoreError> {
    let rows: Vec<Session> = if due.len() > MAX_SINGLE_READS {
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
