//! Messages of mailboxes that cannot be delivered: they make room for others, and wait again as far as there is room (PROTOCOL.md
//! section 21.3). A backend loads what is stored, in its transaction, and writes what this decides.

use std::collections::HashMap;

use crate::model::MailboxLimits;

/// Dead letters of one account that one call may evict. A message of the largest size has room then, however small they are.
pub(crate) const MAX_EVICTED: i64 = 2_000;

/// A message that cannot be delivered. It makes room for messages that can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    /// Place in the order of the mailboxes.
    pub(crate) seq: i64,
    /// Account of its sender.
    pub(crate) from_account_id: String,
    /// Its size in bytes.
    pub(crate) bytes: i64,
}

/// The dead letters of an account that make room for a message.
pub(crate) struct Room<'a> {
    dead: &'a [DeadLetter],
    /// Those that are dropped, by `seq`.
    pub(crate) evicted: Vec<i64>,
    /// The bytes of those that are dropped.
    pub(crate) freed: i64,
}

impl<'a> Room<'a> {
    pub(crate) fn new(dead: &'a [DeadLetter]) -> Self {
        Self {
            dead,
            evicted: Vec::new(),
            freed: 0,
        }
    }

    /// The bytes of all dead letters.
    pub(crate) fn all(&self) -> i64 {
        self.dead.iter().map(|letter| letter.bytes).sum()
    }

    /// Evicts the oldest of these letters until so many bytes are free.
    pub(crate) fn evict(&mut self, bytes: i64, choose: impl Fn(&DeadLetter) -> bool) {
        for letter in self.dead {
            if self.freed >= bytes {
                return;
            }
            if choose(letter) && !self.evicted.contains(&letter.seq) {
                self.evicted.push(letter.seq);
                self.freed += letter.bytes;
            }
        }
    }
}

/// Chooses the dead letters that wait again, oldest first: no more than the limits leave room for.
pub(crate) struct RequeueSelection {
    room: i64,
    sender_max_messages: i64,
    /// Messages that wait or are leased, by sender.
    senders: HashMap<String, i64>,
    chosen: Vec<i64>,
}

impl RequeueSelection {
    /// Of an account with so many messages that wait or are leased, by sender.
    pub(crate) fn new(limits: &MailboxLimits, senders: HashMap<String, i64>) -> Self {
        let waiting: i64 = senders.values().sum();
        Self {
            room: limits.max_messages.saturating_sub(waiting),
            sender_max_messages: limits.sender_max_messages,
            senders,
            chosen: Vec::new(),
        }
    }

    /// Considers the next dead letter.
    pub(crate) fn offer(&mut self, seq: i64, from_account_id: String) {
        let waiting = self.senders.entry(from_account_id).or_default();
        if self.room > 0 && *waiting < self.sender_max_messages {
            *waiting += 1;
            self.room -= 1;
            self.chosen.push(seq);
        }
    }

    /// The first `limit` that were chosen.
    pub(crate) fn into_chosen(mut self, limit: usize) -> Vec<i64> {
        self.chosen.truncate(limit);
        self.chosen
    }
}
