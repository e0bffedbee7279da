//! Usernames of many requests, looked up together.
//!
//! Whoever asks while the store answers others waits for them, and is then asked for together with all who came meanwhile:
//! one statement for many requests when there are many, and no wait when there is one. Nothing is remembered, so that what
//! the store says now is what is answered.

use std::collections::HashMap;
use std::sync::Arc;

use agentnet_store::{Store, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot};

/// Statements that may run at the same time.
const LANES: usize = 2;
/// Usernames in one statement.
const TOGETHER: usize = 256;
/// Requests that may wait to be looked up; those beyond wait to wait.
const WAITING: usize = 4_096;

/// Where usernames are looked up.
#[derive(Debug)]
pub(crate) struct Lookups {
    asked: mpsc::Sender<Asked>,
}

struct Asked {
    username: String,
    answer: oneshot::Sender<Result<Option<String>, Arc<StoreError>>>,
}

impl Lookups {
    /// Looks up until this value is dropped.
    pub(crate) fn start(store: &Arc<dyn Store>) -> Self {
        let (asked, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..LANES {
            tokio::spawn(look_up(Arc::clone(store), Arc::clone(&waiting)));
        }
        Self { asked }
    }

    /// The account of a normalised username.
    ///
    /// # Errors
    /// What the store says; it is told to all who were asked for together.
    pub(crate) async fn account_id(&self, username: String) -> Result<Option<String>, Arc<StoreError>> {
        let (answer, answered) = oneshot::channel();
        let ended = || Arc::new(StoreError::Unavailable("the registry is stopping".to_owned()));
        let asked = self.asked.send(Asked { username, answer }).await;
        asked.map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

async fn look_up(store: Arc<dyn Store>, waiting: Arc<Mutex<mpsc::Receiver<Asked>>>) {
    let mut together = Vec::with_capacity(TOGETHER);
    while waiting.lock().await.recv_many(&mut together, TOGETHER).await > 0 {
        // Who has gone meanwhile needs no answer.
        together.retain(|asked| !asked.answer.is_closed());
        let usernames: Vec<String> = together.iter().map(|asked| asked.username.clone()).collect();
        let found = store.account_ids(&usernames).await;
        let found = found.map(|found| found.into_iter().collect::<HashMap<_, _>>());
        let found = found.map_err(Arc::new);
        for Asked { username, answer } in together.drain(..) {
            let one = found.as_ref().map(|found| found.get(&username).cloned());
            // Nobody may wait any more.
            let _ = answer.send(one.map_err(Arc::clone));
        }
    }
}
