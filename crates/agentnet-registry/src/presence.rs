//! Who is online: every live session in memory, with the indexes that list, search and eviction need (PROTOCOL.md 7.3 to
//! 7.5). No I/O and no clock here: the time is passed in, and what the store has to learn is collected as `changes`, which
//! `writer` takes away in batches.
//!
//! - `order` keeps the sessions as `registry.list` shows them, so that a page of 100,000 is a range of a tree
//! - `expiry` keeps them by the time they were heard of, so that eviction costs what it evicts
//! - `search` keeps the online accounts in the order of `registry.search`
//! - `look` is what requests ask; `served` counts who has a capability
//! - `replicas` says which of the registries that run writes a session's changes; `ends` how a session ends in the store
//! - `whereabouts` says of an account whether it is surely offline, and since when
//! - `signed` checks who says hello and goodbye, under signed identity
//! - `hear` turns what comes in on the wire into calls here

pub(crate) mod changes;
mod ends;
pub(crate) mod hear;
mod latest;
pub(crate) mod look;
mod replicas;
pub(crate) mod search;
mod served;
mod signed;
pub(crate) mod whereabouts;
pub(crate) mod writer;

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentnet_protocol::{AgentInfo, Timestamp};
use agentnet_store::model::{Account, Session};
use ahash::AHashMap;

use crate::clock::Now;
use changes::Change;
use ends::Unsettled;
use latest::Latest;
use replicas::Replicas;
use search::Ranking;
use served::Served;

/// A program that does not show for so long that it runs was paused, even where the time to live is short.
const LONGEST_NAP: Duration = Duration::from_secs(3);

/// Live sessions that no registry is known to have issued: on a network without signed identity anybody can make them up.
const MOST_UNISSUED: usize = 10_000;

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
    /// In boxes: the table has room for twice as many as there are.
    sessions: AHashMap<Arc<str>, Box<Live>>,
    order: BTreeSet<ListKey>,
    expiry: BTreeSet<(Instant, Arc<str>)>,
    /// The live sessions of each account, in the order of their tags.
    accounts: AHashMap<String, Vec<Arc<str>>>,
    /// The capabilities of live sessions.
    served: Served,
    ranking: Ranking,
    pending: HashMap<Arc<str>, Change>,
    replicas: Replicas,
    unsettled: Unsettled,
    /// When accounts left.
    departures: Latest,
    /// When sessions said goodbye: what another registry or the store says of them later is older.
    goodbyes: Latest,
    /// Silence is counted from here at the earliest: nobody could be heard before.
    heard_since: Instant,
    /// Live sessions that no registry is known to have issued.
    unissued: usize,
    /// When a flood began that not everybody could be taken in for.
    flood_since: Option<Instant>,
    /// When somebody was heard last who could not be taken in.
    missed_at: Instant,
    /// What is not known here is not there if nothing was missed from here on; `None` until the store was read.
    sure_from: Option<Instant>,
    /// When this program last showed that it runs.
    awake: Instant,
}

#[derive(Debug)]
struct Live {
    session: Session,
    tag: Arc<str>,
    agent_id: Arc<str>,
    seen: Instant,
    /// When the store last got its `last_seen`, from here or from the registry that minds it.
    stored: Instant,
    /// Whether the store has got from here what it has to know, or had it anyway. If not, the registry that mattered may
    /// have gone before it wrote that.
    minded: bool,
    /// Whether a registry has issued it, as far as is known.
    issued: bool,
    /// When its last signed hello was said, by its own clock.
    said_at: Option<Timestamp>,
    /// How it is listed, once it was, but for the time of the last sign of life.
    listed: OnceCell<Box<str>>,
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

