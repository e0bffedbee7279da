//! Whether the database answers, and the store with a timeout on every call: a circuit breaker.
//!
//! A database that is down must not hold requests up. A call that fails as unavailable, or takes long, causes a ping; if that
//! fails, requests fail at once until a ping succeeds again. The change is logged, not every request. A call that failed
//! although the database answers pings is repeated.
//!
//! - [`Database::fail_fast`] is the store for requests: calls fail at once while the database is down.
//! - [`Database::retrying`] is the store for background writers (presence, messages, retention). They repeat failed calls
//!   themselves, and a slow ping must not cut their calls short.
//! - `resilient_store` implements both.
//!
//! A database whose file is gone never comes back: [`Database::gone`].

mod resilient_store;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_store::{Store, StoreError};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use resilient_store::ResilientStore;

/// A database that does not answer a ping within this time is down.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// The interval of pings while the database is down.
const PING_INTERVAL: Duration = Duration::from_millis(300);

/// Calls of requests that run at the same time: enough to keep every connection busy, few enough that none waits long for one.
const MAX_CONCURRENT_CALLS: usize = 16;

/// How long a failed write counts, unless one has succeeded since: longer than the delay before the next attempt.
const WRITE_FAILURE_TTL: Duration = Duration::from_secs(90);

/// Since when the database answers; `None` while it does not.
type UpSince = Option<Instant>;

/// Knows whether the database answers.
#[derive(Clone)]
pub(crate) struct Database {
    store: Arc<dyn Store>,
    health: Arc<Health>,
}

struct Health {
    up_since: watch::Sender<UpSince>,
    /// Requests a ping.
    suspect: Notify,
    /// Counts the completed pings.
    pings: watch::Sender<u64>,
    turns: Semaphore,
    /// The last failure to store messages: when, and why.
    write_failure: Mutex<Option<(Instant, String)>>,
    /// Why the last ping failed.
    ping_failure: Mutex<Option<String>>,
    /// Why the database never comes back.
    gone: watch::Sender<Option<String>>,
}

