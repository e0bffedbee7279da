//! Decides which messages a mailbox takes in (PROTOCOL.md section 21.3), and sums what that changes in the counters of accounts.
//! A backend loads what is stored, in its transaction, and writes what this decides.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use agentnet_protocol::mailbox::MailboxState;

use crate::dead_letters::{DeadLetter, Room};
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

/// Messages that a sender has left for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SenderUsage {
    /// Those that wait or are leased.
    pub(crate) messages: i64,
    /// Bytes of those that wait, are leased or dead.
    pub(crate) bytes: i64,
}

/// A message that the mailbox of an account has had.
#[derive(Debug)]
struct KnownMessage {
    from_account_id: String,
    outcome: PutOutcome,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// [`PutOutcome::Queued`] if it may be stored.
    pub(crate) outcome: PutOutcome,
    /// The dead letters that make room for it, by `seq`.
    evicted: Vec<i64>,
}

impl From<PutOutcome> for Judgement {
    fn from(outcome: PutOutcome) -> Self {
        Self {
            outcome,
            evicted: Vec::new(),
        }
    }
}

/// What is stored of the accounts, senders and messages of a call, and what the call adds.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: MailboxLimits,
    /// By account and message id.
    known: HashMap<(String, String), KnownMessage>,
    accounts: HashMap<String, Usage>,
    /// By account and sender.
    senders: HashMap<(String, String), SenderUsage>,
    /// The oldest ones first, by account; only of accounts that may need room.
    dead: HashMap<String, Vec<DeadLetter>>,
    evicted: Vec<i64>,
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
            dead: HashMap::new(),
            evicted: Vec::new(),
            total_bytes: 0,
            changes: UsageChanges::default(),
        }
    }

    /// The account's mailbox has had this message, from this sender.
    pub(crate) fn set_known(
        &mut self,
        account_id: String,
        message_id: String,
        from_account_id: String,
        outcome: PutOutcome,
    ) {
        let known = KnownMessage {
            from_account_id,
            outcome,
        };
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

    /// What one sender has left for this account.
    pub(crate) fn set_sender(&mut self, account_id: String, from_account_id: String, usage: SenderUsage) {
        self.senders.insert((account_id, from_account_id), usage);
    }

    /// The oldest dead letters of an account, by `seq`.
    pub(crate) fn set_dead(&mut self, account_id: String, dead: Vec<DeadLetter>) {
        self.dead.insert(account_id, dead);
    }

    /// Accounts whose dead letters may have to make room for these messages. Usage and senders have to be known.
    pub(crate) fn short_of_room<'a>(&self, messages: &'a [NewQueued]) -> BTreeSet<&'a str> {
        let mut of_accounts: HashMap<&str, i64> = HashMap::new();
        let mut of_senders: HashMap<(String, String), i64> = HashMap::new();
        let mut short = BTreeSet::new();
        for new in messages {
            let account = of_accounts.entry(&new.account_id).or_default();
            *account += size(new);
            let sender = of_senders.entry(sender_key(new)).or_default();
            *sender += size(new);
            let usage = self.accounts.get(&new.account_id).copied().unwrap_or_default();
            let of_sender = self.senders.get(&sender_key(new)).copied().unwrap_or_default();
            if usage.bytes.saturating_add(*account) > self.limits.max_bytes
                || of_sender.bytes.saturating_add(*sender) > self.limits.sender_max_bytes()
            {
                short.insert(new.account_id.as_str());
            }
        }
        short
    }

    /// What becomes of a message.
    pub(crate) fn judge(&self, new: &NewQueued) -> Judgement {
        // Its counters would be those of all accounts.
        if new.account_id == TOTAL {
            return PutOutcome::Refused.into();
        }
        if let Some(known) = self.known.get(&message_key(new)) {
            return match known.from_account_id == new.from_account_id {
                true => known.outcome.into(),
                false => PutOutcome::OtherSender.into(),
            };
        }
        let usage = self.accounts.get(&new.account_id).copied().unwrap_or_default();
        let of_sender = self.senders.get(&sender_key(new)).copied().unwrap_or_default();
        let size = size(new);
        let limits = &self.limits;
        let mut room = Room::new(self.dead.get(&new.account_id).map_or(&[], Vec::as_slice));
        let account_excess = usage.bytes.saturating_add(size) - limits.max_bytes;
        if usage.messages >= limits.max_messages || account_excess > room.all() {
            return PutOutcome::AccountFull.into();
        }
        if of_sender.messages >= limits.sender_max_messages {
            return PutOutcome::SenderFull.into();
        }
        // One message may be larger than the share.
        let sender_excess = of_sender.bytes.saturating_add(size) - limits.sender_max_bytes();
        let is_own = |letter: &DeadLetter| letter.from_account_id == new.from_account_id;
        room.evict(sender_excess.min(of_sender.bytes), is_own);
        if room.freed < sender_excess.min(of_sender.bytes) {
            return PutOutcome::SenderFull.into();
        }
        room.evict(account_excess, |_| true);
        if (self.total_bytes - room.freed).saturating_add(size) > limits.total_bytes {
            return PutOutcome::NetworkFull.into();
        }
        Judgement {
            outcome: PutOutcome::Queued {
                position: usage.messages,
            },
            evicted: room.evicted,
        }
    }

    /// Counts a message that is stored, and the dead letters that made room for it.
    pub(crate) fn record(&mut self, new: &NewQueued, judgement: &Judgement) {
        self.evict(new, &judgement.evicted);
        let size = size(new);
        let outcome = PutOutcome::Known {
            state: MailboxState::Queued,
            queued_at: new.queued_at,
            expires_at: new.expires_at,
        };
        let known = KnownMessage {
            from_account_id: new.from_account_id.clone(),
            outcome,
        };
        self.known.insert(message_key(new), known);
        self.accounts.entry(new.account_id.clone()).or_default().add(Usage {
            messages: 1,
            bytes: size,
        });
        let sender = self.senders.entry(sender_key(new)).or_default();
        sender.messages += 1;
        sender.bytes += size;
        self.total_bytes += size;
        self.changes.put(new);
    }

    fn evict(&mut self, new: &NewQueued, evicted: &[i64]) {
        let Some(dead) = self.dead.get_mut(&new.account_id).filter(|_| !evicted.is_empty()) else {
            return;
        };
        let gone: Vec<DeadLetter> = dead.extract_if(.., |letter| evicted.contains(&letter.seq)).collect();
        for letter in gone {
            if let Some(usage) = self.accounts.get_mut(&new.account_id) {
                usage.bytes -= letter.bytes;
            }
            let key = (new.account_id.clone(), letter.from_account_id);
            if let Some(sender) = self.senders.get_mut(&key) {
                sender.bytes -= letter.bytes;
            }
            self.total_bytes -= letter.bytes;
            self.changes.deleted(&new.account_id, MailboxState::Dead, letter.bytes);
            self.evicted.push(letter.seq);
        }
    }

    /// Judges and counts the messages of a call; returns the outcomes, and those to store.
    pub(crate) fn admit<'a>(&mut self, messages: &'a [NewQueued]) -> (Vec<PutOutcome>, Vec<&'a NewQueued>) {
        let mut admitted = Vec::with_capacity(messages.len());
        let outcomes = messages
            .iter()
            .map(|new| {
                let judgement = self.judge(new);
                if matches!(judgement.outcome, PutOutcome::Queued { .. }) {
                    self.record(new, &judgement);
                    admitted.push(new);
                }
                judgement.outcome
            })
            .collect();
        (outcomes, admitted)
    }

    /// The dead letters that made room, by `seq`.
    pub(crate) fn evicted(&self) -> &[i64] {
        &self.evicted
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
