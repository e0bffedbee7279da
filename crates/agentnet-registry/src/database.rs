//! The store with a bound on every wait, and the knowledge whether it answers.
//!
//! A database that is down must not hold requests up: a call that fails as unavailable, or takes long, raises a doubt; a
//! ping decides; and from then on requests fail at once until a ping succeeds again. The change is logged, not every request.
//! A call that failed although the database answers pings is made again.
//!
//! - [`Database::hasty`] is for requests: it fails at once while the database is down.
//! - [`Database::patient`] is for those who write behind (presence, messages, retention). They try again anyway, and a
//!   doubt must not cut their work short.
//! - `guarded` is the store that both are.
//!
//! A database whose file is gone never comes back: [`Database::gone`].

mod guarded;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentnet_store::{Store, StoreError};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use guarded::Guarded;

/// A database that does not answer a ping within this time is down.
const PING: Duration = Duration::from_secs(3);
/// The pause between two pings of a database that is down.
const PAUSE: Duration = Duration::from_millis(300);

/// Calls of requests that are made at the same time: enough to keep every connection busy, few enough that none waits long
/// for one.
const AT_ONCE: usize = 16;

/// For so long a failed write counts, unless one has succeeded since: longer than the pause before the next attempt.
const TROUBLE: Duration = Duration::from_secs(90);

/// Since when the database answers; `None` while it does not.
type Answers = Option<Instant>;

/// Knows whether the database answers.
#[derive(Clone)]
pub(crate) struct Database {
    store: Arc<dyn Store>,
    health: Arc<Health>,
}

struct Health {
    answers: watch::Sender<Answers>,
    doubt: Notify,
    /// Counts the pings that were decided.
    pings: watch::Sender<u64>,
    turns: Semaphore,
    /// Why messages could not be stored the last time, and when that was.
    trouble: Mutex<Option<(Instant, String)>>,
    /// Why it did not answer the last ping.
    silence: Mutex<Option<String>>,
    /// Why the database never comes back.
    gone: watch::Sender<Option<String>>,
}

impl Database {
    /// A database that is taken to answer until somebody doubts it.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let health = Health {
            answers: watch::Sender::new(Some(Instant::now())),
            doubt: Notify::new(),
            pings: watch::Sender::new(0),
            turns: Semaphore::new(AT_ONCE),
            trouble: Mutex::default(),
            silence: Mutex::default(),
            gone: watch::Sender::new(None),
        };
        Self {
            store,
            health: Arc::new(health),
        }
    }

    /// For requests: nobody waits for a database that is down.
    pub(crate) fn hasty(&self) -> Arc<dyn Store> {
        Arc::new(Guarded::hasty(self.clone()))
    }

    /// For those who try again until they succeed.
    pub(crate) fn patient(&self) -> Arc<dyn Store> {
        Arc::new(Guarded::patient(self.clone()))
    }

    /// Whether it answers.
    pub(crate) fn is_up(&self) -> bool {
        self.health.answers.borrow().is_some()
    }

    /// Whether it has answered for so long without a gap.
    pub(crate) fn is_steady(&self, long: Duration) -> bool {
        self.health
            .answers
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

    /// Why messages cannot be stored, as far as the last attempt tells.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.health.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, reason) = trouble.as_ref().filter(|(since, _)| since.elapsed() < TROUBLE)?;
        Some(reason.clone())
    }

    /// Whether it can be used for everything that the registry has to do: it answers, takes changes, and took the last ones.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn is_well(&self) -> Result<(), String> {
        if let Some(reason) = &*self.health.gone.borrow() {
            return Err(StoreError::Gone(reason.clone()).to_string());
        }
        let asked = Guarded::hasty(self.clone()).check_writable().await;
        asked.map_err(|error| self.why_down().unwrap_or_else(|| error.to_string()))?;
        match self.trouble() {
            None => Ok(()),
            Some(reason) => Err(format!("messages cannot be stored: {reason}")),
        }
    }

    /// Why it does not answer; `None` while it does.
    fn why_down(&self) -> Option<String> {
        let silence = self.health.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.clone().filter(|_| !self.is_up())
    }

    /// Remembers how storing messages went.
    fn note(&self, trouble: Option<String>) {
        let mut noted = self.health.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *noted = trouble.map(|reason| (Instant::now(), reason));
    }

    /// The database's file is gone: nothing is asked of it any more.
    fn lose(&self, reason: &str) {
        self.health.answers.send_replace(None);
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
        let mut answers = self.health.answers.subscribe();
        // The sender is in `self`: it cannot be gone.
        let _ = answers.wait_for(|answers| answers.is_some() == up).await;
    }

    /// Somebody had to wait long, or was told that the database is unavailable.
    fn doubt(&self) {
        self.health.doubt.notify_one();
    }

    /// Whether it answers, after somebody doubted it. Several doubts are settled by one ping.
    pub(crate) async fn verdict(&self) -> bool {
        let mut pings = self.health.pings.subscribe();
        self.doubt();
        let _ = pings.changed().await;
        self.is_up()
    }

    /// A request's turn to call.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.health.turns.acquire().await.ok()
    }

    /// Pings once and remembers the outcome; says what has changed.
    pub(crate) async fn check(&self) -> bool {
        let outcome = match tokio::time::timeout(PING, self.store.ping()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Unavailable(format!(
                "no answer within {} s",
                PING.as_secs()
            ))),
        };
        let was_up = self.is_up();
        let silence = outcome.as_ref().err().map(ToString::to_string);
        *self.health.silence.lock().unwrap_or_else(PoisonError::into_inner) = silence;
        match outcome {
            Err(StoreError::Gone(reason)) => self.lose(&reason),
            Ok(()) if was_up => {}
            // What came back is another one, or has a gap.
            Ok(()) if self.health.gone.borrow().is_some() => {}
            Ok(()) => {
                tracing::info!("the database answers again");
                self.health.answers.send_replace(Some(Instant::now()));
            }
            Err(error) => {
                if was_up {
                    tracing::warn!(
                        %error,
                        "waiting for the database: presence is served from memory, messages wait in the stream, \
                         requests that need the database fail at once"
                    );
                }
                self.health.answers.send_replace(None);
            }
        }
        self.health.pings.send_modify(|pings| *pings += 1);
        self.is_up()
    }

    /// Settles doubts until `stop`.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if self.is_up() {
                if stop.run_until_cancelled(self.health.doubt.notified()).await.is_none() {
                    return;
                }
            } else if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
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
