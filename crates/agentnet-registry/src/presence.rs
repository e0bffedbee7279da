//! Which sessions are live: all of them in memory (PROTOCOL.md 7.3 to 7.5). No I/O and no clock here: the time is passed in,
//! and what the store has to learn is collected until `writer` takes it.
//!
//! A session:
//!
//! ```text
//!             register (issued here), hello,
//!             announced or restored from the store
//!  unknown ------------------------------------------> live --- goodbye --------> ended
//!     ^                                                 | ^                         |
//!     |                              silent for the TTL | | hello                   | written by its owner,
//!     |                                                 v |                         | checked by the others
//!     +--------------------- the store agrees -------- silent                       v
//!                                                                          ended in the store
//! ```
//!
//! - *owned*: of the running registries, one writes a session's changes to the store (`ownership`). `owned` is false while the
//!   store may lack what a former owner knew; the new owner then writes the whole session with its next hello.
//! - A silent session leaves the memory, and is ended in the store only if the store agrees (`session_end`).
//!
//! The registry (`offline_certainty`):
//!
//! ```text
//!            the store was read                  one TTL without a gap
//!  started ----------------------> catching up ------------------------> warm: without a live session,
//!  (sure_from: none)               (sure_from: now)                      an account is offline
//!                                       ^                                  |
//!                                       +--- missed, paused, cut off ------+
//! ```
//!
//! - `sure_from`: since when nothing was missed that the store does not show; `None` until the store was read.
//! - `heard_since`: silence counts from here: the start, the last reconnect, the end of the last pause.
//! - `missed_at`: the last time that a session was heard of and could not be handled.
//! - `awake`: when this program last showed that it runs; a gap is a pause (SIGSTOP, a suspended machine).
//!
//! `state` holds the sessions and their transitions, pure. [`Presence`] is the same behind a lock. On top of it,
//! `apply_events` and `signed_presence` handle what agents and registries send, `lookups` reads sessions from the store,
//! `writer` and `session_end` write to it.

pub(crate) mod apply_events;
mod capabilities;
mod live_session;
pub(crate) mod lookups;
pub(crate) mod mailbox_mode;
pub(crate) mod offline_certainty;
mod ownership;
pub(crate) mod pending_lookups;
mod pending_writes;
pub(crate) mod queries;
mod recent_events;
pub(crate) mod search;
mod session_end;
pub(crate) mod session_modes;
mod signed_presence;
mod state;
mod unsettled;
pub(crate) mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{AgentInfo, Timestamp};
use agentnet_store::model::{Account, Session};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::clock::Now;
pub(crate) use live_session::HelloOutcome;
use offline_certainty::AccountPresence;
use pending_writes::WriteBatch;
use queries::{ListPage, Signer};
use search::Ranking;
pub(crate) use state::ListKey;
use state::State;
use unsettled::LeftSession;

/// A program that does not show for longer that it runs was paused, even where the TTL is short.
const MAX_PAUSE: Duration = Duration::from_secs(3);

/// All live sessions. Calls are short; nothing waits while the lock is held.
#[derive(Debug)]
pub(crate) struct Presence {
    ttl: Duration,
    state: Mutex<State>,
    /// From when on this registry is warm if nothing is missed until then.
    warm_from: watch::Sender<Option<Instant>>,
}

