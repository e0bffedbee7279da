//! A real store whose calls can be counted, and that can be cut off.

mod blobs;
mod members;
mod tasks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use agentnet_protocol::Timestamp;
use agentnet_store::model::{
    Account, AccountClaim, AccountQuery, Appended, KnownAccount, LeaseEnd, LeaseEnded, LeaseQuery, Leased,
    MailboxChoice, MailboxCounts, MailboxLimits, MailboxQuery, MailboxRow, Message, MessageQuery, NewMessage,
    NewQueued, Oversized, Page, Pruned, PutOutcome, Registry, Session, Thread, ThreadQuery, UntoldEnd,
};
use agentnet_store::{Accounts, Mailboxes, Messages, Registries, Sessions, Store, StoreError, Threads};
use async_trait::async_trait;
use tokio::sync::watch;

/// What happens to calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// They reach the store.
    Up,
    /// They fail at once.
    Refused,
    /// Nothing is heard of them.
    Silent,
    /// Messages wait, everything else reaches the store.
    Slow,
}

/// A real store behind a line.
pub(crate) struct Observed {
    store: Arc<dyn Store>,
    line: watch::Sender<Line>,
    /// How often each session was touched, upserted and ended.
    writes: Mutex<HashMap<String, [usize; 3]>>,
}

