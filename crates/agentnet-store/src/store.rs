//! The store's contract. The tests of `contract/` check each method's documentation on every backend.

mod blobs;
mod members;

use agentnet_protocol::Timestamp;
use agentnet_protocol::task::TaskState;
use async_trait::async_trait;

use crate::error::StoreError;
use crate::model::{
    Account, AccountClaim, AccountQuery, Appended, DiskSpace, KnownAccount, LeaseEnd, LeaseEnded, LeaseQuery, Leased,
    MailboxChoice, MailboxCounts, MailboxLimits, MailboxQuery, MailboxRow, Message, MessageQuery, NewMessage,
    NewQueued, Oversized, Page, Pruned, PutOutcome, Registry, Session, StoredTaskEvent, Task, TaskChange, TaskChanged,
    TaskClaimQuery, TaskCreated, TaskParts, TaskQuery, Thread, ThreadQuery, UntoldEnd,
};

pub use self::blobs::Blobs;
pub use self::members::Members;

/// Accounts (PROTOCOL.md 7.2, with the decisions of 0.5).
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Finds or creates the account that a registration means, updates its profile (display name, capabilities,
    /// metadata, `updated_at`; never bio, visibility, status, `created_at`) and returns it, all in one transaction:
    ///
    /// 1. A requested id that is known: that account. It takes a *requested* name that is free, else keeps its own.
    /// 2. A requested id that is unknown: created under it with the desired name, or a random-suffixed variant.
    /// 3. No id and a requested or derived name that exists: that account.
    /// 4. Otherwise `new_account_id` is created with the name; a taken *generated* name is suffixed.
    ///
    /// Concurrent claims of one new name end in one account, without an error.
    /// With `public_key` set, an account without a key gets it bound in the same transaction, and `signs` is taken over;
    /// [`StoreError::KeyMismatch`] (and no change at all) if another key is bound.
    /// Metadata beyond [`MAX_METADATA_BYTES`](crate::model::MAX_METADATA_BYTES) is refused.
    async fn claim_account(&self, claim: &AccountClaim) -> Result<Account, StoreError> {
        let outcome = self.claim_accounts(std::slice::from_ref(claim)).await?.pop();
        outcome.unwrap_or_else(|| Err(StoreError::Corrupt("a claim has no outcome".to_owned())))
    }

    /// What [`claim_account`](Accounts::claim_account) does, for several claims as if they came one after the other, in some
    /// order; an outcome for each, in the order of the claims. Few transactions, mostly one.
    ///
    /// # Errors
    /// What is wrong with one claim is its outcome. An error of the store itself is the call's: then nothing, or a part, was
    /// done, and the claims may be made again.
    async fn claim_accounts(&self, claims: &[AccountClaim]) -> Result<Vec<Result<Account, StoreError>>, StoreError>;

    /// Binds another key to an account that is bound to `old`, in one transaction, and returns the account; `None` if there
    /// is no such account, [`StoreError::KeyMismatch`] (and no change) if it is bound to another key than `old` or to none.
    async fn rotate_key(
        &self,
        account_id: &str,
        old: &str,
        new: &str,
        at: Timestamp,
    ) -> Result<Option<Account>, StoreError>;

    /// The account with this id, if there is one.
    async fn account_by_id(&self, account_id: &str) -> Result<Option<Account>, StoreError>;

    /// The account with this normalised username, if there is one.
    async fn account_by_username(&self, username: &str) -> Result<Option<Account>, StoreError>;

    /// The accounts of these normalised usernames, as pairs of username and account id, in any order. Unknown names
    /// are missing; a name that is given twice may come twice or once.
    async fn account_ids(&self, usernames: &[String]) -> Result<Vec<(String, String)>, StoreError>;

    /// The accounts with these ids, in any order. Unknown ids are missing; one that is given twice may come twice or
    /// once.
    async fn known_accounts(&self, account_ids: &[String]) -> Result<Vec<KnownAccount>, StoreError>;

    /// Accounts that match, by username ascending (code points).
    async fn accounts(&self, query: &AccountQuery) -> Result<Page<Account>, StoreError>;

    /// Accounts that hold more than may be stored now, by username, at most `limit`. It reads the whole table.
    async fn oversized_accounts(&self, max_metadata: usize, limit: usize) -> Result<Vec<Oversized>, StoreError>;
}

