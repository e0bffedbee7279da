//! Records of mailboxes (PROTOCOL.md section 21.3).

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::{MailboxAck, MailboxOutcome, MailboxState};

use super::NewMessage;

/// A message to keep until its receiver takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewQueued {
    /// Its row of the history; stored in the same transaction, unless it is there already.
    pub message: NewMessage,
    /// The account of its receiver.
    pub account_id: String,
    /// The account of its sender.
    pub from_account_id: String,
    /// The message, exactly as its sender wrote it.
    pub body: String,
    /// When it counts as delivered.
    pub ack: MailboxAck,
    /// When it is put in.
    pub queued_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
}

/// How much mailboxes may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Messages of one account that wait or are leased.
    pub max_messages: i64,
    /// Bytes of one account: messages that wait, are leased or dead.
    pub max_bytes: i64,
    /// Messages of one sender to one account that wait or are leased.
    pub sender_max_messages: i64,
    /// Bytes of all accounts.
    pub total_bytes: i64,
}

impl MailboxLimits {
    /// Bytes of one sender to one account, a share of [`max_bytes`](Self::max_bytes): messages that wait, are leased or dead.
    /// One message may be larger.
    #[must_use]
    pub fn sender_max_bytes(&self) -> i64 {
        const SENDERS_THAT_FILL_A_MAILBOX: i64 = 4;
        self.max_bytes / SENDERS_THAT_FILL_A_MAILBOX
    }
}

/// What has become of a message that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is kept; so many messages of the account wait before it.
    Queued {
        /// Messages of the account that wait or are leased, before this one.
        position: i64,
    },
    /// The mailbox of this account has had a message with this id; nothing is changed.
    Known {
        /// Where that message stands.
        state: MailboxState,
        /// When it was put in.
        queued_at: Timestamp,
        /// When it is given up.
        expires_at: Timestamp,
    },
    /// The mailbox of this account has had a message with this id from another sender.
    OtherSender,
    /// The account's mailbox is full.
    AccountFull,
    /// The sender has left too many messages for this account.
    SenderFull,
    /// The mailboxes together are full.
    NetworkFull,
    /// The database does not take this message, now or later, for instance since its ids are too long for an index. The other
    /// messages of the call are kept.
    Refused,
}

/// What the session tag of a registry begins with that delivers messages itself.
pub const PUSH_SESSION_PREFIX: &str = "push_";

/// Which messages a session wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseQuery {
    /// Account whose mailbox it is.
    pub account_id: String,
    /// The session that gets the messages.
    pub session_tag: String,
    /// A random text: the leases begin with it. A call with the token of an earlier one of the same session gets the messages of
    /// that one again while their leases are in force, at the same attempt: its reply was lost.
    pub token: String,
    /// At most so many messages; at least 1.
    pub max: usize,
    /// At most so many bytes of messages, but at least one message.
    pub max_bytes: usize,
    /// Nothing while another message of the account is leased: one message at a time.
    pub exclusive: bool,
    /// The session tags of the other registries that deliver messages themselves: leases of tags with [`PUSH_SESSION_PREFIX`] that
    /// are not among them are over, and count as no attempt. `None`: they are not known, and each lease lasts until its end.
    pub pushing: Option<Vec<String>>,
    /// The present time.
    pub now: Timestamp,
    /// When the leases end.
    pub until: Timestamp,
    /// Messages that were attempted so often are not delivered again.
    pub max_attempts: i64,
}

/// Messages of one lease.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Leased {
    /// The messages, in their order.
    pub messages: Vec<LeasedRow>,
    /// Messages of the account that wait or are leased, without these.
    pub remaining: i64,
}

/// A message that a session has.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedRow {
    /// Names the lease: `<token>-<seq>`.
    pub lease: String,
    /// Place in the order of the mailboxes.
    pub seq: i64,
    /// Which attempt this is, from 1.
    pub attempt: i64,
    /// Id of the message.
    pub message_id: String,
    /// Account of its sender.
    pub from_account_id: String,
    /// When it counts as delivered.
    pub ack: MailboxAck,
    /// When it was put in.
    pub queued_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// The message, exactly as its sender wrote it.
    pub body: String,
}

/// The end of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseEnd {
    /// Lease that ends, as it was named.
    pub lease: String,
    /// What to do with the message.
    pub outcome: MailboxOutcome,
    /// For [`MailboxOutcome::Retry`]: not before this time.
    pub available_at: Timestamp,
    /// For [`MailboxOutcome::Retry`]: the attempt does not count.
    pub free: bool,
    /// Why, where it is not done.
    pub code: Option<String>,
    /// Why, where it is not done.
    pub detail: Option<String>,
}

/// What the end of a lease has done.
#[derive(Debug, Clone, PartialEq)]
pub enum LeaseEnded {
    /// The lease was over, of another session, or unknown. Nothing is changed.
    Lost,
    /// The message is delivered.
    Done(MailboxRow),
    /// The message waits again.
    Waits(MailboxRow),
    /// The message cannot be delivered: the outcome says so, or it was attempted too often.
    Dead(MailboxRow),
}

/// A message of a mailbox (table `agent_mailbox`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxRow {
    /// Place in the order of the mailboxes.
    pub seq: i64,
    /// Account of the receiver.
    pub account_id: String,
    /// Id of the message.
    pub message_id: String,
    /// Account of the sender.
    pub from_account_id: String,
    /// Thread of the message.
    pub thread_id: String,
    /// Kind of the message.
    pub kind: String,
    /// Its size in bytes.
    pub bytes: i64,
    /// Where it stands.
    pub state: MailboxState,
    /// Attempts to deliver it.
    pub attempts: i64,
    /// When it was put in.
    pub queued_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// When it was delivered or given up.
    pub done_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_code: Option<String>,
    /// Why the last attempt failed.
    pub last_detail: Option<String>,
    /// The message, exactly as its sender wrote it; empty once it is delivered.
    pub body: String,
}

/// How a message ended without being delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailboxEnd {
    /// It cannot be delivered, and can be queued again.
    Dead,
    /// It was not taken in time.
    Expired,
    /// An operator deleted it, or it made room for other messages.
    Dropped,
}

impl MailboxEnd {
    /// The state of its row in the database.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Dead, Self::Expired, Self::Dropped]
            .into_iter()
            .find(|end| end.as_str() == text)
    }
}

/// A message whose sender is not known to have been told of its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntoldEnd {
    /// How it ended.
    pub end: MailboxEnd,
    /// Its row; the state is [`MailboxState::Dead`] for each end.
    pub row: MailboxRow,
}

/// Which messages of a mailbox to list, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailboxQuery {
    /// Account whose mailbox it is.
    pub account_id: String,
    /// Only messages in this state.
    pub state: Option<MailboxState>,
    /// Only messages behind this place.
    pub after_seq: i64,
    /// At most so many; at least 1.
    pub limit: usize,
}

/// Messages that an operator chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailboxChoice {
    /// These, by id.
    Messages(Vec<String>),
    /// Those in this state, oldest first, at most so many.
    State(MailboxState, usize),
}

/// How full a mailbox is, or all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailboxCounts {
    /// Messages that wait. One whose lease is over counts as leased until it is leased again.
    pub queued: i64,
    /// Messages that sessions have.
    pub leased: i64,
    /// Messages that cannot be delivered.
    pub dead: i64,
    /// Bytes of the messages that wait, are leased or dead.
    pub bytes: i64,
    /// When the oldest message that waits was put in.
    pub oldest_queued_at: Option<Timestamp>,
}
