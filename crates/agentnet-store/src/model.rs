//! Records of the store (PROTOCOL.md sections 7, 8 and 10).

mod blob;
mod disk_space;
mod mailbox;
mod member;
mod registry;
mod task;
mod task_query;

use agentnet_protocol::limits::{MAX_NAME_BYTES, TooLarge, check_bytes, check_capabilities};
use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{RawJson, Timestamp};

pub use self::blob::{Blob, BlobShare, BlobUsage, MAX_BLOB_RECEIVERS, OldBlobs};
pub use self::disk_space::DiskSpace;
pub use self::mailbox::{
    LeaseEnd, LeaseEnded, LeaseQuery, Leased, LeasedRow, MailboxChoice, MailboxCounts, MailboxEnd, MailboxLimits,
    MailboxQuery, MailboxRow, NewQueued, PUSH_SESSION_PREFIX, PutOutcome, UntoldEnd,
};
pub use self::member::{
    AllowedReceivers, Enrolled, Invite, InviteRefusal, Invited, Member, MemberGrant, MemberQuery, MemberState,
    NewInvite, NewMember, Void, VoidedNkey,
};
pub use self::registry::Registry;
pub use self::task::{
    Attempt, Finish, NewTaskEvent, Progress, REQUEST_ID_PREFIX, Report, StoredTaskEvent, Task, TaskChange, TaskChanged,
    TaskCreated, TaskDelivery, TaskLease, TaskRefusal, TaskTarget,
};
pub use self::task_query::{TaskClaimQuery, TaskParts, TaskQuery};
use crate::error::StoreError;

/// The largest metadata of an account or session, in bytes of JSON text. (A message of NATS is at most as large by default.)
pub const MAX_METADATA_BYTES: usize = 1 << 20;

/// Whether metadata may be stored.
///
/// # Errors
/// [`StoreError::TooLarge`]
pub fn check_metadata(metadata: &RawJson) -> Result<(), StoreError> {
    Ok(check_bytes("metadata", metadata.get(), MAX_METADATA_BYTES)?)
}

/// Whether what a registration claims may be stored (PROTOCOL.md section 0.11). What was stored before there were bounds stays.
///
/// # Errors
/// [`StoreError::TooLarge`]
pub fn check_claim(claim: &AccountClaim) -> Result<(), StoreError> {
    check_bytes("agent_id", &claim.agent_id, MAX_NAME_BYTES)?;
    check_bytes("name", &claim.display_name, MAX_NAME_BYTES)?;
    check_bytes(
        "account_id",
        claim.account_id.as_deref().unwrap_or_default(),
        MAX_NAME_BYTES,
    )?;
    check_capabilities(&claim.capabilities)?;
    check_metadata(&claim.metadata)
}

/// An account that holds more than may be stored now: an earlier version had no bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oversized {
    /// Username of the account.
    pub username: String,
    /// The first bound that it exceeds.
    pub exceeded: TooLarge,
}

impl Oversized {
    /// `None` if every text of the account is within its bound.
    pub(crate) fn of(account: &Account, max_metadata: usize) -> Option<Self> {
        let name = |member, text| check_bytes(member, text, MAX_NAME_BYTES);
        let checked = name("account_id", &account.account_id)
            .and_then(|()| name("username", &account.username))
            .and_then(|()| name("name", &account.display_name))
            .and_then(|()| check_capabilities(&account.capabilities))
            .and_then(|()| check_bytes("metadata", account.metadata.get(), max_metadata));
        checked.err().map(|exceeded| Self {
            username: account.username.clone(),
            exceeded,
        })
    }
}

/// One stable identity of the network (table `agent_accounts`).
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Stable routing identity, e.g. `acct_01k…`.
    pub account_id: String,
    /// Unique, normalised name (section 7.1).
    pub username: String,
    /// The agent's display name, from its last registration.
    pub display_name: String,
    /// Free text; empty by default.
    pub bio: String,
    /// What the agent says it can do, from its last registration.
    pub capabilities: Vec<String>,
    /// The agent's metadata object, from its last registration; exact JSON text.
    pub metadata: RawJson,
    /// `public` by default.
    pub visibility: String,
    /// `active` by default.
    pub status: String,
    /// The bound Ed25519 public key (base64url text), if the account has one (section 13.3).
    pub public_key: Option<String>,
    /// What its last signed registration said that it signs besides messages (section 13.6).
    pub signs: SigningScope,
    /// When the account was created.
    pub created_at: Timestamp,
    /// When its profile last changed.
    pub updated_at: Timestamp,
}