impl Observed {
    pub(crate) fn new(store: Arc<dyn Store>, line: Line) -> Arc<Self> {
        Arc::new(Self {
            store,
            line: watch::Sender::new(line),
            writes: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// What was written since the last call: touches, upserts, ends of each session.
    pub(crate) fn take_writes(&self) -> HashMap<String, [usize; 3]> {
        std::mem::take(&mut self.writes.lock().unwrap())
    }

    pub(crate) fn writes(&self) -> HashMap<String, [usize; 3]> {
        self.writes.lock().unwrap().clone()
    }

    fn wrote<'a>(&self, what: usize, tags: impl Iterator<Item = &'a String>) {
        let mut writes = self.writes.lock().unwrap();
        for tag in tags {
            writes.entry(tag.clone()).or_default()[what] += 1;
        }
    }

    async fn reach(&self) -> Result<(), StoreError> {
        let mut line = self.line.subscribe();
        let line = *line.wait_for(|line| *line != Line::Silent).await.unwrap();
        match line {
            Line::Refused => Err(StoreError::Unavailable("connection refused".into())),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Accounts for Observed {
    async fn claim_accounts(&self, claims: &[AccountClaim]) -> Result<Vec<Result<Account, StoreError>>, StoreError> {
        self.reach().await?;
        self.store.claim_accounts(claims).await
    }

    async fn rotate_key(
        &self,
        account_id: &str,
        old: &str,
        new: &str,
        at: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        self.reach().await?;
        self.store.rotate_key(account_id, old, new, at).await
    }

    async fn account_by_id(&self, account_id: &str) -> Result<Option<Account>, StoreError> {
        self.reach().await?;
        self.store.account_by_id(account_id).await
    }

    async fn account_by_username(&self, username: &str) -> Result<Option<Account>, StoreError> {
        self.reach().await?;
        self.store.account_by_username(username).await
    }

    async fn account_ids(&self, usernames: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        self.reach().await?;
        self.store.account_ids(usernames).await
    }

    async fn known_accounts(&self, account_ids: &[String]) -> Result<Vec<KnownAccount>, StoreError> {
        self.reach().await?;
        self.store.known_accounts(account_ids).await
    }

    async fn accounts(&self, query: &AccountQuery) -> Result<Page<Account>, StoreError> {
        self.reach().await?;
        self.store.accounts(query).await
    }

    async fn oversized_accounts(&self, max_metadata: usize, limit: usize) -> Result<Vec<Oversized>, StoreError> {
        self.reach().await?;
        self.store.oversized_accounts(max_metadata, limit).await
    }
}

#[async_trait]
impl Sessions for Observed {
    async fn upsert_sessions(&self, sessions: &[Session]) -> Result<(), StoreError> {
        self.reach().await?;
        self.store.upsert_sessions(sessions).await?;
        self.wrote(1, sessions.iter().map(|session| &session.session_tag));
        Ok(())
    }

    async fn touch_sessions(&self, seen: &[(String, Timestamp)]) -> Result<(), StoreError> {
        self.reach().await?;
        self.store.touch_sessions(seen).await?;
        self.wrote(0, seen.iter().map(|(tag, _)| tag));
        Ok(())
    }

    async fn end_sessions(&self, ended: &[(String, Timestamp)]) -> Result<(), StoreError> {
        self.reach().await?;
        self.store.end_sessions(ended).await?;
        self.wrote(2, ended.iter().map(|(tag, _)| tag));
        Ok(())
    }

    async fn session(&self, session_tag: &str) -> Result<Option<Session>, StoreError> {
        self.reach().await?;
        self.store.session(session_tag).await
    }

    async fn online_sessions(&self) -> Result<Vec<Session>, StoreError> {
        self.reach().await?;
        self.store.online_sessions().await
    }

    async fn prune_sessions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.reach().await?;
        self.store.prune_sessions(before).await
    }
}

#[async_trait]
impl Messages for Observed {
    async fn append_messages(&self, messages: &[NewMessage]) -> Result<Appended, StoreError> {
        self.reach().await?;
        let mut line = self.line.subscribe();
        let _ = line.wait_for(|line| *line != Line::Slow).await;
        self.store.append_messages(messages).await
    }

    async fn messages(&self, query: &MessageQuery) -> Result<Page<Message>, StoreError> {
        self.reach().await?;
        self.store.messages(query).await
    }
}

#[async_trait]
impl Threads for Observed {
    async fn thread(&self, thread_id: &str, visible_to: Option<&str>) -> Result<Option<Thread>, StoreError> {
        self.reach().await?;
        self.store.thread(thread_id, visible_to).await
    }

    async fn threads(&self, query: &ThreadQuery) -> Result<Page<Thread>, StoreError> {
        self.reach().await?;
        self.store.threads(query).await
    }

    async fn prune_threads(&self, before: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        self.reach().await?;
        self.store.prune_threads(before, limit).await
    }
}

#[async_trait]
impl Registries for Observed {
    async fn database_id(&self) -> Result<String, StoreError> {
        self.reach().await?;
        self.store.database_id().await
    }

    async fn put_registry(&self, registry: &Registry) -> Result<(), StoreError> {
        self.reach().await?;
        self.store.put_registry(registry).await
    }

    async fn remove_registry(&self, number: u64) -> Result<(), StoreError> {
        self.reach().await?;
        self.store.remove_registry(number).await
    }

    async fn registry_nkeys(&self, since: Timestamp) -> Result<Vec<(String, String)>, StoreError> {
        self.reach().await?;
        self.store.registry_nkeys(since).await
    }

    async fn registries(&self, since: Timestamp) -> Result<Vec<Registry>, StoreError> {
        self.reach().await?;
        self.store.registries(since).await
    }
}

#[async_trait]
impl Mailboxes for Observed {
    async fn put_messages(
        &self,
        messages: &[NewQueued],
        limits: &MailboxLimits,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        self.reach().await?;
        self.store.put_messages(messages, limits).await
    }

    async fn lease_messages(&self, query: &LeaseQuery) -> Result<Leased, StoreError> {
        self.reach().await?;
        self.store.lease_messages(query).await
    }

    async fn end_leases(
        &self,
        account_id: &str,
        session_tag: &str,
        ends: &[LeaseEnd],
        now: Timestamp,
        max_attempts: i64,
    ) -> Result<Vec<LeaseEnded>, StoreError> {
        self.reach().await?;
        self.store
            .end_leases(account_id, session_tag, ends, now, max_attempts)
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
        self.reach().await?;
        self.store
            .extend_leases(account_id, session_tag, leases, now, until)
            .await
    }

    async fn mailbox_counts(&self, account_id: Option<&str>) -> Result<MailboxCounts, StoreError> {
        self.reach().await?;
        self.store.mailbox_counts(account_id).await
    }

    async fn mailbox_messages(&self, query: &MailboxQuery) -> Result<Page<MailboxRow>, StoreError> {
        self.reach().await?;
        self.store.mailbox_messages(query).await
    }

    async fn accounts_with_mail(&self, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.reach().await?;
        self.store.accounts_with_mail(after, limit).await
    }

    async fn requeue_messages(
        &self,
        account_id: &str,
        choice: &MailboxChoice,
        now: Timestamp,
        limits: &MailboxLimits,
    ) -> Result<Vec<MailboxRow>, StoreError> {
        self.reach().await?;
        self.store.requeue_messages(account_id, choice, now, limits).await
    }

    async fn drop_messages(
        &self,
        account_id: &str,
        choice: &MailboxChoice,
        now: Timestamp,
    ) -> Result<Vec<MailboxRow>, StoreError> {
        self.reach().await?;
        self.store.drop_messages(account_id, choice, now).await
    }

    async fn expire_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<MailboxRow>, StoreError> {
        self.reach().await?;
        self.store.expire_messages(now, limit).await
    }

    async fn bury_messages(
        &self,
        now: Timestamp,
        max_attempts: i64,
        limit: usize,
    ) -> Result<Vec<MailboxRow>, StoreError> {
        self.reach().await?;
        self.store.bury_messages(now, max_attempts, limit).await
    }

    async fn untold_ends(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<Vec<UntoldEnd>, StoreError> {
        self.reach().await?;
        self.store.untold_ends(before, now, limit).await
    }

    async fn ends_told(&self, seqs: &[i64]) -> Result<(), StoreError> {
        self.reach().await?;
        self.store.ends_told(seqs).await
    }

    async fn prune_mailboxes(&self, now: Timestamp, dead_before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.reach().await?;
        self.store.prune_mailboxes(now, dead_before, limit).await
    }
}

#[async_trait]
impl Store for Observed {
    fn backend(&self) -> &'static str {
        self.store.backend()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reach().await?;
        self.store.ping().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
