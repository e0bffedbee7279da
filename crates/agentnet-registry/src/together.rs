//! Questions of many requests to the store, put together.
//!
//! Whoever asks while the store answers others waits for them, and is then asked for together with all who came meanwhile:
//! one statement for many requests when there are many, and no wait when there is one. Nothing is remembered, so that what
//! the store says now is what is answered.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agentnet_store::model::{Account, AccountClaim, KnownAccount};
use agentnet_store::{Store, StoreError};
use futures::FutureExt as _;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

/// Statements that may run at the same time.
const LANES: usize = 2;
/// For so long a statement of lookups runs alone: the next one then asks for more at once. One that takes longer is left
/// behind.
const LOOKUP_ALONE: Duration = Duration::from_millis(50);
/// Claims run side by side: while one waits for the disk, another is prepared.
const CLAIM_ALONE: Duration = Duration::ZERO;
/// Requests that may wait to be asked for; those beyond wait to wait.
const WAITING: usize = 4_096;
/// Usernames, or account ids, in one statement.
const KEYS: usize = 256;
/// Claims in one statement.
const CLAIMS: usize = 64;

/// An answer, or what the store said to all who were asked for together.
type Answer<A> = Result<A, Arc<StoreError>>;

/// Where questions are put together, as long as this value lives.
#[derive(Debug)]
pub(crate) struct Together<Q, A> {
    asked: mpsc::Sender<Asked<Q, A>>,
}

#[derive(Debug)]
struct Asked<Q, A> {
    question: Q,
    answer: oneshot::Sender<Answer<A>>,
}

/// The account ids of normalised usernames.
pub(crate) type Lookups = Together<String, Option<String>>;

/// The accounts with these ids, if there are such.
pub(crate) type AccountLookups = Together<String, Option<Arc<KnownAccount>>>;

/// The accounts that registrations mean.
pub(crate) type Claims = Together<AccountClaim, Account>;

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    /// `ask` is asked at most `most` questions, and has an answer for each, in their order. It runs alone for a while.
    fn start<F, Fut>(alone: Duration, most: usize, ask: F) -> Self
    where
        F: Fn(Vec<Q>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Vec<Answer<A>>> + Send + 'static,
    {
        let (asked, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..LANES {
            tokio::spawn(answer(alone, most, ask.clone(), Arc::clone(&waiting)));
        }
        Self { asked }
    }

    /// # Errors
    /// What the store says.
    pub(crate) async fn ask(&self, question: Q) -> Answer<A> {
        let (answer, answered) = oneshot::channel();
        let ended = || Arc::new(StoreError::Unavailable("the registry could not ask it".to_owned()));
        let asked = self.asked.send(Asked { question, answer }).await;
        asked.map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

async fn answer<Q, A, F, Fut>(alone: Duration, most: usize, ask: F, waiting: Arc<Mutex<mpsc::Receiver<Asked<Q, A>>>>)
where
    F: Fn(Vec<Q>) -> Fut,
    Fut: Future<Output = Vec<Answer<A>>>,
{
    let mut together = Vec::with_capacity(most);
    loop {
        let mut turn = waiting.lock().await;
        if turn.recv_many(&mut together, most).await == 0 {
            return;
        }
        // Who has gone meanwhile needs no answer.
        together.retain(|asked: &Asked<Q, A>| !asked.answer.is_closed());
        if together.is_empty() {
            continue;
        }
        let (questions, askers): (Vec<_>, Vec<_>) =
            together.drain(..).map(|asked| (asked.question, asked.answer)).unzip();
        let mut asking = pin!(AssertUnwindSafe(ask(questions)).catch_unwind());
        let soon = match alone {
            Duration::ZERO => None,
            alone => timeout(alone, asking.as_mut()).await.ok(),
        };
        drop(turn);
        let answers = match soon {
            Some(answers) => answers,
            None => asking.await,
        };
        let Ok(answers) = answers else {
            tracing::error!("a question to the store panicked");
            continue;
        };
        for (asker, answer) in askers.into_iter().zip(answers) {
            // Nobody may wait any more.
            let _ = asker.send(answer);
        }
    }
}

impl Lookups {
    pub(crate) fn of(store: &Arc<dyn Store>) -> Self {
        let store = Arc::clone(store);
        Self::start(LOOKUP_ALONE, KEYS, move |usernames| {
            let store = Arc::clone(&store);
            async move {
                let found = store.account_ids(&usernames).await;
                let found = found.map(|found| found.into_iter().collect::<HashMap<_, _>>());
                let found = found.map_err(Arc::new);
                let one = |username| found.as_ref().map(|found| found.get(username).cloned());
                usernames.iter().map(|name| one(name).map_err(Arc::clone)).collect()
            }
        })
    }
}

impl AccountLookups {
    pub(crate) fn of(store: &Arc<dyn Store>) -> Self {
        let store = Arc::clone(store);
        Self::start(LOOKUP_ALONE, KEYS, move |asked: Vec<String>| {
            let store = Arc::clone(&store);
            async move {
                let ids: Vec<String> = asked.iter().collect::<HashSet<_>>().into_iter().cloned().collect();
                let found = store.known_accounts(&ids).await.map_err(Arc::new);
                let found = found.map(|found| {
                    let by_id = |account: KnownAccount| (account.account_id.clone(), Arc::new(account));
                    found.into_iter().map(by_id).collect::<HashMap<_, _>>()
                });
                let one = |id| found.as_ref().map(|found| found.get(id).cloned());
                asked.iter().map(|id| one(id).map_err(Arc::clone)).collect()
            }
        })
    }
}

impl Claims {
    pub(crate) fn of(store: &Arc<dyn Store>) -> Self {
        let store = Arc::clone(store);
        Self::start(CLAIM_ALONE, CLAIMS, move |claims| {
            let store = Arc::clone(&store);
            async move { claim(store.as_ref(), &claims).await }
        })
    }
}

async fn claim(store: &dyn Store, claims: &[AccountClaim]) -> Vec<Answer<Account>> {
    match store.claim_accounts(claims).await {
        Ok(outcomes) => outcomes.into_iter().map(|outcome| outcome.map_err(Arc::new)).collect(),
        Err(error @ (StoreError::Unavailable(_) | StoreError::Gone(_))) => {
            let error = Arc::new(error);
            claims.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
        // Nobody pays for what another one asked.
        Err(_) => {
            let mut outcomes = Vec::with_capacity(claims.len());
            for claim in claims {
                outcomes.push(store.claim_account(claim).await.map_err(Arc::new));
            }
            outcomes
        }
    }
}
