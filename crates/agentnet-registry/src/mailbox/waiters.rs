//! Requests that wait until something comes: messages of an account (`wait_ms` of `registry.mailbox_lease`, section 21.3), or
//! events of a task (`wait_ms` of `registry.task_events`, section 22.5).

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Requests that may wait at the same time; a further one is answered at once.
const MAX_WAITING: usize = 1_024;
/// The same of one account.
const MAX_WAITING_PER_ACCOUNT: usize = 64;

/// The requests that wait, by account.
#[derive(Debug)]
pub(crate) struct Waiters {
    places: Arc<Semaphore>,
    accounts: Mutex<AHashMap<String, watch::Sender<()>>>,
}

impl Default for Waiters {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            accounts: Mutex::default(),
        }
    }
}

impl Waiters {
    /// A request that waits for messages of an account; `None` if too many do. What comes from now on wakes it.
    pub(crate) fn join(self: &Arc<Self>, account_id: &str) -> Option<Waiter> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut accounts = self.accounts.lock();
        let woken = match accounts.get(account_id) {
            Some(wake) if wake.receiver_count() >= MAX_WAITING_PER_ACCOUNT => return None,
            Some(wake) => wake.subscribe(),
            None => {
                let (wake, woken) = watch::channel(());
                accounts.insert(account_id.to_owned(), wake);
                woken
            }
        };
        drop(accounts);
        Some(Waiter {
            account_id: account_id.to_owned(),
            waiters: Arc::clone(self),
            woken,
            _place: place,
        })
    }

    /// Wakes the requests that wait for messages of this account.
    pub(crate) fn wake(&self, account_id: &str) {
        if let Some(wake) = self.accounts.lock().get(account_id) {
            wake.send_replace(());
        }
    }
}

/// A request that waits; dropped when it is answered.
#[derive(Debug)]
pub(crate) struct Waiter {
    account_id: String,
    waiters: Arc<Waiters>,
    woken: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Waiter {
    /// Returns when a message may have come since the last call, or since the request began to wait.
    pub(crate) async fn woken(&mut self) {
        // The sender stays as long as a request waits.
        let _ = self.woken.changed().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut accounts = self.waiters.accounts.lock();
        // This one is still counted.
        if accounts
            .get(&self.account_id)
            .is_some_and(|wake| wake.receiver_count() <= 1)
        {
            accounts.remove(&self.account_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_waiter_is_woken_by_what_comes_after_it_joined() {
        let waiters = Arc::new(Waiters::default());
        waiters.wake("a");
        let mut first = waiters.join("a").unwrap();
        let mut second = waiters.join("a").unwrap();
        let mut other = waiters.join("b").unwrap();
        assert!(first.woken().now_or_never().is_none());
        waiters.wake("a");
        assert!(first.woken().now_or_never().is_some() && second.woken().now_or_never().is_some());
        assert!(first.woken().now_or_never().is_none(), "once");
        assert!(other.woken().now_or_never().is_none());
        drop(first);
        waiters.wake("a");
        assert!(second.woken().now_or_never().is_some());
        drop(second);
        let accounts = waiters.accounts.lock();
        assert!(!accounts.contains_key("a") && accounts.contains_key("b"));
    }

    #[tokio::test]
    async fn waiters_are_bounded_of_one_account_and_of_all() {
        let waiters = Arc::new(Waiters::default());
        let of_one: Vec<_> = (0..100).filter_map(|_| waiters.join("a")).collect();
        assert_eq!(of_one.len(), MAX_WAITING_PER_ACCOUNT);
        let of_all: Vec<_> = (0..2_000)
            .filter_map(|number| waiters.join(&format!("b{number}")))
            .collect();
        assert_eq!(of_one.len() + of_all.len(), MAX_WAITING);
        drop(of_all);
        drop(of_one);
        assert!(waiters.accounts.lock().is_empty());
        assert!(waiters.join("a").is_some());
    }
}