    /// `number` tells this registry from every other.
    pub(crate) fn new(ttl: Duration, number: u64, now: Now) -> Self {
        Self {
            ttl,
            state: Mutex::new(State {
                sessions: AHashMap::new(),
                order: BTreeSet::new(),
                expiry: BTreeSet::new(),
                accounts: AHashMap::new(),
                served: Served::default(),
                ranking: Ranking::default(),
                pending: HashMap::new(),
                replicas: Replicas::new(number),
                unsettled: Unsettled::new(),
                departures: Latest::default(),
                goodbyes: Latest::default(),
                heard_since: now.instant,
                unissued: 0,
                flood_since: None,
                missed_at: now.instant,
                sure_from: None,
                awake: now.instant,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the data is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another registry runs, or stops. `true` if that is news.
    pub(crate) fn replica(&self, number: u64, stops: bool, now: Now) -> bool {
        let mut state = self.lock();
        if stops {
            state.replicas.left(number);
            return false;
        }
        state.replicas.heard(number, now.instant)
    }

    /// This program runs, and has to show that often. After a pause nothing can be said of those who were silent: what they
    /// said may still be on its way. Other registries that were silent for `silence` have gone.
    pub(crate) fn stay_awake(&self, silence: Duration, now: Now) {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.awake, now.instant);
        let slept = now.instant.saturating_duration_since(before);
        state.replicas.forget(now.instant, silence);
        drop(state);
        if slept > LONGEST_NAP.max(self.ttl / 4) {
            tracing::warn!(
                seconds = slept.as_secs(),
                "this program was paused; silence counts from now"
            );
            self.deaf_until(now);
        }
    }

    /// Takes over a session that the store holds as online; `false` if nobody has heard of it for too long. It may live all
    /// the same: whether it does is seen when everybody had time to say hello.
    pub(crate) fn restore(&self, mut session: Session, now: Now) -> bool {
        let mut state = self.lock();
        let tag = session.session_tag.clone();
        if let Some(live) = state.sessions.get_mut(tag.as_str()) {
            live.session.connected_at = session.connected_at;
            live.session.server_id = session.server_id;
            return true;
        }
        if let Some(at) = state.goodbyes.get(&tag) {
            state.pending.insert(Arc::from(tag), Change::End(at, None));
            return true;
        }
        let age = Duration::from_micros(u64::try_from(now.time.micros_since(session.last_seen)).unwrap_or(0));
        if age > self.ttl {
            if let Some(account_id) = &session.account_id {
                state.departures.note(account_id, session.last_seen);
            }
            state.unsettle(now.instant + self.ttl, &tag, session.last_seen, false);
            return false;
        }
        session.disconnected_at = None;
        let seen = now.instant.checked_sub(age).unwrap_or(now.instant);
        state.insert(session, seen, true);
        true
    }

    /// A session that this registry has issued.
    pub(crate) fn insert(&self, session: Session, now: Now) {
        let mut state = self.lock();
        let tag = state.insert(session, now.instant, true);
        state.pending.insert(tag, Change::Upsert);
    }

    /// A session that is heard of for the first time here, whoever made it up; `false` if there are too many of those.
    pub(crate) fn insert_heard(&self, session: Session, now: Now) -> bool {
        let mut state = self.lock();
        if state.unissued >= MOST_UNISSUED && !state.sessions.contains_key(session.session_tag.as_str()) {
            return false;
        }
        state.goodbyes.forget(&session.session_tag);
        let minds = state.replicas.minds(&session.session_tag);
        let tag = state.insert(session, now.instant, minds);
        if let Some(live) = state.sessions.get_mut(&tag) {
            live.issued = false;
            state.unissued += 1;
        }
        if minds {
            state.pending.insert(tag, Change::Upsert);
        }
        true
    }

    /// A session that a registry has issued and stored; does nothing if it is known already. One that has said goodbye stays
    /// away unless it has said hello again.
    pub(crate) fn adopt_stored(&self, mut session: Session, said_hello: bool, now: Now) {
        let mut state = self.lock();
        let tag = session.session_tag.as_str();
        if state.sessions.contains_key(tag) || (!said_hello && state.goodbyes.get(tag).is_some()) {
            return;
        }
        state.goodbyes.forget(tag);
        let comes_back = !session.online;
        session.last_seen = now.time;
        session.online = true;
        session.disconnected_at = None;
        let minds = state.replicas.minds(&session.session_tag);
        let tag = state.insert(session, now.instant, minds || !comes_back);
        if comes_back && minds {
            state.pending.insert(tag, Change::Upsert);
        }
    }

    /// The profile of an account, for searches; kept while it has a live session.
    pub(crate) fn set_profile(&self, account: Account) {
        let mut state = self.lock();
        let online = state.accounts.get(&account.account_id).map_or(0, Vec::len);
        if online > 0 {
            state.ranking.set_profile(account, online);
        }
    }

    /// Corrects what only the store knows of a session that came back: when and where it began. What this registry has stored
    /// of it just now says nothing of who issued it.
    pub(crate) fn set_origin(&self, tag: &str, connected_at: Timestamp, server_id: String) {
        let mut state = self.lock();
        let Some(live) = state.sessions.get_mut(tag) else {
            return;
        };
        if live.session.connected_at == connected_at && live.session.server_id == server_id {
            return;
        }
        live.session.connected_at = connected_at;
        live.session.server_id = server_id;
        if !std::mem::replace(&mut live.issued, true) {
            state.unissued -= 1;
        }
    }

    /// A sign of life of a known session (section 7.4). Its agent id stays; account and username stay too if `bound`
    /// (signed identity), else they are replaced where the hello names them.
    pub(crate) fn hello(&self, agent: &AgentInfo, bound: bool, now: Now) -> Heard {
        let Some(tag) = agent.session_tag.as_deref() else {
            return Heard::Unknown;
        };
        let coarse = self.coarse();
        let mut guard = self.lock();
        let state = &mut *guard;
        let minds = state.replicas.minds(tag);
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
            state.served.remove(&session.capabilities);
            state.served.add(&agent.capabilities);
            session.capabilities.clone_from(&agent.capabilities);
            session.metadata = agent.metadata.clone();
            changed = true;
        }
        let new_account = session.account_id.clone();
        let due = now.instant.saturating_duration_since(live.stored) >= coarse;
        // Whoever minded it before may have gone without having written what it knew.
        let taken_over = minds && !std::mem::replace(&mut live.minded, minds);
        if changed || due || taken_over {
            live.stored = now.instant;
        }
        if changed {
            live.listed.take();
        }
        let before = std::mem::replace(&mut live.seen, now.instant);
        state.expiry.remove(&(before, Arc::clone(&tag)));
        state.expiry.insert((now.instant, Arc::clone(&tag)));
        if old_account != new_account {
            state.leave_account(old_account.as_deref(), &tag);
            state.join_account(new_account.as_deref(), &tag);
        }
        if minds && (changed || taken_over) {
            state.pending.insert(tag, Change::Upsert);
        } else if minds && due {
            state.pending.entry(tag).or_insert(Change::Touch);
        }
        Heard::Known { changed }
    }

    /// Ends a session (section 7.5); `false` if there is none.
    pub(crate) fn goodbye(&self, tag: &str, now: Now) -> bool {
        let mut state = self.lock();
        if !tag.is_empty() {
            state.goodbyes.note(tag, now.time);
        }
        let ends = if state.replicas.minds(tag) {
            End::Written
        } else {
            End::AskedFor(now.instant + self.grace())
        };
        state.remove(tag, Some(now.time), ends)
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
            let asked_after = if state.replicas.minds(&tag) {
                Duration::ZERO
            } else {
                self.grace()
            };
            state.remove(&tag, None, End::AskedFor(now.instant + asked_after));
            evicted += 1;
        }
        evicted
    }
}

/// How the end of a session reaches the store.
enum End {
    Written,
    /// If the store agrees, from then on.
    AskedFor(Instant),
}

impl State {
    /// `minded`: the store knows it or is told by the caller.
    fn insert(&mut self, session: Session, seen: Instant, minded: bool) -> Arc<str> {
        let tag: Arc<str> = Arc::from(session.session_tag.as_str());
        self.take_out(&tag);
        let agent_id: Arc<str> = Arc::from(session.agent_id.as_str());
        self.order.insert((Arc::clone(&agent_id), Arc::clone(&tag)));
        self.expiry.insert((seen, Arc::clone(&tag)));
        self.join_account(session.account_id.as_deref(), &tag);
        self.served.add(&session.capabilities);
        self.sessions.insert(
            Arc::clone(&tag),
            Box::new(Live {
                session,
                tag: Arc::clone(&tag),
                agent_id,
                seen,
                stored: seen,
                minded,
                issued: true,
                said_at: None,
                listed: OnceCell::new(),
            }),
        );
        tag
    }

