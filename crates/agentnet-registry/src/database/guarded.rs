//! The store as requests and writers see it: the same calls, none of which waits without end.

use std::time::Duration;

use agentnet_protocol::Timestamp;
use agentnet_store::model::{
    Account, AccountClaim, AccountQuery, Appended, DiskSpace, KnownAccount, Message, MessageQuery, NewMessage,
    Oversized, Page, Pruned, Registry, Session, Thread, ThreadQuery,
};
use agentnet_store::{Accounts, Messages, Registries, Sessions, Store, StoreError, Threads};
use async_trait::async_trait;
use tokio::time::{sleep, timeout};

use super::Database;

/// A request's call that takes longer raises a doubt; if the database answers the ping, the call goes on.
const DOUBT: Duration = Duration::from_secs(1);
/// The longest that a request waits for one call.
const REQUEST: Duration = Duration::from_secs(15);
/// How often a request's call is made while the database answers pings, and the pause between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// The longest that those who write behind wait for one call.
const WRITE: Duration = Duration::from_secs(60);

/// A store whose calls do not wait without end.
pub(super) struct Guarded {
    database: Database,
    hasty: bool,
}

impl Guarded {
    pub(super) fn hasty(database: Database) -> Self {
        Self { database, hasty: true }
    }

    pub(super) fn patient(database: Database) -> Self {
        Self { database, hasty: false }
    }

    async fn guard<T, F>(&self, call: impl Fn() -> F + Send + Sync) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        if self.hasty {
            return self.hurry(call).await;
        }
        let outcome = timeout(WRITE, call()).await.unwrap_or_else(|_| Err(too_slow(WRITE)));
        match &outcome {
            Err(StoreError::Unavailable(_)) => self.database.doubt(),
            Err(StoreError::Gone(reason)) => self.database.lose(reason),
            _ => {}
        }
        outcome
    }

    /// Calls at once or not at all, and calls again what failed only for a moment: a connection that was lost, or a crowd.
    async fn hurry<T, F>(&self, call: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        if !self.database.is_up() {
            return Err(down());
        }
        let calls = async {
            // The wait is here, where it is fair, and not for a connection, where it is short.
            let _turn = self.database.turn().await;
            let mut tries = 0;
            loop {
                match call().await {
                    Err(StoreError::Unavailable(reason)) => {
                        tries += 1;
                        if !self.database.verdict().await || tries == TRIES {
                            return Err(StoreError::Unavailable(reason));
                        }
                        sleep(PAUSE).await;
                    }
                    outcome => {
                        if let Err(StoreError::Gone(reason)) = &outcome {
                            self.database.lose(reason);
                        }
                        return outcome;
                    }
                }
            }
        };
        let impatience = async {
            sleep(DOUBT).await;
            self.database.doubt();
            sleep(REQUEST - DOUBT).await;
        };
        tokio::select! {
            biased;
            outcome = calls => outcome,
            () = self.database.down() => Err(down()),
            () = impatience => Err(too_slow(REQUEST)),
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
impl Accounts for Guarded {
    async fn claim_accounts(&self, claims: &[AccountClaim]) -> Result<Vec<Result<Account, StoreError>>, StoreError> {
        self.guard(|| self.database.store.claim_accounts(claims)).await
    }

    async fn rotate_key(
        &self,
        account_id: &str,
        old: &str,
        new: &str,
        at: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        self.guard(|| self.database.store.rotate_key(account_id, old, new, at))
            .await
    }

    async fn account_by_id(&self, account_id: &str) -> Result<Option<Account>, StoreError> {
        self.guard(|| self.database.store.account_by_id(account_id)).await
    }

    async fn account_by_username(&self, username: &str) -> Result<Option<Account>, StoreError> {
        self.guard(|| self.database.store.account_by_username(username)).await
    }

    async fn account_ids(&self, usernames: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        self.guard(|| self.database.store.account_ids(usernames)).await
    }

    async fn known_accounts(&self, account_ids: &[String]) -> Result<Vec<KnownAccount>, StoreError> {
        self.guard(|| self.database.store.known_accounts(account_ids)).await
    }

    async fn accounts(&self, query: &AccountQuery) -> Result<Page<Account>, StoreError> {
        self.guard(|| self.database.store.accounts(query)).await
    }

    async fn oversized_accounts(&self, max_metadata: usize, limit: usize) -> Result<Vec<Oversized>, StoreError> {
        self.guard(|| self.database.store.oversized_accounts(max_metadata, limit))
            .await
    }
}

#[async_trait]
impl Sessions for Guarded {
    async fn upsert_sessions(&self, sessions: &[Session]) -> Result<(), StoreError> {
        self.guard(|| self.database.store.upsert_sessions(sessions)).await
    }

    async fn touch_sessions(&self, seen: &[(String, Timestamp)]) -> Result<(), StoreError> {
        self.guard(|| self.database.store.touch_sessions(seen)).await
    }

    async fn end_sessions(&self, ended: &[(String, Timestamp)]) -> Result<(), StoreError> {
        self.guard(|| self.database.store.end_sessions(ended)).await
    }

    async fn session(&self, session_tag: &str) -> Result<Option<Session>, StoreError> {
        self.guard(|| self.database.store.session(session_tag)).await
    }

    async fn online_sessions(&self) -> Result<Vec<Session>, StoreError> {
        self.guard(|| self.database.store.online_sessions()).await
    }

    async fn prune_sessions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.guard(|| self.database.store.prune_sessions(before)).await
    }
}

#[async_trait]
impl Messages for Guarded {
    async fn append_messages(&self, messages: &[NewMessage]) -> Result<Appended, StoreError> {
        let outcome = self.guard(|| self.database.store.append_messages(messages)).await;
        self.database.note(match &outcome {
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
        self.guard(|| self.database.store.messages(query)).await
    }
}

#[async_trait]
impl Threads for Guarded {
    async fn thread(&self, thread_id: &str) -> Result<Option<Thread>, StoreError> {
        self.guard(|| self.database.store.thread(thread_id)).await
    }

    async fn threads(&self, query: &ThreadQuery) -> Result<Page<Thread>, StoreError> {
        self.guard(|| self.database.store.threads(query)).await
    }

    async fn prune_threads(&self, before: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        self.guard(|| self.database.store.prune_threads(before, limit)).await
    }
}

#[async_trait]
impl Registries for Guarded {
    async fn database_id(&self) -> Result<String, StoreError> {
        self.guard(|| self.database.store.database_id()).await
    }

    async fn put_registry(&self, registry: &Registry) -> Result<(), StoreError> {
        self.guard(|| self.database.store.put_registry(registry)).await
    }

    async fn remove_registry(&self, number: u64) -> Result<(), StoreError> {
        self.guard(|| self.database.store.remove_registry(number)).await
    }

    async fn registries(&self, since: Timestamp) -> Result<Vec<Registry>, StoreError> {
        self.guard(|| self.database.store.registries(since)).await
    }
}

#[async_trait]
impl Store for Guarded {
    fn backend(&self) -> &'static str {
        self.database.store.backend()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.guard(|| self.database.store.ping()).await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.guard(|| self.database.store.check_writable()).await
    }

    async fn disk_space(&self) -> Option<DiskSpace> {
        self.database.store.disk_space().await
    }

    async fn close(&self) {
        self.database.store.close().await;
    }
}
