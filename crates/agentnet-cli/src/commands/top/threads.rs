//! Threads: the registry's counters plus the messages seen since.

use std::collections::HashMap;
use std::time::Duration;

use agentnet_protocol::Timestamp;
use agentnet_protocol::rpc::ThreadSummary;
use agentnet_protocol::thread::{DEFAULT_CHARS_PER_TOKEN, estimate_tokens};

use super::rate::Rate;
use crate::output::sanitize::clean;

/// Maximum number of threads. If there are more, the older half is dropped.
const MAX_THREADS: usize = 5_000;
/// Maximum number of participants that are kept for a thread.
const MAX_PARTICIPANTS: usize = 8;
/// After this time the registry has stored a message, and its counters include it.
const STORAGE_DELAY: Duration = Duration::from_secs(3);

/// The threads with the latest activity.
#[derive(Debug, Default)]
pub(crate) struct ThreadTable(HashMap<Box<str>, Thread>);

/// A thread's counters, participants and message rate.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) messages: i64,
    pub(crate) tokens: i64,
    /// Whether the counters are the registry's; else they count the messages since `top` began.
    pub(crate) known: bool,
    /// Time of its last message.
    pub(crate) active: Timestamp,
    /// Time when a message was last seen.
    passed: Option<Duration>,
    pub(crate) participants: Vec<Box<str>>,
    pub(crate) rate: Rate,
}

impl Default for Thread {
    fn default() -> Self {
        Self {
            messages: 0,
            tokens: 0,
            known: false,
            active: Timestamp::from_micros(0),
            passed: None,
            participants: Vec::new(),
            rate: Rate::default(),
        }
    }
}

impl ThreadTable {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Thread)> {
        self.0.iter().map(|(id, thread)| (&**id, thread))
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Thread> {
        self.0.get(id)
    }

    /// Counts a message of a thread with its payload size.
    pub(crate) fn passed(&mut self, id: &str, parties: [&str; 2], bytes: usize, at: Timestamp, now: Duration) {
        let thread = self.thread(id);
        thread.messages += 1;
        thread.tokens += estimate_tokens(i64::try_from(bytes).unwrap_or(i64::MAX), DEFAULT_CHARS_PER_TOKEN);
        thread.active = thread.active.max(at);
        thread.passed = Some(now);
        thread.rate.add(1, now);
        for party in parties {
            thread.join(party);
        }
    }

    /// Applies the registry's counters of a thread. They may be behind: then the larger ones stay.
    pub(crate) fn apply_summary(&mut self, summary: &ThreadSummary, now: Duration) {
        let thread = self.thread(&summary.thread_id);
        let settled = thread
            .passed
            .is_none_or(|passed| now.saturating_sub(passed) > STORAGE_DELAY);
        if settled {
            (thread.messages, thread.tokens) = (summary.message_count, summary.approx_tokens);
        } else {
            thread.messages = thread.messages.max(summary.message_count);
            thread.tokens = thread.tokens.max(summary.approx_tokens);
        }
        thread.known = true;
        let active = summary.last_message_at.as_deref().unwrap_or(&summary.updated_at);
        if let Some(active) = Timestamp::parse(active) {
            thread.active = thread.active.max(active);
        }
        for participant in &summary.participants {
            thread.join(participant);
        }
    }

    fn thread(&mut self, id: &str) -> &mut Thread {
        let id = clean(id);
        if self.0.len() >= MAX_THREADS && !self.0.contains_key(&*id) {
            let mut active: Vec<Timestamp> = self.0.values().map(|thread| thread.active).collect();
            let (_, median, _) = active.select_nth_unstable(MAX_THREADS / 2);
            let median = *median;
            self.0.retain(|_, thread| thread.active > median);
        }
        self.0.entry((&*id).into()).or_default()
    }
}

impl Thread {
    fn join(&mut self, party: &str) {
        let known = self.participants.iter().any(|participant| **participant == *party);
        if !party.is_empty() && !known && self.participants.len() < MAX_PARTICIPANTS {
            self.participants.push((&*clean(party)).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn summary(messages: i64, tokens: i64) -> ThreadSummary {
        ThreadSummary {
            thread_id: "t".into(),
            participants: vec!["acct_b".into(), "acct_c".into()],
            message_count: messages,
            approx_tokens: tokens,
            updated_at: "1970-01-01T00:00:05Z".into(),
            ..ThreadSummary::default()
        }
    }

    #[test]
    fn what_passes_comes_on_top_of_what_the_registry_counts() {
        let mut threads = ThreadTable::default();
        let second = Duration::from_secs;
        threads.passed("t", ["acct_a", "acct_b"], 9, at(3), second(10));
        let counters = |threads: &ThreadTable| {
            let thread = threads.get("t").unwrap();
            (thread.messages, thread.tokens, thread.known)
        };
        assert_eq!(counters(&threads), (1, 3, false));
        threads.apply_summary(&summary(40, 100), second(11));
        assert_eq!(counters(&threads), (40, 100, true));
        threads.passed("t", ["acct_b", ""], 4, at(6), second(12));
        assert_eq!(counters(&threads), (41, 101, true));
        threads.apply_summary(&summary(40, 100), second(13));
        assert_eq!(counters(&threads), (41, 101, true), "the registry is behind");
        threads.apply_summary(&summary(40, 100), second(16));
        assert_eq!(
            counters(&threads),
            (40, 100, true),
            "what it has not stored by now it never will"
        );
        let thread = threads.get("t").unwrap();
        assert_eq!(thread.active, at(6));
        assert_eq!(
            thread.participants.iter().map(|id| &**id).collect::<Vec<_>>(),
            ["acct_a", "acct_b", "acct_c"]
        );
    }

    #[test]
    fn the_latest_threads_are_kept() {
        let mut threads = ThreadTable::default();
        for n in 0..=MAX_THREADS as i64 {
            threads.passed(&n.to_string(), ["", ""], 1, at(n), Duration::ZERO);
        }
        assert!(threads.iter().count() <= MAX_THREADS / 2 + 1);
        assert!(threads.get(&MAX_THREADS.to_string()).is_some() && threads.get("0").is_none());
    }
}