    /// Takes a session out and notes its end: at a goodbye, else when it was last heard of. `false` if there is none.
    fn remove(&mut self, tag: &str, goodbye: Option<Timestamp>, end: End) -> bool {
        let Some(mut session) = self.take_out(tag) else {
            return false;
        };
        let at = goodbye.unwrap_or(session.last_seen);
        if let Some(account_id) = &session.account_id {
            self.departures.note(account_id, at);
        }
        let pending = self.pending.remove(tag);
        let change = match end {
            // Only this registry can know it.
            _ if pending == Some(Change::Upsert) => {
                session.online = false;
                session.disconnected_at = Some(at);
                session.last_seen = session.last_seen.max(at);
                Change::End(at, Some(Box::new(session)))
            }
            End::Written => Change::End(at, None),
            End::AskedFor(due) => {
                self.unsettle(due, tag, at, goodbye.is_some());
                return true;
            }
        };
        self.pending.insert(Arc::from(tag), change);
        true
    }

    fn take_out(&mut self, tag: &str) -> Option<Session> {
        let (tag, live) = self.sessions.remove_entry(tag)?;
        self.order.remove(&(live.agent_id, Arc::clone(&tag)));
        self.expiry.remove(&(live.seen, Arc::clone(&tag)));
        self.leave_account(live.session.account_id.as_deref(), &tag);
        self.served.remove(&live.session.capabilities);
        if !live.issued {
            self.unissued -= 1;
        }
        Some(live.session)
    }

    fn join_account(&mut self, account_id: Option<&str>, tag: &Arc<str>) {
        let Some(account_id) = account_id else { return };
        // Most have one.
        let tags = self
            .accounts
            .entry(account_id.to_owned())
            .or_insert_with(|| Vec::with_capacity(1));
        if let Err(place) = tags.binary_search(tag) {
            tags.insert(place, Arc::clone(tag));
        }
        self.ranking.set_online(account_id, tags.len());
    }

    fn leave_account(&mut self, account_id: Option<&str>, tag: &Arc<str>) {
        let Some(account_id) = account_id else { return };
        let Some(tags) = self.accounts.get_mut(account_id) else {
            return;
        };
        if let Ok(place) = tags.binary_search(tag) {
            tags.remove(place);
        }
        self.ranking.set_online(account_id, tags.len());
        if tags.is_empty() {
            self.accounts.remove(account_id);
        }
    }
}

#[cfg(test)]
mod tests;
