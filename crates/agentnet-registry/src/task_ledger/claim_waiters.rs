//! Requests of workers that wait for a task (`wait_ms` of `registry.task_claim`, PROTOCOL.md section 22.4).
//!
//! A task that comes wakes one of the requests that can take it, not all of them. That one passes the wake on when it ends:
//! more tasks may be there, or it failed and has left the task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Requests that may wait at the same time; a further one is answered at once.
const MAX_WAITING: usize = 1_024;
/// The same of the requests of one account.
const MAX_WAITING_PER_ACCOUNT: usize = 64;

/// What a request waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    /// Tasks for an account.
    Account(String),
    /// Tasks for agents with a capability.
    Capability(String),
    /// The task with an id.
    Task(String),
}

/// The requests that wait.
#[derive(Debug)]
pub(crate) struct ClaimWaiters {
    places: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// The requests by what they wait for, and their number by account.
#[derive(Debug, Default)]
struct Waiting {
    queues: AHashMap<Wanted, VecDeque<Arc<Wake>>>,
    accounts: AHashMap<String, usize>,
}

/// Wakes one request.
#[derive(Debug, Default)]
struct Wake {
    /// It was woken, and has not looked since.
    is_woken: AtomicBool,
    notify: Notify,
}

impl Default for ClaimWaiters {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            waiting: Mutex::default(),
        }
    }
}

impl ClaimWaiters {
    /// A request of an account that waits for one of these; `None` if too many wait. What comes from now on wakes it.
    pub(crate) fn join(self: &Arc<Self>, account_id: &str, wanted: Vec<Wanted>) -> Option<ClaimWaiter> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut waiting = self.waiting.lock();
        let of_account = waiting.accounts.get(account_id).copied().unwrap_or_default();
        if of_account >= MAX_WAITING_PER_ACCOUNT {
            return None;
        }
        waiting.accounts.insert(account_id.to_owned(), of_account + 1);
        let wake: Arc<Wake> = Arc::default();
        for wanted in &wanted {
            let queue = waiting.queues.entry(wanted.clone()).or_default();
            queue.push_back(Arc::clone(&wake));
        }
        drop(waiting);
        Some(ClaimWaiter {
            waiters: Arc::clone(self),
            account_id: account_id.to_owned(),
            wanted,
            wake,
            has_found: false,
            _place: place,
        })
    }

    /// A task of this kind may be claimed: wakes the next request that waits for it.
    pub(crate) fn wake(&self, wanted: &Wanted) {
        let mut waiting = self.waiting.lock();
        let Some(queue) = waiting.queues.get_mut(wanted) else {
            return;
        };
        for _ in 0..queue.len() {
            let Some(next) = queue.pop_front() else { return };
            queue.push_back(Arc::clone(&next));
            if !next.is_woken.swap(true, Ordering::AcqRel) {
                next.notify.notify_one();
                return;
            }
        }
    }
}

/// A request that waits; dropped when it is answered.
#[derive(Debug)]
pub(crate) struct ClaimWaiter {
    waiters: Arc<ClaimWaiters>,
    account_id: String,
    wanted: Vec<Wanted>,
    wake: Arc<Wake>,
    /// It was woken, and may not have taken all that there is.
    has_found: bool,
    _place: OwnedSemaphorePermit,
}

impl ClaimWaiter {
    /// Returns when a task may have come since the last look.
    pub(crate) async fn woken(&mut self) {
        self.wake.notify.notified().await;
        self.has_found = true;
    }

    /// The store is asked from now on.
    pub(crate) fn look(&self) {
        self.wake.is_woken.store(false, Ordering::Release);
    }

    /// The store had nothing.
    pub(crate) fn found_nothing(&mut self) {
        self.has_found = false;
    }
}

