//! Accounts and their sessions, from hellos, receipts and the registry's list.

use std::collections::HashMap;
use std::time::Duration;

use agentnet_protocol::{AgentCounters, AgentInfo, ReceiptStatus};

use super::rate::Rate;
use crate::output::sanitize::clean;

/// Maximum number of accounts. If there are more, offline accounts are dropped first.
const MAX_ACCOUNTS: usize = 50_000;
/// A session without a hello for this long is late. Agents send one every 12 seconds by default.
pub(crate) const LATE_AFTER: Duration = Duration::from_secs(45);
/// Without a registry, a session without a hello for this long is dropped.
const EXPIRY_WITHOUT_REGISTRY: Duration = Duration::from_secs(120);

/// All accounts that were seen.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    accounts: HashMap<Box<str>, Agent>,
    /// The account of each session.
    sessions: HashMap<Box<str>, Box<str>>,
    /// Number of the registry's list that is being read.
    list_number: u32,
}

/// An account, its sessions and its message rates.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    pub(crate) username: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) agent_id: Box<str>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) received: Rate,
    pub(crate) sent: Rate,
    /// Rejected receipts that were seen.
    refused: u64,
    /// Time of the last hello or goodbye.
    seen: Duration,
}

/// One process of an account.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) tag: Box<str>,
    pub(crate) agent_id: Box<str>,
    /// Time of its last hello.
    pub(crate) seen: Duration,
    /// The counters of that hello.
    pub(crate) counters: Option<AgentCounters>,
    /// Accepted minus finished messages since that hello.
    taken: i64,
    /// Messages that it refused since that hello.
    refused: u64,
    /// Number of the last list that contained it.
    list_number: u32,
}

/// The content of a hello.
#[derive(Debug, Default)]
pub(crate) struct Hello<'a> {
    pub(crate) tag: &'a str,
    pub(crate) account_id: &'a str,
    pub(crate) username: &'a str,
    pub(crate) agent_id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) counters: Option<AgentCounters>,
}

/// The presence of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Online,
    /// The circuit breaker is open: it refuses all messages.
    Open,
    /// The hello is overdue.
    Late,
    Offline,
}