/// What is asked of many accounts at once: all that is bounded in size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAccount {
    /// Stable routing identity.
    pub account_id: String,
    /// Username of the account.
    pub username: String,
    /// The bound public key, if it has one.
    pub public_key: Option<String>,
    /// When its profile last changed.
    pub updated_at: Timestamp,
}

/// The name that a registration asks for (section 7.2 with section 0.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DesiredName {
    /// The request carried this username (already normalised, not empty).
    Requested(String),
    /// The request carried none; this one is derived from its agent id (normalised, not empty).
    Derived(String),
    /// Nothing usable was given; this random one was made up. Never joins an existing account.
    Generated(String),
}

/// What a registration wants of the accounts table.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountClaim {
    /// The account id that the request names, if any (already validated).
    pub account_id: Option<String>,
    /// The name that it wants.
    pub name: DesiredName,
    /// The id to use when an account has to be created and none was requested.
    pub new_account_id: String,
    /// Becomes the account's display name.
    pub display_name: String,
    /// Becomes the account's capabilities.
    pub capabilities: Vec<String>,
    /// Becomes the account's metadata (a JSON object).
    pub metadata: RawJson,
    /// Kept beside the metadata, as the Python implementation does.
    pub agent_id: String,
    /// With signed identity on: the key that must be, or becomes, bound to the account.
    pub public_key: Option<String>,
    /// With a key: what the session signs besides messages; becomes the account's.
    pub signs: SigningScope,
    /// Time of the registration, UTC.
    pub at: Timestamp,
}

/// One running process of an agent (table `agent_sessions`).
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Unique; `<server_id>_<ULID>`.
    pub session_tag: String,
    /// The role label that the process registered with.
    pub agent_id: String,
    /// The account it belongs to, if known.
    pub account_id: Option<String>,
    /// That account's username as the session knows it.
    pub username: Option<String>,
    /// The registry that issued or adopted it.
    pub server_id: String,
    /// When it was first seen. An upsert of a known tag keeps the stored value.
    pub connected_at: Timestamp,
    /// When it went offline; absent while online.
    pub disconnected_at: Option<Timestamp>,
    /// Its last heartbeat that reached the store (coarse).
    pub last_seen: Timestamp,
    /// `online` or `offline`.
    pub online: bool,
    /// Display name of the process.
    pub name: String,
    /// Its own capabilities.
    pub capabilities: Vec<String>,
    /// Its own metadata object; exact JSON text.
    pub metadata: RawJson,
    /// What it signs besides messages (section 13.6); an upsert replaces it.
    pub signs: SigningScope,
}

/// One message of the history (table `agent_messages`), ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Unique over the whole history; the first one stored wins (section 0.2).
    pub message_id: String,
    /// The thread, already defaulted (section 8); not empty.
    pub thread_id: String,
    /// The message that this one answers or follows.
    pub parent_message_id: Option<String>,
    /// The sender's role label.
    pub from_agent: String,
    /// The sender's account.
    pub from_account_id: Option<String>,
    /// The sender's session.
    pub from_session_tag: Option<String>,
    /// The receiver's account; absent on capability sends.
    pub to_account_id: Option<String>,
    /// The target as the sender wrote it.
    pub to_agent: String,
    /// `direct`, `request`, `reply`, `error`, `system`, `stream`, or any other text.
    pub kind: String,
    /// E.g. `1.1`.
    pub schema_version: String,
    /// The logical operation's key.
    pub idempotency_key: Option<String>,
    /// Exact JSON text as it came over the wire.
    pub payload: RawJson,
    /// Correlates messages of one exchange.
    pub trace_id: Option<String>,
    /// When it was sent; the time of receipt where the wire's text could not be read.
    pub sent_at: Timestamp,
    /// When the registry received it.
    pub received_at: Timestamp,
    /// Time to live in milliseconds, as decimal text of any size.
    pub ttl_ms: Option<String>,
    /// Expiry as written by the sender.
    pub expires_at: Option<String>,
    /// The signature scheme that the message carried; empty if none.
    pub auth_scheme: String,
    /// The account of the credential that sent it, as the broker proves it; absent in token mode. A message whose
    /// `from_account_id` is another account is to be refused, not stored.
    pub issuer: Option<String>,
}

