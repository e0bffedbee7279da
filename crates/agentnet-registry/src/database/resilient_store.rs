//! The store with a timeout on every call, and one of two ways to deal with failures.

mod blobs;
mod members;
mod tasks;

use std::time::Duration;

use agentnet_protocol::Timestamp;
use agentnet_store::model::{
    Account, AccountClaim, AccountQuery, Appended, DiskSpace, KnownAccount, LeaseEnd, LeaseEnded, LeaseQuery, Leased,
    MailboxChoice, MailboxCounts, MailboxLimits, MailboxQuery, MailboxRow, Message, MessageQuery, NewMessage,
    NewQueued, Oversized, Page, Pruned, PutOutcome, Registry, Session, Thread, ThreadQuery, UntoldEnd,
};
use agentnet_store::{Accounts, Mailboxes, Messages, Registries, Sessions, Store, StoreError, Threads};
use async_trait::async_trait;
use tokio::time::{sleep, timeout};

use super::Database;

/// A request's call that takes longer causes a ping; if the database answers that, the call goes on.
const SLOW_CALL: Duration = Duration::from_secs(1);
/// The timeout of a request's call.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Attempts of a request's call while the database answers pings, and the delay between them.
const MAX_ATTEMPTS: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// The timeout of a background writer's call.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A store with a timeout on every call.
pub(super) struct ResilientStore {
    database: Database,
    fail_fast: bool,
}

impl ResilientStore {
    pub(super) fn fail_fast(database: Database) -> Self {
        Self {
            database,
            fail_fast: true,
        }
    }

    pub(super) fn retrying(database: Database) -> Self {
        Self {
            database,
            fail_fast: false,
        }
    }

    /// Makes a call.
    async fn call<T, F>(&self, call: impl Fn() -> F + Send + Sync) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        if self.fail_fast {
            return self.call_fail_fast(call).await;
        }
        let outcome = timeout(WRITE_TIMEOUT, call())
            .await
            .unwrap_or_else(|_| Err(too_slow(WRITE_TIMEOUT)));
        match &outcome {
            Err(StoreError::Unavailable(_)) => self.database.suspect(),
            Err(StoreError::Gone(reason)) => self.database.mark_gone(reason),
            _ => {}
        }
        outcome
    }

    /// Fails at once while the database is down; repeats a call that failed for a moment, by a lost connection or contention.
    async fn call_fail_fast<T, F>(&self, call: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        if !self.database.is_up() {
            return Err(down());
        }
        let calls = async {
            // Waiting here is fair; waiting for a connection of the pool has a short timeout.
            let _turn = self.database.turn().await;
            let mut attempts = 0;
            loop {
                match call().await {
                    Err(StoreError::Unavailable(reason)) => {
                        attempts += 1;
                        if !self.database.ping_now().await || attempts == MAX_ATTEMPTS {
                            return Err(StoreError::Unavailable(reason));
                        }
                        sleep(RETRY_DELAY).await;
                    }
                    outcome => {
                        if let Err(StoreError::Gone(reason)) = &outcome {
                            self.database.mark_gone(reason);
                        }
                        return outcome;
                    }
                }
            }
        };
        let deadline = async {
            sleep(SLOW_CALL).await;
            self.database.suspect();
            sleep(REQUEST_TIMEOUT - SLOW_CALL).await;
        };
        tokio::select! {
            biased;
            outcome = calls => outcome,
            () = self.database.down() => Err(down()),
            () = deadline => Err(too_slow(REQUEST_TIMEOUT)),
        }
    }
}

fn down() -> StoreError {
    StoreError::Unavailable("it does not answer".to_owned())
}

fn too_slow(limit: Duration) -> StoreError {
    StoreError::Unavailable(format!("a call took longer than {} s", limit.as_secs()))
}

#[async_trait]
impl Accounts for ResilientStore {
    async fn claim_accounts(&self, claims: &[AccountClaim]) -> Result<Vec<Result<Account, StoreError>>, StoreError> {
        self.call(|| self.database.store.claim_accounts(claims)).await
    }