impl Agents {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Agent)> {
        self.accounts.iter().map(|(id, agent)| (&**id, agent))
    }

    pub(crate) fn get(&self, account_id: &str) -> Option<&Agent> {
        self.accounts.get(account_id)
    }

    /// The numbers of accounts and sessions that are online.
    pub(crate) fn online(&self) -> (usize, usize) {
        let online = self.accounts.values().filter(|agent| !agent.sessions.is_empty());
        (online.count(), self.sessions.len())
    }

    /// Applies a hello of a session.
    pub(crate) fn hello(&mut self, hello: &Hello<'_>, now: Duration) {
        if hello.tag.is_empty() || hello.account_id.is_empty() {
            return;
        }
        let session = self.session(hello, now);
        session.seen = now;
        if hello.counters.is_some() {
            session.counters = hello.counters;
            (session.taken, session.refused) = (0, 0);
        }
    }

    /// A new list of the registry begins.
    pub(crate) fn list_begins(&mut self) {
        self.list_number += 1;
    }

    /// Applies a session of the registry's list, last seen at `seen`.
    pub(crate) fn listed(&mut self, info: &AgentInfo, seen: Duration) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (tag, account_id, username) = (text(&info.session_tag), text(&info.account_id), text(&info.username));
        if tag.is_empty() || account_id.is_empty() {
            return;
        }
        let hello = Hello {
            tag: &tag,
            account_id: &account_id,
            username: &username,
            agent_id: &info.agent_id,
            name: &info.name,
            counters: None,
        };
        let list_number = self.list_number;
        let session = self.session(&hello, seen);
        session.list_number = list_number;
    }

    /// The registry's list, requested at `asked`, is complete. Drops sessions that are not in it, unless they sent a hello
    /// since.
    pub(crate) fn list_ends(&mut self, asked: Duration) {
        let list_number = self.list_number;
        self.keep_sessions(|session| session.list_number == list_number || session.seen >= asked);
    }

    /// Drops sessions without a recent hello, when there is no registry.
    pub(crate) fn expire(&mut self, now: Duration) {
        self.keep_sessions(|session| now.saturating_sub(session.seen) < EXPIRY_WITHOUT_REGISTRY);
    }

    fn keep_sessions(&mut self, keep: impl Fn(&Session) -> bool) {
        for agent in self.accounts.values_mut() {
            agent.sessions.retain(|session| {
                let keep = keep(session);
                if !keep {
                    self.sessions.remove(&session.tag);
                }
                keep
            });
        }
    }

    /// Whether a session is late, so that the registry should be asked.
    pub(crate) fn any_late(&self, now: Duration) -> bool {
        let late = |session: &Session| now.saturating_sub(session.seen) > LATE_AFTER;
        self.accounts.values().any(|agent| agent.sessions.iter().any(late))
    }

    /// Applies a goodbye of a session.
    pub(crate) fn goodbye(&mut self, tag: &str, now: Duration) {
        if let Some(account_id) = self.sessions.remove(tag)
            && let Some(agent) = self.accounts.get_mut(&account_id)
        {
            agent.sessions.retain(|session| &*session.tag != tag);
            agent.seen = now;
        }
    }

    /// Sets the names of an account, which may be offline.
    pub(crate) fn learn(&mut self, account_id: &str, username: &str, name: &str) {
        let agent = self.account(account_id);
        set(&mut agent.username, username);
        set(&mut agent.name, name);
    }

    /// Counts a message from this account.
    pub(crate) fn sent(&mut self, account_id: &str, now: Duration) {
        if let Some(agent) = self.accounts.get_mut(account_id) {
            agent.sent.add(1, now);
        }
    }

    /// Counts a message to this account.
    pub(crate) fn received(&mut self, account_id: &str, now: Duration) {
        if let Some(agent) = self.accounts.get_mut(account_id) {
            agent.received.add(1, now);
        }
    }

    /// Applies a receipt of this account.
    pub(crate) fn receipt(&mut self, account_id: &str, tag: &str, status: ReceiptStatus, code: &str) {
        let Some(agent) = self.accounts.get_mut(account_id) else {
            return;
        };
        let rejected = status == ReceiptStatus::Rejected;
        agent.refused += u64::from(rejected);
        let Some(session) = agent.sessions.iter_mut().find(|session| &*session.tag == tag) else {
            return;
        };
        session.refused += u64::from(rejected);
        session.taken += match status {
            ReceiptStatus::Accepted => 1,
            ReceiptStatus::Processed => -1,
            // Only an accepted message can fail.
            ReceiptStatus::Rejected if matches!(code, "handler_error" | "timeout") => -1,
            _ => 0,
        };
    }

    fn account(&mut self, account_id: &str) -> &mut Agent {
        if !self.accounts.contains_key(account_id) {
            self.make_room();
        }
        self.accounts.entry(account_id.into()).or_default()
    }

    fn session(&mut self, hello: &Hello<'_>, seen: Duration) -> &mut Session {
        let moved = self
            .sessions
            .get(hello.tag)
            .map(|account_id| **account_id != *hello.account_id);
        if moved == Some(true) {
            // The session has another account now.
            self.goodbye(hello.tag, seen);
        }
        // First: adding the account may drop sessions of other accounts.
        self.account(hello.account_id);
        if moved != Some(false) {
            self.sessions.insert(hello.tag.into(), hello.account_id.into());
        }
        let agent = self.account(hello.account_id);
        agent.seen = agent.seen.max(seen);
        set(&mut agent.username, hello.username);
        set(&mut agent.name, hello.name);
        set(&mut agent.agent_id, hello.agent_id);
        let index = match agent.sessions.iter().position(|session| &*session.tag == hello.tag) {
            Some(index) => index,
            None => {
                agent.sessions.push(Session {
                    tag: hello.tag.into(),
                    ..Session::default()
                });
                agent.sessions.len() - 1
            }
        };
        let session = &mut agent.sessions[index];
        session.seen = session.seen.max(seen);
        set(&mut session.agent_id, hello.agent_id);
        session
    }

    /// If the table is full, drops offline accounts, then the half with the oldest hellos.
    fn make_room(&mut self) {
        if self.accounts.len() < MAX_ACCOUNTS {
            return;
        }
        self.accounts.retain(|_, agent| !agent.sessions.is_empty());
        if self.accounts.len() > MAX_ACCOUNTS / 2 {
            let mut seen: Vec<Duration> = self.accounts.values().map(|agent| agent.seen).collect();
            let (_, median, _) = seen.select_nth_unstable(self.accounts.len() / 2);
            let median = *median;
            self.accounts.retain(|_, agent| agent.seen > median);
            self.sessions
                .retain(|_, account_id| self.accounts.contains_key(account_id));
        }
    }
}

