//! Decides which messages a mailbox takes in (PROTOCOL.md section 21.3), and sums what that changes in the counters of accounts.
//! A backend loads what is stored, in its transaction, and writes what this decides.

use std::collections::{BTreeMap, HashMap};

use agentnet_protocol::mailbox::MailboxState;

use crate::model::{MailboxLimits, MailboxRow, NewQueued, PutOutcome};

/// The account id of the counters of all accounts together.
pub(crate) const TOTAL: &str = "";

/// What the mailbox of an account keeps (table `agent_mailbox_accounts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// Messages that wait or are leased.
    pub(crate) messages: i64,
    /// Bytes of messages that wait, are leased or dead.
    pub(crate) bytes: i64,
}

impl Usage {
    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

/// Changes of the counters, by account, in the order in which accounts are locked.
#[derive(Debug, Default)]
pub(crate) struct UsageChanges(BTreeMap<String, Usage>);

impl UsageChanges {
    /// A message was put in.
    fn put(&mut self, new: &NewQueued) {
        self.add(&new.account_id, 1, size(new));
    }

    /// A message that was leased has ended in this state.
    pub(crate) fn ended(&mut self, row: &MailboxRow) {
        match row.state {
            MailboxState::Done => self.add(&row.account_id, -1, -row.bytes),
            MailboxState::Dead => self.add(&row.account_id, -1, 0),
            MailboxState::Queued | MailboxState::Leased => {}
        }
    }

    /// A dead message waits again.
    pub(crate) fn requeued(&mut self, row: &MailboxRow) {
        self.add(&row.account_id, 1, 0);
    }

    /// A message was deleted that was in this state.
    pub(crate) fn deleted(&mut self, account_id: &str, state: MailboxState, bytes: i64) {
        match state {
            MailboxState::Queued | MailboxState::Leased => self.add(account_id, -1, -bytes),
            MailboxState::Dead => self.add(account_id, 0, -bytes),
            MailboxState::Done => {}
        }
    }

    fn add(&mut self, account_id: &str, messages: i64, bytes: i64) {
        let usage = self.0.entry(account_id.to_owned()).or_default();
        usage.add(Usage { messages, bytes });
    }

    /// The accounts that change, by id.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&str, Usage)> {
        self.0.iter().map(|(account_id, usage)| (account_id.as_str(), *usage))
    }

    /// The change of all accounts together.
    pub(crate) fn total(&self) -> Usage {
        self.0.values().fold(Usage::default(), |mut total, usage| {
            total.add(*usage);
            total
        })
    }

    /// Whether no counter changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is stored of the accounts, senders and messages of a call, and what the call adds.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: MailboxLimits,
    /// By account and message id.
    known: HashMap<(String, String), PutOutcome>,
    accounts: HashMap<String, Usage>,
    /// Messages that wait or are leased, by account and sender.
    senders: HashMap<(String, String), i64>,
    total_bytes: i64,
    changes: UsageChanges,
}

impl Admission {
    /// Nothing is stored.
    pub(crate) fn new(limits: &MailboxLimits) -> Self {
        Self {
            limits: *limits,
            known: HashMap::new(),
            accounts: HashMap::new(),
            senders: HashMap::new(),
            total_bytes: 0,
            changes: UsageChanges::default(),
        }
    }

    /// The account's mailbox has had this message.
    pub(crate) fn set_known(&mut self, account_id: String, message_id: String, known: PutOutcome) {
        self.known.insert((account_id, message_id), known);
    }

    /// The counters of an account.
    pub(crate) fn set_usage(&mut self, account_id: String, usage: Usage) {
        self.accounts.insert(account_id, usage);
    }

    /// The bytes of all accounts.
    pub(crate) fn set_total_bytes(&mut self, bytes: i64) {
        self.total_bytes = bytes;
    }

    /// How many messages of one sender wait for this account or are leased.
    pub(crate) fn set_sender(&mut self, account_id: String, from_account_id: String, messages: i64) {
        self.senders.insert((account_id, from_account_id), messages);
    }

    /// What becomes of a message; [`PutOutcome::Queued`] if it may be stored.
    pub(crate) fn judge(&self, new: &NewQueued) -> PutOutcome {
        // Its counters would be those of all accounts.
        if new.account_id == TOTAL {
            return PutOutcome::Refused;
        }
        if let Some(known) = self.known.get(&message_key(new)) {
            return *known;
        }
        let usage = self.accounts.get(&new.account_id).copied().unwrap_or_default();
        let size = size(new);
        let limits = &self.limits;
        if usage.messages >= limits.max_messages || usage.bytes.saturating_add(size) > limits.max_bytes {
            return PutOutcome::AccountFull;
        }
        let of_sender = self.senders.get(&sender_key(new)).copied().unwrap_or_default();
        if of_sender >= limits.sender_max_messages {
            return PutOutcome::SenderFull;
        }
        if self.total_bytes.saturating_add(size) > limits.total_bytes {
            return PutOutcome::NetworkFull;
        }
        PutOutcome::Queued {
            position: usage.messages,
        }
    }

    /// Counts a message that is stored.
    pub(crate) fn record(&mut self, new: &NewQueued) {
        let size = size(new);
        let known = PutOutcome::Known {
            state: MailboxState::Queued,
            queued_at: new.queued_at,
            expires_at: new.expires_at,
        };
        self.known.insert(message_key(new), known);
        self.accounts.entry(new.account_id.clone()).or_default().add(Usage {
            messages: 1,
            bytes: size,
        });
        *self.senders.entry(sender_key(new)).or_default() += 1;
        self.total_bytes += size;
        self.changes.put(new);
    }

    /// Judges and counts the messages of a call; returns the outcomes, and those to store.
    pub(crate) fn admit<'a>(&mut self, messages: &'a [NewQueued]) -> (Vec<PutOutcome>, Vec<&'a NewQueued>) {
        let mut admitted = Vec::with_capacity(messages.len());
        let outcomes = messages
            .iter()
            .map(|new| {
                let outcome = self.judge(new);
                if matches!(outcome, PutOutcome::Queued { .. }) {
                    self.record(new);
                    admitted.push(new);
                }
                outcome
            })
            .collect();
        (outcomes, admitted)
    }

    /// What the recorded messages change.
    pub(crate) fn changes(&self) -> &UsageChanges {
        &self.changes
    }
}

/// The size of a message in bytes.
pub(crate) fn size(new: &NewQueued) -> i64 {
    i64::try_from(new.body.len()).unwrap_or(i64::MAX)
}

fn message_key(new: &NewQueued) -> (String, String) {
    (new.account_id.clone(), new.message.message.message_id.clone())
}

fn sender_key(new: &NewQueued) -> (String, String) {
    (new.account_id.clone(), new.from_account_id.clone())
}