    async fn rotate_key(
        &self,
        account_id: &str,
        old: &str,
        new: &str,
        at: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        self.call(|| self.database.store.rotate_key(account_id, old, new, at))
            .await
    }

    async fn account_by_id(&self, account_id: &str) -> Result<Option<Account>, StoreError> {
        self.call(|| self.database.store.account_by_id(account_id)).await
    }

    async fn account_by_username(&self, username: &str) -> Result<Option<Account>, StoreError> {
        self.call(|| self.database.store.account_by_username(username)).await
    }

    async fn account_ids(&self, usernames: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        self.call(|| self.database.store.account_ids(usernames)).await
    }

    async fn known_accounts(&self, account_ids: &[String]) -> Result<Vec<KnownAccount>, StoreError> {
        self.call(|| self.database.store.known_accounts(account_ids)).await
    }

    async fn accounts(&self, query: &AccountQuery) -> Result<Page<Account>, StoreError> {
        self.call(|| self.database.store.accounts(query)).await
    }

    async fn oversized_accounts(&self, max_metadata: usize, limit: usize) -> Result<Vec<Oversized>, StoreError> {
        self.call(|| self.database.store.oversized_accounts(max_metadata, limit))
            .await
    }
}

#[async_trait]
impl Sessions for ResilientStore {
    async fn upsert_sessions(&self, sessions: &[Session]) -> Result<(), StoreError> {
        self.call(|| self.database.store.upsert_sessions(sessions)).await
    }

    async fn touch_sessions(&self, seen: &[(String, Timestamp)]) -> Result<(), StoreError> {
        self.call(|| self.database.store.touch_sessions(seen)).await
    }

    async fn end_sessions(&self, ended: &[(String, Timestamp)]) -> Result<(), StoreError> {
        self.call(|| self.database.store.end_sessions(ended)).await
    }

    async fn session(&self, session_tag: &str) -> Result<Option<Session>, StoreError> {
        self.call(|| self.database.store.session(session_tag)).await
    }

    async fn online_sessions(&self) -> Result<Vec<Session>, StoreError> {
        self.call(|| self.database.store.online_sessions()).await
    }

    async fn prune_sessions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.call(|| self.database.store.prune_sessions(before)).await
    }
}

#[async_trait]
impl Messages for ResilientStore {
    async fn append_messages(&self, messages: &[NewMessage]) -> Result<Appended, StoreError> {
        let outcome = self.call(|| self.database.store.append_messages(messages)).await;
        self.database.note_write(match &outcome {
            Err(error) => Some(error.to_string()),
            Ok(appended) => appended
                .refused
                .iter()
                .find(|refused| !refused.lasting)
                .map(|refused| format!("there is no room: {}", refused.reason)),
        });
        outcome
    }

    async fn messages(&self, query: &MessageQuery) -> Result<Page<Message>, StoreError> {
        self.call(|| self.database.store.messages(query)).await
    }
}

#[async_trait]
impl Threads for ResilientStore {
    async fn thread(&self, thread_id: &str, visible_to: Option<&str>) -> Result<Option<Thread>, StoreError> {
        self.call(|| self.database.store.thread(thread_id, visible_to)).await
    }

    async fn threads(&self, query: &ThreadQuery) -> Result<Page<Thread>, StoreError> {
        self.call(|| self.database.store.threads(query)).await
    }

    async fn prune_threads(&self, before: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        self.call(|| self.database.store.prune_threads(before, limit)).await
    }
}

#[async_trait]
impl Registries for ResilientStore {
    async fn database_id(&self) -> Result<String, StoreError> {
        self.call(|| self.database.store.database_id()).await
    }

    async fn put_registry(&self, registry: &Registry) -> Result<(), StoreError> {
        self.call(|| self.database.store.put_registry(registry)).await
    }

