//! What an agent remembers: the thread in the registry, and nothing else.
//!
//! So a host that is restarted goes on where it was, and several hosts of one agent know the same. What this process
//! has just sent and received is kept for some seconds, until the registry has stored it.

pub mod checkpoint;
pub mod conversation;
pub mod entry;
pub mod estimate;
pub mod history;
pub mod names;
mod recent;

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, SystemTime};

use agentnet::protocol::Timestamp;
use agentnet::{AgentNode, Message};
use tokio::time::Instant;

use self::conversation::Recalled;
use self::history::{Entry, ReadLimits, Speech, ThreadView, assignment_id, read_thread};
use self::names::AccountNames;
use self::recent::RecentMessages;
use crate::config::MemoryConfig;

/// Messages of one thread that are looked at for its texts: most are frames of streams.
const MAX_MESSAGES_READ: u64 = 2_000;
/// Wait before the history is read again for the message that the current one follows.
const PARENT_RETRY_DELAY: Duration = Duration::from_millis(30);
/// How often it is read again.
const PARENT_RETRIES: usize = 2;

/// The memory of one agent.
#[derive(Debug, Default)]
pub struct Memory {
    /// Names of accounts.
    pub names: AccountNames,
    recent: RecentMessages,
}

impl Memory {
    /// Keeps a message that was received, until the registry has it.
    pub fn received(&self, thread_id: &str, message: &Message, text: &str) {
        let entry = Entry {
            id: message.message_id.to_string(),
            from_account_id: message.from_account_id.as_deref().map(str::to_owned),
            from_label: Some(message.from_agent.to_string()),
            to_account_id: message.to_account_id.as_deref().map(str::to_owned),
            sent_at: message.sent_at.to_string(),
            text: text.to_owned(),
            ..Entry::default()
        };
        self.recent.add(thread_id, entry, Instant::now());
    }

    /// Keeps an answer that was sent, until the registry has it. `id` is that of its message or stream.
    pub fn answered(&self, thread_id: &str, own: &str, id: &str, text: &str) {
        let entry = Entry {
            id: id.to_owned(),
            from_account_id: Some(own.to_owned()),
            sent_at: Timestamp::from(SystemTime::now()).to_string(),
            speech: Speech::Answer,
            text: text.to_owned(),
            ..Entry::default()
        };
        self.recent.add(thread_id, entry, Instant::now());
    }

    /// What was said in the thread of a message before it. Where the registry cannot be asked, that is only what this
    /// process has just seen.
    pub async fn recall(
        &self,
        node: &AgentNode,
        config: &MemoryConfig,
        thread_id: &str,
        message: &Message,
    ) -> Recalled {
        let own = node.account_id().unwrap_or_default();
        let mut recalled = Recalled {
            is_complete: true,
            ..Recalled::default()
        };
        if config.uses_thread {
            recalled = self.read(node, config, thread_id, &own, message).await;
            // The task that is worked at may have been told by a message too.
            let told = assignment_id(&message.message_id);
            recalled.entries.retain(|entry| entry.id != told);
        }
        let sender = message.from_account_id.as_deref().map(str::to_owned);
        let accounts = recalled
            .entries
            .iter()
            .flat_map(|entry| [&entry.from_account_id, &entry.to_account_id]);
        let accounts: BTreeSet<String> = accounts
            .flatten()
            .cloned()
            .chain(sender)
            .filter(|account| *account != own)
            .collect();
        recalled.names = self.names.resolve(node, accounts).await;
        recalled
    }

    async fn read(
        &self,
        node: &AgentNode,
        config: &MemoryConfig,
        thread_id: &str,
        own: &str,
        message: &Message,
    ) -> Recalled {
        let view = ThreadView {
            thread_id,
            own,
            current: Some(&message.message_id),
        };
        let limits = ReadLimits {
            entries: config.max_messages,
            messages: MAX_MESSAGES_READ,
            tokens: config.max_tokens,
        };
        let parent = message.parent_message_id.as_deref().filter(|parent| !parent.is_empty());
        let mut retries = PARENT_RETRIES;
        loop {
            let recent = self.recent.of(thread_id, Instant::now());
            let tail = match read_thread(node, view, limits, None).await {
                Ok(tail) => tail,
                Err(error) => {
                    tracing::warn!(thread_id, %error, "the thread cannot be read: answering without it");
                    return with_recent(Vec::new(), recent, &message.message_id, Recalled::default());
                }
            };
            let is_known = |parent: &str| tail.ids.contains(parent) || recent.iter().any(|entry| entry.id == parent);
            // A thread that was read to its beginning and lacks the message before is not stored yet.
            let is_missing =
                tail.is_complete && tail.checkpoint.is_none() && parent.is_some_and(|parent| !is_known(parent));
            if !is_missing || retries == 0 {
                let recalled = Recalled {
                    is_complete: tail.is_complete,
                    tokens: tail.tokens,
                    checkpoint: tail.checkpoint,
                    ..Recalled::default()
                };
                return with_recent(tail.entries, recent, &message.message_id, recalled);
            }
            retries -= 1;
            tokio::time::sleep(PARENT_RETRY_DELAY).await;
        }
    }
}

/// Adds what the registry may not have stored yet. `stored` is newest first, the result oldest first.
fn with_recent(stored: Vec<Entry>, recent: Vec<Entry>, current: &str, mut recalled: Recalled) -> Recalled {
    let known: HashSet<String> = stored.iter().map(|entry| entry.id.clone()).collect();
    let mut entries: Vec<Entry> = stored.into_iter().rev().collect();
    let is_new = |entry: &Entry| entry.id != current && !known.contains(&entry.id);
    for entry in recent.into_iter().filter(is_new) {
        let time = Timestamp::parse(&entry.sent_at);
        let after = entries
            .iter()
            .rposition(|other| Timestamp::parse(&other.sent_at) <= time);
        entries.insert(after.map_or(0, |index| index + 1), entry);
    }
    recalled.entries = entries;
    recalled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, seconds: u32) -> Entry {
        Entry {
            id: id.into(),
            sent_at: format!("2026-11-30T00:00:{seconds:02}Z"),
            text: id.into(),
            ..Entry::default()
        }
    }

    #[test]
    fn what_is_not_stored_yet_is_added_in_order() {
        let stored = vec![entry("m5", 5), entry("m3", 3), entry("m1", 1)];
        let recent = vec![
            entry("m0", 0),
            entry("m3", 3),
            entry("m4", 4),
            entry("m6", 6),
            entry("now", 7),
        ];
        let recalled = with_recent(stored, recent, "now", Recalled::default());
        let ids: Vec<&str> = recalled.entries.iter().map(|entry| &*entry.id).collect();
        assert_eq!(ids, ["m0", "m1", "m3", "m4", "m5", "m6"]);
    }
}