/// Sessions: the processes of accounts, online and past.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Inserts or replaces sessions by tag, in one transaction. A known tag keeps its stored `connected_at`.
    /// Metadata beyond [`MAX_METADATA_BYTES`](crate::model::MAX_METADATA_BYTES) is refused, and with it the whole call.
    async fn upsert_sessions(&self, sessions: &[Session]) -> Result<(), StoreError>;

    /// Moves `last_seen` of these tags forward (never back), in one transaction. Unknown tags are ignored.
    async fn touch_sessions(&self, seen: &[(String, Timestamp)]) -> Result<(), StoreError>;

    /// Marks these tags offline: `disconnected_at` = the time given, `last_seen` the later of it and the stored one.
    /// Unknown tags are ignored; a session that is offline already keeps its `disconnected_at`.
    async fn end_sessions(&self, ended: &[(String, Timestamp)]) -> Result<(), StoreError>;

    /// The session with this tag, if there is one.
    async fn session(&self, session_tag: &str) -> Result<Option<Session>, StoreError>;

    /// All sessions that the store holds as online, by tag.
    async fn online_sessions(&self) -> Result<Vec<Session>, StoreError>;

    /// Deletes offline sessions that went offline before this time; returns how many.
    async fn prune_sessions(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// The message history.
#[async_trait]
pub trait Messages: Send + Sync {
    /// Appends a batch in one durable transaction and updates the threads' counters. For a new id: the message is
    /// stored and its thread's `message_count`, `byte_count`, `approx_tokens` grow, `latest_checkpoint_end` and
    /// `last_message_at` become the maximum. For a known id (in the history or earlier in the batch): nothing is stored
    /// or counted, but the thread that it names is still created or gets its participants and `updated_at` (section 8).
    /// Participants are the trimmed, non-empty sender and receiver accounts; the creator is the sender of
    /// the message that was received first, if it names one. Counters stop at `i64::MAX`.
    ///
    /// A message that the database refuses, or has no room for, never stops the others: it is named in the outcome. An error
    /// means that
    /// nothing of the batch was stored and that the call may be repeated.
    async fn append_messages(&self, messages: &[NewMessage]) -> Result<Appended, StoreError>;

    /// Messages that match, newest first. An unknown thread is an empty page.
    async fn messages(&self, query: &MessageQuery) -> Result<Page<Message>, StoreError>;
}

/// Threads and their counters.
#[async_trait]
pub trait Threads: Send + Sync {
    /// The thread with this id, if there is one. With `visible_to`, what this account may see of it, as
    /// [`ThreadQuery::visible_to`] says; `None` if that is nothing, as if there were no such thread.
    async fn thread(&self, thread_id: &str, visible_to: Option<&str>) -> Result<Option<Thread>, StoreError>;

    /// Threads that match, latest activity first.
    async fn threads(&self, query: &ThreadQuery) -> Result<Page<Thread>, StoreError>;

    /// Deletes up to `limit` threads whose `updated_at` lies before this time, oldest first, with their messages.
    async fn prune_threads(&self, before: Timestamp, limit: usize) -> Result<Pruned, StoreError>;
}

/// Registries that run on this database, and which database it is (PROTOCOL.md 10.3).
#[async_trait]
pub trait Registries: Send + Sync {
    /// A random text that this database got when it was made: two registries on one network should name the same.
    async fn database_id(&self) -> Result<String, StoreError>;

    /// Inserts or replaces the row of a running registry, by its number.
    async fn put_registry(&self, registry: &Registry) -> Result<(), StoreError>;

    /// Deletes the row of a registry that stops. Unknown numbers are ignored.
    async fn remove_registry(&self, number: u64) -> Result<(), StoreError>;

    /// The names and nkeys of the registries in secure mode that said at this time or later that they run, by name and nkey.
    async fn registry_nkeys(&self, since: Timestamp) -> Result<Vec<(String, String)>, StoreError>;

    /// The registries that said at this time or later that they run, by number as text. Rows that are older are deleted.
    async fn registries(&self, since: Timestamp) -> Result<Vec<Registry>, StoreError>;
}

/// Messages that wait for their receiver (PROTOCOL.md section 21.3).
///
/// A message waits (`queued`), a session has it (`leased`), it was delivered (`done`) or cannot be (`dead`). It may be leased if
/// it waits and its `available_at` has come, or its lease is over; it was not attempted too often, and has not expired. Per
/// sender and account messages keep their order: none is leased while an earlier one of the same sender waits for its time or
/// is leased by an earlier call.
#[async_trait]
pub trait Mailboxes: Send + Sync {
    /// Keeps messages, in one durable transaction with their rows of the history; an outcome for each, in order. The limits
    /// count the messages earlier in the call. Order within the call is the order of delivery.
    async fn put_messages(&self, messages: &[NewQueued], limits: &MailboxLimits)
    -> Result<Vec<PutOutcome>, StoreError>;

    /// Gives a session the next messages of its account, in their order, and counts the attempt. A message whose last lease ran
    /// out without an acknowledgement may have ended the process that had it: it comes without later ones of its sender, which
    /// had been leased behind it and whose attempt is not counted; and after a second time in a row alone, one such message of
    /// the account at a time.
    async fn lease_messages(&self, query: &LeaseQuery) -> Result<Leased, StoreError>;

    /// Ends leases of a session, in one durable transaction; an outcome for each, in order. A message that is to wait again
    /// after `max_attempts` attempts is dead.
    async fn end_leases(
        &self,
        account_id: &str,
        session_tag: &str,
        ends: &[LeaseEnd],
        now: Timestamp,
        max_attempts: i64,
    ) -> Result<Vec<LeaseEnded>, StoreError>;

    /// Gives leases of a session another end; for each whether it was in force.
    async fn extend_leases(
        &self,
        account_id: &str,
        session_tag: &str,
        leases: &[String],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<bool>, StoreError>;

    /// How full the mailbox of an account is; of all accounts where none is given.
    async fn mailbox_counts(&self, account_id: Option<&str>) -> Result<MailboxCounts, StoreError>;

    /// Messages of one mailbox, in their order.
    async fn mailbox_messages(&self, query: &MailboxQuery) -> Result<Page<MailboxRow>, StoreError>;

    /// Accounts for which messages wait or are leased, by id, behind this one.
    async fn accounts_with_mail(&self, after: &str, limit: usize) -> Result<Vec<String>, StoreError>;

    /// Lets dead messages wait again, with no attempts counted, at the end of the order; returns them. Messages in other
    /// states, expired ones, and those for which `limits` have no room (messages of the account, and of a sender) stay as they
    /// are.
    async fn requeue_messages(
        &self,
        account_id: &str,
        choice: &MailboxChoice,
        now: Timestamp,
        limits: &MailboxLimits,
    ) -> Result<Vec<MailboxRow>, StoreError>;

    /// Deletes messages that wait, are leased or dead; returns them as they were. Delivered messages stay as they are. The
    /// senders are to be told ([`ends_told`](Self::ends_told)). The ids of the messages are known until they expire.
    async fn drop_messages(
        &self,
        account_id: &str,
        choice: &MailboxChoice,
        now: Timestamp,
    ) -> Result<Vec<MailboxRow>, StoreError>;

    /// Deletes up to `limit` messages that have expired before a session took them (a lease in force is waited for); returns
    /// them as they were. The senders are to be told ([`ends_told`](Self::ends_told)).
    async fn expire_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<MailboxRow>, StoreError>;

    /// Makes up to `limit` messages dead that were attempted `max_attempts` times and whose last lease is over; returns them.
    /// Messages of the same sender that were leased behind one of them wait again: their attempt did not begin.
    async fn bury_messages(
        &self,
        now: Timestamp,
        max_attempts: i64,
        limit: usize,
    ) -> Result<Vec<MailboxRow>, StoreError>;

    /// Up to `limit` messages that ended without being delivered, and whose senders were not told since before this time. They
    /// count as tried at `now`, so that no other registry tells them at the same moment.
    async fn untold_ends(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<Vec<UntoldEnd>, StoreError>;

    /// The senders of these messages, by [`MailboxRow::seq`], were told of their ends. To be called for what
    /// [`end_leases`](Self::end_leases) and [`bury_messages`](Self::bury_messages) made dead, and for expired and dropped
    /// messages.
    async fn ends_told(&self, seqs: &[i64]) -> Result<(), StoreError>;

    /// Deletes up to `limit` messages that need not be remembered, of those whose senders were told: delivered ones a day after
    /// their delivery, but not before they would have expired; dropped ones when they would have expired; dead ones that ended
    /// before `dead_before`. Returns how many.
    async fn prune_mailboxes(&self, now: Timestamp, dead_before: Timestamp, limit: usize) -> Result<u64, StoreError>;
}

/// Tasks (PROTOCOL.md section 22). What a change does is said by the rules (`task_rules`), which are the same for every backend;
/// a change, its events, and the counters are written in one durable transaction.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Stores new tasks; an outcome for each, in order. A task whose id, or whose coordinator and idempotency key, are known is
    /// not stored again. `max_open` is the most tasks of one coordinator that have not ended; those earlier in the call count.
    /// Registries on PostgreSQL that store at the same moment may exceed it by what each of them stores.
    async fn create_tasks(&self, tasks: &[Task], max_open: i64) -> Result<Vec<TaskCreated>, StoreError>;

    /// The task with this id, if there is one.
    async fn task(&self, task_id: &str) -> Result<Option<Task>, StoreError>;

    /// Applies changes, each to the task with this id, as if they came one after the other; an outcome for each, in order. A
    /// message, or an end of an attempt (by its `finish_id`), that was applied before is
    /// [`TaskRefusal::Duplicate`](crate::model::TaskRefusal::Duplicate), also after later attempts.
    async fn change_tasks(
        &self,
        changes: &[(String, TaskChange)],
        now: Timestamp,
    ) -> Result<Vec<TaskChanged>, StoreError>;

    /// Claims the next tasks: for the account, or for a capability; by priority, then `not_before`, then creation. Two claims
    /// at the same time never get the same task. A call with the token of an earlier one of the same session gets the tasks of
    /// that one again, with their `claimed` events, while their leases are in force: its reply was lost.
    async fn claim_tasks(&self, query: &TaskClaimQuery) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError>;

    /// Applies [`TaskChange::Tick`] to up to `limit` tasks whose lease, deadline or time to stop is over.
    async fn tick_tasks(
        &self,
        now: Timestamp,
        cancel_grace_ms: i64,
        limit: usize,
    ) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError>;

    /// Tasks that match, the last changed first.
    async fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>, StoreError>;

    /// How many stored parts of these tasks have ended and have not, for each that has parts.
    async fn task_children(&self, task_ids: &[String]) -> Result<Vec<(String, TaskParts)>, StoreError>;

    /// The ids of the parts of a task that have not ended, and whose cancellation is not requested yet; at most `limit`.
    async fn open_children(&self, task_id: &str, limit: usize) -> Result<Vec<String>, StoreError>;

    /// The ids of the parts of a task that have parts themselves, in whatever state they are; at most `limit`.
    async fn children_with_children(&self, task_id: &str, limit: usize) -> Result<Vec<String>, StoreError>;

    /// Events of a task behind a number, in order.
    async fn task_events(&self, task_id: &str, after: i64, limit: usize) -> Result<Vec<StoredTaskEvent>, StoreError>;

    /// The last event of each of these tasks.
    async fn latest_task_events(&self, task_ids: &[String]) -> Result<Vec<StoredTaskEvent>, StoreError>;

    /// How many tasks are in each state.
    async fn task_counts(&self) -> Result<Vec<(TaskState, i64)>, StoreError>;

    /// Deletes up to `limit` tasks that ended before this time, with their events; returns how many. A task is kept while parts of
    /// it are stored, so that their parent stays the same task.
    async fn prune_tasks(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;
}

/// All operations on a database.
#[async_trait]
pub trait Store: Accounts + Sessions + Messages + Threads + Registries + Mailboxes + Tasks + Members + Blobs {
    /// A short name of the backend for logs and metrics: `sqlite` or `postgres`.
    fn backend(&self) -> &'static str;

    /// Answers when the database does.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Answers when the database does and takes changes, as far as it tells without making one: a standby, or a database that
    /// is set to be read only, is [`StoreError::Unavailable`].
    async fn check_writable(&self) -> Result<(), StoreError> {
        self.ping().await
    }

    /// The room on the file system of the database's file; `None` if there is no file here, or it is not known.
    async fn disk_space(&self) -> Option<DiskSpace> {
        None
    }

    /// Finishes running work and closes every connection. Later calls fail with [`StoreError::Unavailable`].
    async fn close(&self);
}