impl Drop for ClaimWaiter {
    fn drop(&mut self) {
        let mut waiting = self.waiters.waiting.lock();
        for wanted in &self.wanted {
            if let Some(queue) = waiting.queues.get_mut(wanted) {
                queue.retain(|other| !Arc::ptr_eq(other, &self.wake));
                if queue.is_empty() {
                    waiting.queues.remove(wanted);
                }
            }
        }
        if let Some(of_account) = waiting.accounts.get_mut(&self.account_id) {
            *of_account -= 1;
            if *of_account == 0 {
                waiting.accounts.remove(&self.account_id);
            }
        }
        drop(waiting);
        if self.has_found || self.wake.is_woken.load(Ordering::Acquire) {
            for wanted in &self.wanted {
                self.waiters.wake(wanted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn join(waiters: &Arc<ClaimWaiters>, name: &str) -> Option<ClaimWaiter> {
        let wanted = vec![Wanted::Account(name.to_owned()), Wanted::Capability("build".to_owned())];
        waiters.join(name, wanted)
    }

    fn is_empty(waiters: &ClaimWaiters) -> bool {
        let waiting = waiters.waiting.lock();
        waiting.queues.is_empty() && waiting.accounts.is_empty()
    }

    fn is_woken(waiter: &mut ClaimWaiter) -> bool {
        waiter.woken().now_or_never().is_some()
    }

    #[tokio::test]
    async fn a_task_wakes_one_request_and_the_next_one_another() {
        let waiters = Arc::new(ClaimWaiters::default());
        let build = Wanted::Capability("build".to_owned());
        waiters.wake(&build);
        let mut first = join(&waiters, "a").unwrap();
        let mut second = join(&waiters, "b").unwrap();
        assert!(
            !is_woken(&mut first) && !is_woken(&mut second),
            "nothing has come since"
        );
        waiters.wake(&build);
        assert!(is_woken(&mut first) && !is_woken(&mut second));
        waiters.wake(&build);
        assert!(is_woken(&mut second), "the first one has not looked yet");
        waiters.wake(&Wanted::Account("a".to_owned()));
        assert!(!is_woken(&mut first), "it will look anyway");
        first.look();
        first.found_nothing();
        waiters.wake(&Wanted::Account("a".to_owned()));
        assert!(is_woken(&mut first) && !is_woken(&mut second));
    }

    #[tokio::test]
    async fn a_request_that_ends_passes_its_wake_on() {
        let waiters = Arc::new(ClaimWaiters::default());
        let build = Wanted::Capability("build".to_owned());
        let mut first = join(&waiters, "a").unwrap();
        let mut second = join(&waiters, "b").unwrap();
        let mut third = join(&waiters, "c").unwrap();
        waiters.wake(&build);
        assert!(is_woken(&mut first));
        first.look();
        drop(first);
        assert!(is_woken(&mut second), "it has taken one task, and there may be more");
        second.look();
        second.found_nothing();
        drop(second);
        assert!(!is_woken(&mut third), "there was nothing more");
        let fourth = join(&waiters, "d").unwrap();
        waiters.wake(&build);
        waiters.wake(&build);
        drop(fourth);
        assert!(is_woken(&mut third));
        drop(third);
        assert!(is_empty(&waiters));
    }

    #[tokio::test]
    async fn requests_are_bounded_of_one_account_and_of_all() {
        let waiters = Arc::new(ClaimWaiters::default());
        let of_one: Vec<_> = (0..100).filter_map(|_| join(&waiters, "a")).collect();
        assert_eq!(of_one.len(), MAX_WAITING_PER_ACCOUNT);
        let of_all: Vec<_> = (0..2_000)
            .filter_map(|number| join(&waiters, &format!("b{number}")))
            .collect();
        assert_eq!(of_one.len() + of_all.len(), MAX_WAITING);
        // Also those that wait for one task each.
        drop(of_one);
        let for_tasks: Vec<_> = (0..2_000)
            .filter_map(|number| waiters.join("a", vec![Wanted::Task(format!("t{number}"))]))
            .collect();
        assert_eq!(for_tasks.len(), MAX_WAITING_PER_ACCOUNT);
        drop(of_all);
        drop(for_tasks);
        assert!(is_empty(&waiters) && join(&waiters, "a").is_some());
    }
}