impl Database {
    /// A database that counts as up until a call fails.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let health = Health {
            up_since: watch::Sender::new(Some(Instant::now())),
            suspect: Notify::new(),
            pings: watch::Sender::new(0),
            turns: Semaphore::new(MAX_CONCURRENT_CALLS),
            write_failure: Mutex::default(),
            ping_failure: Mutex::default(),
            gone: watch::Sender::new(None),
        };
        Self {
            store,
            health: Arc::new(health),
        }
    }

    /// The backend of the store.
    pub(crate) fn backend(&self) -> &'static str {
        self.store.backend()
    }

    /// The store for requests: calls fail at once while the database is down.
    pub(crate) fn fail_fast(&self) -> Arc<dyn Store> {
        Arc::new(ResilientStore::fail_fast(self.clone()))
    }

    /// The store for background writers, which repeat failed calls.
    pub(crate) fn retrying(&self) -> Arc<dyn Store> {
        Arc::new(ResilientStore::retrying(self.clone()))
    }

    /// Whether it answers.
    pub(crate) fn is_up(&self) -> bool {
        self.health.up_since.borrow().is_some()
    }

    /// Whether it has answered for this time without a gap.
    pub(crate) fn is_steady(&self, long: Duration) -> bool {
        self.health
            .up_since
            .borrow()
            .is_some_and(|since| since.elapsed() >= long)
    }

    /// Returns when it answers.
    pub(crate) async fn up(&self) {
        self.becomes(true).await;
    }

    /// Returns when it does not answer.
    pub(crate) async fn down(&self) {
        self.becomes(false).await;
    }

    /// Returns when the database's file is gone, with the reason.
    pub(crate) async fn gone(&self) -> String {
        let mut gone = self.health.gone.subscribe();
        match gone.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender is in `self`: it cannot be gone.
            Err(_) => std::future::pending().await,
        }
    }

    /// Why messages cannot be stored, if the last attempt failed recently.
    pub(crate) fn write_failure(&self) -> Option<String> {
        let failure = self.health.write_failure.lock();
        let (_, reason) = failure.as_ref().filter(|(at, _)| at.elapsed() < WRITE_FAILURE_TTL)?;
        Some(reason.clone())
    }

    /// Checks that the database answers, takes changes, and took the last messages.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn check_health(&self) -> Result<(), String> {
        if let Some(reason) = &*self.health.gone.borrow() {
            return Err(StoreError::Gone(reason.clone()).to_string());
        }
        let asked = ResilientStore::fail_fast(self.clone()).check_writable().await;
        asked.map_err(|error| self.why_down().unwrap_or_else(|| error.to_string()))?;
        match self.write_failure() {
            None => Ok(()),
            Some(reason) => Err(format!("messages cannot be stored: {reason}")),
        }
    }

    /// Why it does not answer; `None` while it does.
    fn why_down(&self) -> Option<String> {
        let failure = self.health.ping_failure.lock();
        failure.clone().filter(|_| !self.is_up())
    }

    /// Notes whether messages could be stored.
    fn note_write(&self, failure: Option<String>) {
        let mut last = self.health.write_failure.lock();
        *last = failure.map(|reason| (Instant::now(), reason));
    }

    /// The database's file is gone: it is not used any more.
    fn mark_gone(&self, reason: &str) {
        self.health.up_since.send_replace(None);
        let first = self.health.gone.send_if_modified(|gone| {
            let first = gone.is_none();
            gone.get_or_insert_with(|| reason.to_owned());
            first
        });
        if first {
            tracing::error!(reason, "the database is gone");
        }
    }

    async fn becomes(&self, up: bool) {
        let mut up_since = self.health.up_since.subscribe();
        // The sender is in `self`: it cannot be gone.
        let _ = up_since.wait_for(|since| since.is_some() == up).await;
    }

    /// A call took long, or failed as unavailable: a ping decides whether the database is down.
    fn suspect(&self) {
        self.health.suspect.notify_one();
    }

    /// Whether the database answers a ping now. Concurrent callers share one ping.
    pub(crate) async fn ping_now(&self) -> bool {
        let mut pings = self.health.pings.subscribe();
        self.suspect();
        let _ = pings.changed().await;
        self.is_up()
    }

    /// Waits until a request may call the store.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.health.turns.acquire().await.ok()
    }

    /// Pings once; notes and logs a change. Returns whether the database answers.
    pub(crate) async fn check(&self) -> bool {
        let outcome = match tokio::time::timeout(PING_TIMEOUT, self.store.ping()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Unavailable(format!(
                "no answer within {} s",
                PING_TIMEOUT.as_secs()
            ))),
        };
        let was_up = self.is_up();
        let failure = outcome.as_ref().err().map(ToString::to_string);
        *self.health.ping_failure.lock() = failure;
        match outcome {
            Err(StoreError::Gone(reason)) => self.mark_gone(&reason),
            Ok(()) if was_up => {}
            // The file that came back is another one, or lacks changes.
            Ok(()) if self.health.gone.borrow().is_some() => {}
            Ok(()) => {
                tracing::info!("the database answers again");
                self.health.up_since.send_replace(Some(Instant::now()));
            }
            Err(error) => {
                if was_up {
                    tracing::warn!(
                        %error,
                        "waiting for the database: presence is served from memory, messages wait in the stream, \
                         requests that need the database fail at once"
                    );
                }
                self.health.up_since.send_replace(None);
            }
        }
        self.health.pings.send_modify(|pings| *pings += 1);
        self.is_up()
    }

    /// Pings when a call raises suspicion, and while the database is down, until `stop`.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if self.is_up() {
                if stop.run_until_cancelled(self.health.suspect.notified()).await.is_none() {
                    return;
                }
            } else if stop
                .run_until_cancelled(tokio::time::sleep(PING_INTERVAL))
                .await
                .is_none()
            {
                return;
            }
            stop.run_until_cancelled(self.check()).await;
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("backend", &self.store.backend())
            .field("up", &self.is_up())
            .finish()
    }
}
