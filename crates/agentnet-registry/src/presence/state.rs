//! The state of presence: every live session, with the indexes that list, search and eviction need. Pure: no lock, no clock,
//! no I/O. What the store has to learn is collected as [`PendingWrites`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::{AgentInfo, Timestamp};
use agentnet_store::model::{Account, Session};
use ahash::AHashMap;

use super::capabilities::CapabilityCounts;
use super::live_session::{HelloOutcome, LiveSession};
use super::offline_certainty::Certainty;
use super::ownership::Ownership;
use super::pending_writes::{Change, PendingWrites};
use super::recent_events::RecentEvents;
use super::search::Ranking;
use super::unsettled::{LeftSession, Unsettled};
use crate::clock::Now;
use crate::mailbox::recipients::SessionChanges;

/// Live sessions that no registry is known to have issued: without signed identity, every client can make such ones up.
pub(super) const MAX_UNISSUED: usize = 10_000;

/// The position of a session in the order of `registry.list`: its agent id and tag.
pub(crate) type ListKey = (Arc<str>, Arc<str>);

/// All live sessions.
#[derive(Debug)]
pub(super) struct State {
    ttl: Duration,
    /// In boxes: the table has room for twice as many entries as it holds.
    pub(super) sessions: AHashMap<Arc<str>, Box<LiveSession>>,
    /// The sessions as `registry.list` shows them: a page is a range.
    pub(super) order: BTreeSet<ListKey>,
    /// The sessions by their last sign of life: an eviction costs what it evicts.
    expiry: BTreeSet<(Instant, Arc<str>)>,
    /// The live sessions of each account, in the order of their tags.
    pub(super) accounts: AHashMap<String, Vec<Arc<str>>>,
    pub(super) capabilities: CapabilityCounts,
    pub(super) ranking: Ranking,
    pub(super) writes: PendingWrites,
    pub(super) ownership: Ownership,
    pub(super) unsettled: Unsettled,
    pub(super) certainty: Certainty,
    /// What changed for the delivery of messages of mailboxes.
    pub(super) push_changes: SessionChanges,
    /// When accounts went offline.
    pub(super) departures: RecentEvents,
    /// When sessions said goodbye: later news from the store or another registry is older than that.
    pub(super) goodbyes: RecentEvents,
    /// Live sessions that no registry is known to have issued.
    unissued: usize,
    /// When this program last showed that it runs.
    awake: Instant,
}

/// How the end of a session reaches the store.
enum End {
    /// It is written.
    Written,
    /// It is written if the store agrees, from this time on.
    AskedFor(Instant),
}

impl State {
    pub(super) fn new(ttl: Duration, instance_id: u64, now: Now) -> Self {
        Self {
            ttl,
            sessions: AHashMap::new(),
            order: BTreeSet::new(),
            expiry: BTreeSet::new(),
            accounts: AHashMap::new(),
            capabilities: CapabilityCounts::default(),
            ranking: Ranking::default(),
            writes: PendingWrites::default(),
            ownership: Ownership::new(instance_id),
            unsettled: Unsettled::default(),
            certainty: Certainty::new(ttl, now.instant),
            push_changes: SessionChanges::default(),
            departures: RecentEvents::default(),
            goodbyes: RecentEvents::default(),
            unissued: 0,
            awake: now.instant,
        }
    }

    /// `last_seen` is written to the store this often.
    fn write_interval(&self) -> Duration {
        self.ttl / 4
    }

    /// How long the owner of a session has to end it in the store before the other registries check.
    pub(super) fn grace(&self) -> Duration {
        self.ttl / 2
    }

    /// Notes that this program runs; returns how long it did not show that.
    pub(super) fn wake(&mut self, now: Instant) -> Duration {
        let before = std::mem::replace(&mut self.awake, now);
        now.saturating_duration_since(before)
    }

    pub(super) fn restore(&mut self, mut session: Session, now: Now) -> bool {
        let tag: Arc<str> = Arc::from(session.session_tag.as_str());
        if let Some(live) = self.sessions.get_mut(&tag) {
            live.session.connected_at = session.connected_at;
            live.session.server_id = session.server_id;
            return true;
        }
        if let Some(at) = self.goodbyes.get(&tag) {
            self.writes.set(tag, Change::End(at, None));
            return true;
        }
        let age = Duration::from_micros(u64::try_from(now.time.micros_since(session.last_seen)).unwrap_or(0));
        if age > self.ttl {
            if let Some(account_id) = &session.account_id {
                self.departures.note(account_id, session.last_seen);
            }
            let left = LeftSession {
                at: session.last_seen,
                said_goodbye: false,
            };
            self.unsettled.add(now.instant + self.ttl, tag, left);
            return false;
        }
        session.disconnected_at = None;
        let seen = now.instant.checked_sub(age).unwrap_or(now.instant);
        self.insert(session, seen, true);
        true
    }

