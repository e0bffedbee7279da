//! Who is online: every live session in memory, with the indexes that list, search and eviction need (PROTOCOL.md 7.3 to
//! 7.5). No I/O and no clock here: the time is passed in, and what the store has to learn is collected as `changes`, which
//! `writer` takes away in batches.
//!
//! - `order` keeps the sessions as `registry.list` shows them, so that a page of 100,000 is a range of a tree
//! - `expiry` keeps them by the time they were heard of, so that eviction costs what it evicts
//! - `search` keeps the online accounts in the order of `registry.search`
//! - `whereabouts` says of an account whether it is surely offline, and since when
//! - `hear` turns what comes in on the wire into calls here

pub(crate) mod changes;
pub(crate) mod hear;
pub(crate) mod search;
pub(crate) mod whereabouts;
pub(crate) mod writer;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentnet_protocol::{AgentInfo, Timestamp};
use agentnet_store::model::{Account, Session};

use crate::clock::Now;
use changes::Change;
use search::Ranking;
use whereabouts::Departures;

/// Which session, in the order of `registry.list`.
pub(crate) type ListKey = (Arc<str>, Arc<str>);

/// All live sessions. Calls are short; nothing waits while the lock is held.
#[derive(Debug)]
pub(crate) struct Presence {
    ttl: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    sessions: HashMap<Arc<str>, Live>,
    order: BTreeSet<ListKey>,
    expiry: BTreeSet<(Instant, Arc<str>)>,
    accounts: HashMap<String, BTreeSet<Arc<str>>>,
    ranking: Ranking,
    pending: HashMap<Arc<str>, Change>,
    departures: Departures,
    /// Silence is counted from here at the earliest: nobody could be heard before.
    heard_since: Instant,
}

#[derive(Debug)]
struct Live {
    session: Session,
    tag: Arc<str>,
    agent_id: Arc<str>,
    seen: Instant,
    /// When the store last got its `last_seen`.
    stored: Instant,
}

/// What a hello did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A session that is known; `changed` if more than its last sign of life is new.
    Known {
        /// Something that the store has to learn soon.
        changed: bool,
    },
    /// No such session.
    Unknown,
}

impl Presence {
    /// `last_seen` reaches the store this often; the rest of the time it lives in memory.
    fn coarse(&self) -> Duration {
        self.ttl / 4
    }