    async fn remove_registry(&self, number: u64) -> Result<(), StoreError> {
        self.call(|| self.database.store.remove_registry(number)).await
    }

    async fn registry_nkeys(&self, since: Timestamp) -> Result<Vec<(String, String)>, StoreError> {
        self.call(|| self.database.store.registry_nkeys(since)).await
    }

    async fn registries(&self, since: Timestamp) -> Result<Vec<Registry>, StoreError> {
        self.call(|| self.database.store.registries(since)).await
    }
}

#[async_trait]
impl Mailboxes for ResilientStore {
    async fn put_messages(
        &self,
        messages: &[NewQueued],
        limits: &MailboxLimits,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        self.call(|| self.database.store.put_messages(messages, limits)).await
    }

    async fn lease_messages(&self, query: &LeaseQuery) -> Result<Leased, StoreError> {
        self.call(|| self.database.store.lease_messages(query)).await
    }

    async fn end_leases(
        &self,
        account_id: &str,
        session_tag: &str,
        ends: &[LeaseEnd],
        now: Timestamp,
        max_attempts: i64,
    ) -> Result<Vec<LeaseEnded>, StoreError> {
        self.call(|| {
            self.database
                .store
                .end_leases(account_id, session_tag, ends, now, max_attempts)
        })
        .await
    }

    async fn extend_leases(
        &self,
        account_id: &str,
        session_tag: &str,
        leases: &[String],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        self.call(|| {
            self.database
                .store
                .extend_leases(account_id, session_tag, leases, now, until)
        })
        .await
    }

    async fn mailbox_counts(&self, account_id: Option<&str>) -> Result<MailboxCounts, StoreError> {
        self.call(|| self.database.store.mailbox_counts(account_id)).await
    }

    async fn mailbox_messages(&self, query: &MailboxQuery) -> Result<Page<MailboxRow>, StoreError> {
        self.call(|| self.database.store.mailbox_messages(query)).await
    }

    async fn accounts_with_mail(&self, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.call(|| self.database.store.accounts_with_mail(after, limit)).await
    }

    async fn requeue_messages(
        &self,
        account_id: &str,
        choice: &MailboxChoice,
        now: Timestamp,
        limits: &MailboxLimits,
    ) -> Result<Vec<MailboxRow>, StoreError> {
        self.call(|| self.database.store.requeue_messages(account_id, choice, now, limits))
            .await
    }

    async fn drop_messages(
        &self,
        account_id: &str,
        choice: &MailboxChoice,
        now: Timestamp,
    ) -> Result<Vec<MailboxRow>, StoreError> {
        self.call(|| self.database.store.drop_messages(account_id, choice, now))
            .await
    }

    async fn expire_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<MailboxRow>, StoreError> {
        self.call(|| self.database.store.expire_messages(now, limit)).await
    }

    async fn bury_messages(
        &self,
        now: Timestamp,
        max_attempts: i64,
        limit: usize,
    ) -> Result<Vec<MailboxRow>, StoreError> {
        self.call(|| self.database.store.bury_messages(now, max_attempts, limit))
            .await
    }

    async fn untold_ends(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<Vec<UntoldEnd>, StoreError> {
        self.call(|| self.database.store.untold_ends(before, now, limit)).await
    }

    async fn ends_told(&self, seqs: &[i64]) -> Result<(), StoreError> {
        self.call(|| self.database.store.ends_told(seqs)).await
    }

    async fn prune_mailboxes(&self, now: Timestamp, dead_before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.call(|| self.database.store.prune_mailboxes(now, dead_before, limit))
            .await
    }
}

#[async_trait]
impl Store for ResilientStore {
    fn backend(&self) -> &'static str {
        self.database.store.backend()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call(|| self.database.store.ping()).await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.call(|| self.database.store.check_writable()).await
    }

    async fn disk_space(&self) -> Option<DiskSpace> {
        self.database.store.disk_space().await
    }

    async fn close(&self) {
        self.database.store.close().await;
    }
}