impl Agent {
    /// The presence, computed at `now`.
    pub(crate) fn presence(&self, now: Duration) -> Presence {
        let late = |session: &Session| now.saturating_sub(session.seen) > LATE_AFTER;
        let open = |session: &Session| session.counters.is_some_and(|counters| counters.circuit_open);
        match &*self.sessions {
            [] => Presence::Offline,
            sessions if sessions.iter().all(late) => Presence::Late,
            sessions if sessions.iter().any(open) => Presence::Open,
            _ => Presence::Online,
        }
    }

    /// Messages accepted and not finished; `None` if no session reports counters.
    pub(crate) fn inflight(&self) -> Option<u64> {
        self.total(Session::inflight)
    }

    /// Messages that waited for a handler at the last hello; `None` if no session reports counters.
    pub(crate) fn pending(&self) -> Option<u64> {
        self.total(|session| session.counters.map(|counters| counters.pending))
    }

    /// Messages handled without failure until the last hello; `None` if no session reports counters.
    pub(crate) fn processed(&self) -> Option<u64> {
        self.total(|session| session.counters.map(|counters| counters.processed))
    }

    /// Failures and refusals: as reported, else the rejected receipts that were seen.
    pub(crate) fn errors(&self) -> u64 {
        self.total(Session::errors).unwrap_or(self.refused)
    }

    /// Time since the last hello.
    pub(crate) fn seen_ago(&self, now: Duration) -> Duration {
        let seen = self.sessions.iter().map(|session| session.seen).max();
        now.saturating_sub(seen.unwrap_or(self.seen))
    }

    fn total(&self, of: impl Fn(&Session) -> Option<u64>) -> Option<u64> {
        self.sessions
            .iter()
            .filter_map(of)
            .fold(None, |sum: Option<u64>, one| Some(sum.unwrap_or(0).saturating_add(one)))
    }
}

impl Session {
    /// Handlers running at the last hello, plus messages accepted and minus messages finished since.
    pub(crate) fn inflight(&self) -> Option<u64> {
        let counters = self.counters?;
        Some(counters.inflight.saturating_add_signed(self.taken))
    }

    /// Failures and refusals until the last hello, and refusals since.
    pub(crate) fn errors(&self) -> Option<u64> {
        let counters = self.counters?;
        Some(
            counters
                .errors
                .saturating_add(counters.rejected)
                .saturating_add(self.refused),
        )
    }
}

/// Replaces a text by a new one that is not empty, without control characters.
fn set(text: &mut Box<str>, new: &str) {
    if !new.is_empty() && **text != *new {
        let new = clean(new);
        if **text != *new {
            *text = new.into();
        }
    }
}

#[cfg(test)]
mod tests;