    pub(crate) fn new(ttl: Duration, now: Now) -> Self {
        Self {
            ttl,
            state: Mutex::new(State {
                sessions: HashMap::new(),
                order: BTreeSet::new(),
                expiry: BTreeSet::new(),
                accounts: HashMap::new(),
                ranking: Ranking::default(),
                pending: HashMap::new(),
                departures: Departures::new(now),
                heard_since: now.instant.checked_sub(ttl).unwrap_or(now.instant),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the data is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a session that the store holds as online. The store need not hear of it again.
    pub(crate) fn restore(&self, session: Session, now: Now) {
        let age = Duration::from_micros(u64::try_from(now.time.micros_since(session.last_seen)).unwrap_or(0));
        let seen = now.instant.checked_sub(age).unwrap_or(now.instant);
        self.lock().insert(session, seen, false);
    }

    /// A new session, or one that is heard of for the first time here.
    pub(crate) fn insert(&self, session: Session, now: Now) {
        self.lock().insert(session, now.instant, true);
    }

    /// A session that another registry has issued and stored. Does nothing if it is known already.
    pub(crate) fn adopt_stored(&self, mut session: Session, now: Now) {
        let mut state = self.lock();
        if state.sessions.contains_key(session.session_tag.as_str()) {
            return;
        }
        let stored_online = session.online;
        session.last_seen = now.time;
        session.online = true;
        session.disconnected_at = None;
        state.insert(session, now.instant, !stored_online);
    }

    /// The profile of an account, for searches; kept while it has a live session.
    pub(crate) fn set_profile(&self, account: Account) {
        let mut state = self.lock();
        let online = state.accounts.get(&account.account_id).map_or(0, BTreeSet::len);
        if online > 0 {
            state.ranking.set_profile(account, online);
        }
    }

    /// Corrects what only the store knows of a session that came back: when and where it began.
    pub(crate) fn set_origin(&self, tag: &str, connected_at: Timestamp, server_id: String) {
        if let Some(live) = self.lock().sessions.get_mut(tag) {
            live.session.connected_at = connected_at;
            live.session.server_id = server_id;
        }
    }

    /// A sign of life of a known session (section 7.4). Its agent id stays; account and username stay too if `bound`
    /// (signed identity), else they are replaced where the hello names them.
    pub(crate) fn hello(&self, agent: &AgentInfo, bound: bool, now: Now) -> Heard {
        let Some(tag) = agent.session_tag.as_deref() else {
            return Heard::Unknown;
        };
        let coarse = self.coarse();
        let mut state = self.lock();
        let Some(live) = state.sessions.get_mut(tag) else {
            return Heard::Unknown;
        };
        let tag = Arc::clone(&live.tag);
        let session = &mut live.session;
        session.last_seen = session.last_seen.max(now.time);
        let old_account = session.account_id.clone();
        let mut changed = false;
        let mut replace = |place: &mut Option<String>, given: &Option<String>| {
            if !bound && given.is_some() && place != given {
                place.clone_from(given);
                changed = true;
            }
        };
        replace(&mut session.account_id, &agent.account_id);
        replace(&mut session.username, &agent.username);
        if session.name != agent.name
            || session.capabilities != agent.capabilities
            || session.metadata != agent.metadata
        {
            session.name.clone_from(&agent.name);
            session.capabilities.clone_from(&agent.capabilities);
            session.metadata = agent.metadata.clone();
            changed = true;
        }
        let new_account = session.account_id.clone();
        let due = now.instant.saturating_duration_since(live.stored) >= coarse;
        if changed || due {
            live.stored = now.instant;
        }
        let before = std::mem::replace(&mut live.seen, now.instant);
        state.expiry.remove(&(before, Arc::clone(&tag)));
        state.expiry.insert((now.instant, Arc::clone(&tag)));
        if old_account != new_account {
            state.leave_account(old_account.as_deref(), &tag);
            state.join_account(new_account.as_deref(), &tag);
        }
        if changed {
            state.pending.insert(tag, Change::Upsert);
        } else if due {
            state.pending.entry(tag).or_insert(Change::Touch);
        }
        Heard::Known { changed }
    }

    /// Ends a session (section 7.5); `false` if there is none.
    pub(crate) fn goodbye(&self, tag: &str, now: Now) -> bool {
        self.lock().remove(tag, Some(now.time)).is_some()
    }

    /// Nobody could be heard until now (the connection was lost): silence counts from here.
    pub(crate) fn deaf_until(&self, now: Now) {
        self.lock().heard_since = now.instant;
    }

    /// Ends every session that was silent for longer than the time to live; returns how many.
    pub(crate) fn evict(&self, now: Now) -> usize {
        let mut state = self.lock();
        if now.instant.saturating_duration_since(state.heard_since) < self.ttl {
            return 0;
        }
        let mut evicted = 0;
        while let Some((seen, tag)) = state.expiry.first().cloned() {
            if now.instant.saturating_duration_since(seen) <= self.ttl {
                break;
            }
            state.remove(&tag, None);
            evicted += 1;
        }
        evicted
    }

    /// Live sessions.
    pub(crate) fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Up to `limit` sessions behind `after`, in the order of `registry.list`.
    pub(crate) fn list(&self, after: Option<&ListKey>, limit: usize) -> Vec<(ListKey, AgentInfo)> {
        let state = self.lock();
        let start = after.map_or(Unbounded, |key| Excluded(key.clone()));
        state
            .order
            .range((start, Unbounded))
            .take(limit)
            .filter_map(|key| Some((key.clone(), state.sessions.get(&key.1)?.info())))
            .collect()
    }

    /// The live sessions of an account, last heard of first.
    pub(crate) fn sessions_of(&self, account_id: &str) -> Vec<Session> {
        let state = self.lock();
        let tags = state.accounts.get(account_id).into_iter().flatten();
        let mut live: Vec<&Live> = tags.filter_map(|tag| state.sessions.get(tag)).collect();
        live.sort_by(|a, b| {
            let key = |live: &Live| (live.session.last_seen, live.session.session_tag.clone());
            key(b).cmp(&key(a))
        });
        live.into_iter().map(|live| live.session.clone()).collect()
    }

    /// How many live sessions an account has.
    pub(crate) fn online(&self, account_id: &str) -> usize {
        self.lock().accounts.get(account_id).map_or(0, BTreeSet::len)
    }

    /// Looks at the ranking of online accounts.
    pub(crate) fn ranking<T>(&self, look: impl FnOnce(&Ranking) -> T) -> T {
        look(&self.lock().ranking)
    }
}

impl Live {
    fn info(&self) -> AgentInfo {
        let session = &self.session;
        AgentInfo {
            agent_id: session.agent_id.clone(),
            name: session.name.clone(),
            capabilities: session.capabilities.clone(),
            metadata: session.metadata.clone(),
            account_id: session.account_id.clone(),
            username: session.username.clone(),
            session_tag: Some(session.session_tag.clone()),
            last_seen: Some(session.last_seen.to_string()),
        }
    }
}

impl State {
    fn insert(&mut self, session: Session, seen: Instant, tell_store: bool) {
        let tag: Arc<str> = Arc::from(session.session_tag.as_str());
        self.take_out(&tag);
        let agent_id: Arc<str> = Arc::from(session.agent_id.as_str());
        self.order.insert((Arc::clone(&agent_id), Arc::clone(&tag)));
        self.expiry.insert((seen, Arc::clone(&tag)));
        self.join_account(session.account_id.as_deref(), &tag);
        if tell_store {
            self.pending.insert(Arc::clone(&tag), Change::Upsert);
        }
        self.sessions.insert(
            Arc::clone(&tag),
            Live {
                session,
                tag,
                agent_id,
                seen,
                stored: seen,
            },
        );
    }

    /// Takes a session out and notes its end: at `at`, else when it was last heard of.
    fn remove(&mut self, tag: &str, at: Option<Timestamp>) -> Option<()> {
        let mut session = self.take_out(tag)?;
        let at = at.unwrap_or(session.last_seen);
        if let Some(account_id) = &session.account_id {
            self.departures.note(account_id, at);
        }
        let unknown_to_store = matches!(self.pending.get(tag), Some(Change::Upsert));
        let whole = unknown_to_store.then(|| {
            session.online = false;
            session.disconnected_at = Some(at);
            session.last_seen = session.last_seen.max(at);
            Box::new(session)
        });
        self.pending.insert(Arc::from(tag), Change::End(at, whole));
        Some(())
    }

    fn take_out(&mut self, tag: &str) -> Option<Session> {
        let (tag, live) = self.sessions.remove_entry(tag)?;
        self.order.remove(&(live.agent_id, Arc::clone(&tag)));
        self.expiry.remove(&(live.seen, Arc::clone(&tag)));
        self.leave_account(live.session.account_id.as_deref(), &tag);
        Some(live.session)
    }

    fn join_account(&mut self, account_id: Option<&str>, tag: &Arc<str>) {
        let Some(account_id) = account_id else { return };
        let tags = self.accounts.entry(account_id.to_owned()).or_default();
        tags.insert(Arc::clone(tag));
        self.ranking.set_online(account_id, tags.len());
    }

    fn leave_account(&mut self, account_id: Option<&str>, tag: &Arc<str>) {
        let Some(account_id) = account_id else { return };
        if let Entry::Occupied(mut tags) = self.accounts.entry(account_id.to_owned()) {
            tags.get_mut().remove(tag);
            let left = tags.get().len();
            self.ranking.set_online(account_id, left);
            if left == 0 {
                tags.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests;