    pub(super) fn insert_issued(&mut self, session: Session, now: Now) {
        let tag = self.insert(session, now.instant, true);
        self.writes.set(tag, Change::Upsert);
    }

    pub(super) fn insert_heard(&mut self, session: Session, now: Now) -> bool {
        if self.unissued >= MAX_UNISSUED && !self.sessions.contains_key(session.session_tag.as_str()) {
            return false;
        }
        self.goodbyes.forget(&session.session_tag);
        let owns = self.ownership.owns(&session.session_tag);
        let tag = self.insert(session, now.instant, owns);
        if let Some(live) = self.sessions.get_mut(&tag) {
            live.issued = false;
            self.unissued += 1;
        }
        if owns {
            self.writes.set(tag, Change::Upsert);
        }
        true
    }

    pub(super) fn adopt_stored(&mut self, mut session: Session, said_hello: bool, now: Now) {
        let tag = session.session_tag.as_str();
        if self.sessions.contains_key(tag) || (!said_hello && self.goodbyes.get(tag).is_some()) {
            return;
        }
        self.goodbyes.forget(tag);
        let comes_back = !session.online;
        session.last_seen = now.time;
        session.online = true;
        session.disconnected_at = None;
        let owns = self.ownership.owns(&session.session_tag);
        let tag = self.insert(session, now.instant, owns || !comes_back);
        if comes_back && owns {
            self.writes.set(tag, Change::Upsert);
        }
    }

    pub(super) fn set_profile(&mut self, account: Account) {
        let online = self.accounts.get(&account.account_id).map_or(0, Vec::len);
        if online > 0 {
            self.ranking.set_profile(account, online);
        }
    }

    pub(super) fn set_origin(&mut self, tag: &str, connected_at: Timestamp, server_id: String) {
        let Some(live) = self.sessions.get_mut(tag) else {
            return;
        };
        if live.session.connected_at == connected_at && live.session.server_id == server_id {
            return;
        }
        live.session.connected_at = connected_at;
        live.session.server_id = server_id;
        if !std::mem::replace(&mut live.issued, true) {
            self.unissued -= 1;
        }
    }

    pub(super) fn hello(&mut self, agent: &AgentInfo, bound: bool, now: Now) -> HelloOutcome {
        let Some(tag) = agent.session_tag.as_deref() else {
            return HelloOutcome::Unknown;
        };
        let write_interval = self.write_interval();
        let owns = self.ownership.owns(tag);
        let Some(live) = self.sessions.get_mut(tag) else {
            return HelloOutcome::Unknown;
        };
        let tag = Arc::clone(&live.tag);
        live.session.last_seen = live.session.last_seen.max(now.time);
        let old_account = live.session.account_id.clone();
        self.capabilities
            .replace(&live.session.capabilities, &agent.capabilities);
        let changed = live.update(agent, bound);
        let new_account = live.session.account_id.clone();
        let due = now.instant.saturating_duration_since(live.stored) >= write_interval;
        // The former owner may have stopped without having written what it knew.
        let taken_over = owns && !std::mem::replace(&mut live.owned, owns);
        if changed || due || taken_over {
            live.stored = now.instant;
        }
        let before = std::mem::replace(&mut live.seen, now.instant);
        self.expiry.remove(&(before, Arc::clone(&tag)));
        self.expiry.insert((now.instant, Arc::clone(&tag)));
        if old_account != new_account {
            self.leave_account(old_account.as_deref(), &tag);
            self.join_account(new_account.as_deref(), &tag);
        }
        if owns && (changed || taken_over) {
            self.writes.set(tag, Change::Upsert);
        } else if owns && due {
            self.writes.add(tag, Change::Touch);
        }
        HelloOutcome::Known { changed }
    }

    pub(super) fn goodbye(&mut self, tag: &str, now: Now) -> bool {
        if !tag.is_empty() {
            self.goodbyes.note(tag, now.time);
        }
        let end = if self.ownership.owns(tag) {
            End::Written
        } else {
            End::AskedFor(now.instant + self.grace())
        };
        self.remove(tag, Some(now.time), end)
    }