impl Message {
    /// The sender, if the broker has proven that it is the account that the message names.
    pub(crate) fn proven_sender(&self) -> Option<&str> {
        self.issuer
            .as_deref()
            .filter(|issuer| self.from_account_id.as_deref() == Some(issuer))
    }
}

/// A message to append, with what it adds to its thread's counters (section 8).
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// The message itself.
    pub message: Message,
    /// Its contribution to `byte_count` (section 4.5).
    pub byte_count: i64,
    /// Its contribution to `approx_tokens`.
    pub approx_tokens: i64,
    /// The message count that it says a checkpoint covers; 0 for none.
    pub checkpoint_end: i64,
}

/// What an append did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// Messages that are new in the history.
    pub stored: usize,
    /// Messages whose id was there already; they changed no counter.
    pub duplicates: usize,
    /// Messages that the database refused, each with the reason. The others were stored.
    pub refused: Vec<Refused>,
}

/// One message that could not be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Id of the message that was not stored.
    pub message_id: String,
    /// What the database said.
    pub reason: String,
    /// It would be refused again. Otherwise there was no room for it, and it may be offered again later.
    pub lasting: bool,
}

/// One thread with its counters (table `agent_threads`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its id, case-sensitive.
    pub thread_id: String,
    /// The first message's sender.
    pub created_by_account_id: Option<String>,
    /// Sorted, distinct account ids.
    pub participants: Vec<String>,
    /// When its first message was received.
    pub created_at: Timestamp,
    /// When its last message was received. Retention goes by this, so no sender's clock can keep or kill a thread.
    pub updated_at: Timestamp,
    /// Number of messages.
    pub message_count: i64,
    /// Sum of the payloads' persisted sizes, in bytes.
    pub byte_count: i64,
    /// Sum of the messages' token estimates.
    pub approx_tokens: i64,
    /// The largest checkpoint seen.
    pub latest_checkpoint_end: i64,
    /// The largest `sent_at` of its messages.
    pub last_message_at: Option<Timestamp>,
}

/// Where a page ends: the sort key of its last row. The next page starts strictly after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The row's time (`sent_at` of a message, last activity of a thread).
    pub at: Timestamp,
    /// The row's id, which breaks ties.
    pub id: String,
}

/// Some rows and whether there are more behind them.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// At most as many as asked for.
    pub items: Vec<T>,
    /// At least one more row exists after the last of `items`.
    pub more: bool,
}

/// Which accounts to list, in order of username (code points).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountQuery {
    /// Literal, case-insensitive substring of username or display name; empty = all.
    pub text: String,
    /// One of the account's capabilities, compared case-insensitively.
    pub capability: Option<String>,
    /// Only usernames strictly after this one.
    pub after_username: Option<String>,
    /// At most so many; at least 1.
    pub limit: usize,
}

/// Which messages to list, newest first: `sent_at` descending, then `message_id` descending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageQuery {
    /// Exact message id.
    pub message_id: Option<String>,
    /// Exact thread id.
    pub thread_id: Option<String>,
    /// Exact sender account.
    pub from_account_id: Option<String>,
    /// Exact receiver account.
    pub to_account_id: Option<String>,
    /// Exact kind.
    pub kind: Option<String>,
    /// Inclusive lower bound of `sent_at`.
    pub from: Option<Timestamp>,
    /// Inclusive upper bound of `sent_at`.
    pub to: Option<Timestamp>,
    /// Only rows strictly older than this one.
    pub before: Option<Position>,
    /// Only what this account may see: messages that it has issued, and those whose receiver it is. All, if absent.
    pub visible_to: Option<String>,
    /// At most so many; at least 1.
    pub limit: usize,
}

/// Which threads to list: last activity (`last_message_at`, else `updated_at`) descending, then `thread_id` descending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadQuery {
    /// Literal, case-insensitive substring of the thread id; empty = all.
    pub text: String,
    /// Only threads that this account takes part in.
    pub participant: Option<String>,
    /// Only rows strictly after this one in that order.
    pub before: Option<Position>,
    /// Only what this account may see: threads with a message that it has issued or whose receiver it is. Counters, times,
    /// participants, filters and the order go by those messages alone. All, if absent.
    pub visible_to: Option<String>,
    /// At most so many; at least 1.
    pub limit: usize,
}

/// How much a retention step removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Threads removed.
    pub threads: u64,
    /// Messages removed with them.
    pub messages: u64,
}