impl Presence {
    pub(crate) fn new(ttl: Duration, instance_id: u64, now: Now) -> Self {
        Self {
            ttl,
            state: Mutex::new(State::new(ttl, instance_id, now)),
            warm_from: watch::Sender::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the data is still the best there is.
        self.state.lock()
    }

    /// The time to live of a silent session.
    fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How long the owner of a session has to end it in the store before the other registries check.
    fn grace(&self) -> Duration {
        self.lock().grace()
    }

    // Events.

    /// A session that this registry has issued.
    pub(crate) fn insert(&self, session: Session, now: Now) {
        self.lock().insert_issued(session, now);
    }

    /// A session that a hello made known, whether or not a registry issued it; `false` if there are too many of those.
    pub(crate) fn insert_heard(&self, session: Session, now: Now) -> bool {
        self.lock().insert_heard(session, now)
    }

    /// A session that a registry has issued and stored; does nothing if it is known already. One that has said goodbye stays
    /// ended unless it has said hello again.
    pub(crate) fn adopt_stored(&self, session: Session, said_hello: bool, now: Now) {
        self.lock().adopt_stored(session, said_hello, now);
    }

    /// Restores a session that is online in the store; `false` if its last sign of life there is too old. It may be alive all
    /// the same: that is checked when every session has had time to say hello.
    pub(crate) fn restore(&self, session: Session, now: Now) -> bool {
        self.lock().restore(session, now)
    }

    /// A hello of a known session (section 7.4). Its agent id stays; account and username stay too if `bound` (signed
    /// identity), else those in the hello replace them.
    pub(crate) fn hello(&self, agent: &AgentInfo, bound: bool, now: Now) -> HelloOutcome {
        self.lock().hello(agent, bound, now)
    }

    /// The time of a session's last signed hello, by its own clock.
    fn note_signed_hello(&self, tag: &str, at: Timestamp) {
        if let Some(live) = self.lock().sessions.get_mut(tag) {
            live.said_at = live.said_at.max(Some(at));
        }
    }

    /// A goodbye (section 7.5); `false` if there is no such session.
    pub(crate) fn goodbye(&self, tag: &str, now: Now) -> bool {
        self.lock().goodbye(tag, now)
    }

    /// Ends every session that was silent for longer than the TTL; returns how many.
    pub(crate) fn evict(&self, now: Now) -> usize {
        self.lock().evict(now.instant)
    }

    /// The profile of an account, for searches; kept while it has a live session.
    pub(crate) fn set_profile(&self, account: Account) {
        self.lock().set_profile(account);
    }

    /// When and where a returning session began, which only the store knows. A row that this registry has just written does
    /// not tell who issued the session.
    pub(crate) fn set_origin(&self, tag: &str, connected_at: Timestamp, server_id: String) {
        self.lock().set_origin(tag, connected_at, server_id);
    }

    /// Another registry runs, or stops. `true` if it was not known.
    pub(crate) fn replica(&self, instance_id: u64, stops: bool, now: Now) -> bool {
        let mut state = self.lock();
        if stops {
            state.push_changes.owners |= state.ownership.left(instance_id);
            return false;
        }
        let is_new = state.ownership.heard(instance_id, now.instant);
        state.push_changes.owners |= is_new;
        is_new
    }

    /// Called every second. After a pause of this program, silence counts anew: hellos of the meantime may not have been read
    /// yet. Forgets other registries that were silent for longer than `silence`.
    pub(crate) fn detect_pause(&self, silence: Duration, now: Now) {
        let mut state = self.lock();
        let paused = state.wake(now.instant);
        state.push_changes.owners |= state.ownership.forget(now.instant, silence);
        drop(state);
        if paused > MAX_PAUSE.max(self.ttl / 4) {
            tracing::warn!(
                seconds = paused.as_secs(),
                "this program was paused; silence counts from now"
            );
            self.reset_silence_from(now);
        }
    }

    // Certainty.

    /// The sessions of the store were restored; an `empty` store has no accounts.
    pub(crate) fn loaded(&self, empty: bool, now: Now) {
        self.change_certainty(|certainty| certainty.loaded(empty, now.instant));
    }

    /// This is the first registry of its network.
    pub(crate) fn first_registry(&self, now: Now) {
        self.change_certainty(|certainty| certainty.first_registry(now.instant));
    }

    /// Nothing could be received until now: silence counts from here.
    pub(crate) fn reset_silence_from(&self, now: Now) {
        self.change_certainty(|certainty| certainty.reset_silence_from(now.instant));
    }

    /// A session was heard of and could not be handled.
    pub(crate) fn missed(&self, now: Now) {
        self.change_certainty(|certainty| certainty.missed(now.instant));
    }

    /// More came in than could be handled.
    pub(crate) fn overflowed(&self, now: Now) {
        self.change_certainty(|certainty| certainty.overflowed(now.instant));
    }

    fn change_certainty(&self, change: impl FnOnce(&mut offline_certainty::Certainty)) {
        let mut state = self.lock();
        change(&mut state.certainty);
        let warm_from = state.certainty.warm_from();
        self.warm_from
            .send_if_modified(|before| std::mem::replace(before, warm_from) != warm_from);
    }

    /// From when on this registry is warm if nothing is missed until then; `None` until the store was read.
    pub(crate) fn warm_from(&self) -> watch::Receiver<Option<Instant>> {
        self.warm_from.subscribe()
    }

    /// Whether every live session that the store knows must be known here.
    pub(crate) fn is_warm(&self, now: Now) -> bool {
        self.lock().certainty.is_warm(now.instant)
    }

    /// Whether this registry could receive for so long without a gap.
    pub(crate) fn has_heard_for(&self, time: Duration, now: Now) -> bool {
        self.lock().certainty.has_heard_for(time, now.instant)
    }

    /// Whether every live session must be known here, even one that the store does not know.
    pub(crate) fn knows_all(&self, now: Now) -> bool {
        self.lock().certainty.knows_all(now.instant)
    }

    /// Whether an account that the store knows is online.
    pub(crate) fn account_presence(&self, account_id: &str, now: Now) -> AccountPresence {
        self.lock().account_presence(account_id, now)
    }

    // Queries.

    /// Whether a session is live.
    pub(crate) fn knows(&self, session_tag: &str) -> bool {
        self.lock().sessions.contains_key(session_tag)
    }

    /// The number of live sessions.
    pub(crate) fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// The number of live sessions of an account.
    pub(crate) fn online(&self, account_id: &str) -> usize {
        self.lock().accounts.get(account_id).map_or(0, Vec::len)
    }

    /// Whether a live session has the capability.
    pub(crate) fn serves(&self, capability: &str) -> bool {
        self.lock().capabilities.contains(capability)
    }

    /// Adds up to `limit` sessions behind `after` to a page, in the order of `registry.list`; `true` if there may be more.
    pub(crate) fn list(&self, after: Option<&ListKey>, limit: usize, page: &mut ListPage) -> bool {
        self.lock().list(after, limit, page)
    }

    /// The entry of a session without capabilities and metadata, where the whole one is too large.
    pub(crate) fn short_entry(&self, key: &ListKey) -> Option<String> {
        let state = self.lock();
        Some(state.sessions.get(&key.1)?.short_entry())
    }

    /// The live sessions of an account, the last sign of life first.
    pub(crate) fn sessions_of(&self, account_id: &str) -> Vec<Session> {
        self.lock().sessions_of(account_id)
    }

    /// Reads the ranking of online accounts.
    pub(crate) fn ranking<T>(&self, read: impl FnOnce(&Ranking) -> T) -> T {
        read(&self.lock().ranking)
    }

    /// Whether the profile of an online account is known.
    pub(crate) fn has_profile(&self, account_id: &str) -> bool {
        self.lock().ranking.contains(account_id)
    }

    /// Online accounts that searches do not find because their profile is not known.
    pub(crate) fn accounts_without_profile(&self) -> Vec<String> {
        self.lock().accounts_without_profile()
    }

    /// What all live sessions of an account sign; `None` if it has none.
    pub(crate) fn signs(&self, account_id: &str) -> Option<SigningScope> {
        self.lock().signs(account_id)
    }

    /// Whose signature the events of a live session must carry.
    fn signer(&self, tag: &str) -> Option<Signer> {
        self.lock().signer(tag)
    }

    fn has_said_goodbye(&self, tag: &str) -> bool {
        self.lock().goodbyes.get(tag).is_some()
    }

    // Writing to the store.

    /// Whether the store lacks a change of a session.
    pub(crate) fn is_unwritten(&self, session_tag: &str) -> bool {
        self.lock().writes.contains(session_tag)
    }

    /// The sessions with changes that the store lacks, new ones first. Without `all`, those with mere signs of life are left
    /// out.
    fn due_writes(&self, all: bool) -> Vec<Arc<str>> {
        self.lock().writes.due(all)
    }

    /// Takes out the changes of these sessions.
    fn take_writes(&self, due: &[Arc<str>]) -> WriteBatch {
        let mut guard = self.lock();
        let State { writes, sessions, .. } = &mut *guard;
        writes.take(due, |tag| sessions.get(tag).map(|live| &live.session))
    }

    /// Puts back changes that the store did not take. Newer changes of the same sessions win.
    fn put_back(&self, batch: WriteBatch) {
        self.lock().writes.put_back(batch);
    }

    /// Before a stop: writes the last signs of life of the sessions that this registry owns.
    fn touch_owned(&self) {
        self.lock().touch_owned();
    }

    /// Takes out the sessions about which the store has to be asked now; `steady`: the store has had time to receive what all
    /// registries know.
    fn take_unsettled(&self, steady: bool, now: Now) -> Vec<(Arc<str>, LeftSession)> {
        self.lock().take_unsettled(steady, now.instant)
    }

    /// Asks the store about these sessions again `after` some time.
    fn unsettle_again(&self, after: Duration, left: impl IntoIterator<Item = (Arc<str>, LeftSession)>, now: Now) {
        let mut state = self.lock();
        for (tag, left) in left {
            state.unsettled.add(now.instant + after, tag, left);
        }
    }
}

#[cfg(test)]
mod tests;