    pub(super) fn evict(&mut self, now: Instant) -> usize {
        if !self.certainty.can_judge_silence(now) {
            return 0;
        }
        let mut evicted = 0;
        while let Some((seen, tag)) = self.expiry.first().cloned() {
            if now.saturating_duration_since(seen) <= self.ttl {
                break;
            }
            let asked_after = if self.ownership.owns(&tag) {
                Duration::ZERO
            } else {
                self.grace()
            };
            self.remove(&tag, None, End::AskedFor(now + asked_after));
            evicted += 1;
        }
        evicted
    }

    pub(super) fn touch_owned(&mut self) {
        for tag in self.sessions.keys().filter(|tag| self.ownership.owns(tag)) {
            self.writes.add(Arc::clone(tag), Change::Touch);
        }
    }

    /// Takes out the sessions about which the store has to be asked now.
    pub(super) fn take_unsettled(&mut self, steady: bool, now: Instant) -> Vec<(Arc<str>, LeftSession)> {
        let may_ask = steady && self.certainty.can_judge_silence(now);
        let mut due = Vec::new();
        let mut later = Vec::new();
        while let Some((tag, left)) = self.unsettled.next_due(now) {
            if self.sessions.contains_key(&tag) {
                continue;
            }
            if left.said_goodbye || may_ask {
                due.push((tag, left));
            } else {
                later.push((tag, left));
            }
        }
        for (tag, left) in later {
            self.unsettled.add(now + self.ttl / 4, tag, left);
        }
        due
    }

    /// `owned`: the store has the session, or its caller writes it.
    pub(super) fn insert(&mut self, session: Session, seen: Instant, owned: bool) -> Arc<str> {
        let live = Box::new(LiveSession::new(session, seen, owned));
        let tag = Arc::clone(&live.tag);
        self.take_out(&tag);
        self.order.insert((Arc::clone(&live.agent_id), Arc::clone(&tag)));
        self.expiry.insert((seen, Arc::clone(&tag)));
        self.join_account(live.session.account_id.as_deref(), &tag);
        self.capabilities.add(&live.session.capabilities);
        self.sessions.insert(Arc::clone(&tag), live);
        tag
    }

    /// Removes a session and notes its end: the time of its goodbye, else of its last sign of life. `false` if there is none.
    fn remove(&mut self, tag: &str, goodbye: Option<Timestamp>, end: End) -> bool {
        let Some(mut session) = self.take_out(tag) else {
            return false;
        };
        let at = goodbye.unwrap_or(session.last_seen);
        if let Some(account_id) = &session.account_id {
            self.departures.note(account_id, at);
        }
        let pending = self.writes.remove(tag);
        let change = match end {
            // The store may not have the session yet, and other registries may not know it.
            _ if pending == Some(Change::Upsert) => {
                session.online = false;
                session.disconnected_at = Some(at);
                session.last_seen = session.last_seen.max(at);
                Change::End(at, Some(Box::new(session)))
            }
            End::Written => Change::End(at, None),
            End::AskedFor(due) => {
                let said_goodbye = goodbye.is_some();
                self.unsettled
                    .add(due, Arc::from(tag), LeftSession { at, said_goodbye });
                return true;
            }
        };
        self.writes.set(Arc::from(tag), change);
        true
    }

    fn take_out(&mut self, tag: &str) -> Option<Session> {
        let (tag, live) = self.sessions.remove_entry(tag)?;
        self.order.remove(&(live.agent_id, Arc::clone(&tag)));
        self.expiry.remove(&(live.seen, Arc::clone(&tag)));
        self.leave_account(live.session.account_id.as_deref(), &tag);
        self.capabilities.remove(&live.session.capabilities);
        if !live.issued {
            self.unissued -= 1;
        }
        Some(live.session)
    }

    fn join_account(&mut self, account_id: Option<&str>, tag: &Arc<str>) {
        let Some(account_id) = account_id else { return };
        self.push_changes.accounts.insert(account_id.to_owned());
        // Most accounts have one session.
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
        self.push_changes.accounts.insert(account_id.to_owned());
        if let Ok(place) = tags.binary_search(tag) {
            tags.remove(place);
        }
        self.ranking.set_online(account_id, tags.len());
        if tags.is_empty() {
            self.accounts.remove(account_id);
        }
    }
}
