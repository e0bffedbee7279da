//! Sums what a batch of messages adds to each thread (PROTOCOL.md section 8), and to what each account may see of it, so that a
//! backend writes each of them once per batch.

use std::collections::{BTreeMap, BTreeSet};

use agentnet_protocol::limits::MAX_PARTICIPANTS;
use agentnet_protocol::{Timestamp, json};

use crate::model::{Message, NewMessage};
use crate::visibility::viewers;

/// The changes of one thread by one batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ThreadDelta<'a> {
    /// The creator, if the thread is new or the batch has an earlier message than it.
    pub(crate) created_by: Option<&'a str>,
    /// The earliest receipt of any message that names the thread.
    pub(crate) created_at: Timestamp,
    /// The latest receipt of any message that names the thread.
    pub(crate) updated_at: Timestamp,
    /// Number of new messages.
    pub(crate) message_count: i64,
    /// Size of the new messages' payloads in bytes (section 4.5).
    pub(crate) byte_count: i64,
    /// Estimated tokens of the new messages.
    pub(crate) approx_tokens: i64,
    /// Their largest checkpoint.
    pub(crate) checkpoint_end: i64,
    /// Their largest `sent_at`; none if every message was known.
    pub(crate) last_message_at: Option<Timestamp>,
    /// The accounts that take part, known messages included; of more than [`MAX_PARTICIPANTS`] the first ones.
    pub(crate) participants: BTreeSet<&'a str>,
}

impl<'a> ThreadDelta<'a> {
    /// No change yet, of a thread that this message names.
    fn begin(message: &'a Message) -> Self {
        Self {
            created_by: account(message.from_account_id.as_deref()),
            created_at: message.received_at,
            updated_at: message.received_at,
            message_count: 0,
            byte_count: 0,
            approx_tokens: 0,
            checkpoint_end: 0,
            last_message_at: None,
            participants: BTreeSet::new(),
        }
    }

    /// Adds what a message changes.
    fn add(&mut self, new: &'a NewMessage, is_new: bool) {
        let message = &new.message;
        // Messages reach the store by several ways: the first one is the one that was received first.
        if message.received_at < self.created_at {
            self.created_at = message.received_at;
            self.created_by = account(message.from_account_id.as_deref());
        }
        self.updated_at = self.updated_at.max(message.received_at);
        for id in [&message.from_account_id, &message.to_account_id] {
            if self.participants.len() < MAX_PARTICIPANTS {
                self.participants.extend(account(id.as_deref()));
            }
        }
        if is_new {
            self.message_count += 1;
            self.byte_count = self.byte_count.saturating_add(new.byte_count);
            self.approx_tokens = self.approx_tokens.saturating_add(new.approx_tokens);
            self.checkpoint_end = self.checkpoint_end.max(new.checkpoint_end);
            self.last_message_at = self.last_message_at.max(Some(message.sent_at));
        }
    }
}

/// Sums a batch by thread id. Each message comes with whether it is new in the history. The order by id also gives
/// concurrent writers one order in which to lock the threads.
pub(crate) fn thread_deltas<'a>(
    messages: impl IntoIterator<Item = (&'a NewMessage, bool)>,
) -> BTreeMap<&'a str, ThreadDelta<'a>> {
    let mut threads = BTreeMap::new();
    for (new, is_new) in messages {
        threads
            .entry(new.message.thread_id.as_str())
            .or_insert_with(|| ThreadDelta::begin(&new.message))
            .add(new, is_new);
    }
    threads
}

/// Sums what the new messages of a batch add to what each account may see of a thread, by thread id and account id. A known
/// message adds nothing: its sender would otherwise decide whose thread it names the second time.
pub(crate) fn view_deltas<'a>(
    messages: impl IntoIterator<Item = (&'a NewMessage, bool)>,
) -> BTreeMap<(&'a str, &'a str), ThreadDelta<'a>> {
    let mut views = BTreeMap::new();
    for (new, _) in messages.into_iter().filter(|(_, is_new)| *is_new) {
        for account_id in viewers(&new.message) {
            views
                .entry((new.message.thread_id.as_str(), account_id))
                .or_insert_with(|| ThreadDelta::begin(&new.message))
                .add(new, true);
        }
    }
    views
}

/// The account as participants are counted: trimmed, absent when blank.
fn account(id: Option<&str>) -> Option<&str> {
    id.map(json::trim).filter(|id| !id.is_empty())
}
