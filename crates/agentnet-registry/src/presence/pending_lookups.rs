//! Lookups of sessions and accounts that events need, in bounded number. Requests can wait for those that came before them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};

/// Lookups that run at the same time: requests need connections to the database too.
const CONCURRENCY: usize = 8;
/// Lookups that may be pending. An event beyond is dropped; the next hello of its session counts.
const MAX_PENDING_LOOKUPS: usize = 10_000;
/// Pending lookups of announcements without proof, and how many of them run at the same time. A registry that has just started
/// has no proof until its row was read.
const MAX_UNPROVEN_LOOKUPS: usize = 1_000;
const UNPROVEN_CONCURRENCY: usize = 4;
/// How long a request waits for the lookups of events that came before it.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(500);

/// The pending lookups.
#[derive(Debug)]
pub(crate) struct PendingLookups {
    pending: watch::Sender<usize>,
    places: Semaphore,
    turns: Semaphore,
    failed: AtomicBool,
    unproven_places: Arc<Semaphore>,
    unproven_turns: Semaphore,
    /// Accounts of which a session's goodbye is being verified, and how many goodbyes.
    goodbyes: Mutex<HashMap<String, usize>>,
}

impl Default for PendingLookups {
    fn default() -> Self {
        Self {
            pending: watch::Sender::new(0),
            places: Semaphore::new(MAX_PENDING_LOOKUPS),
            turns: Semaphore::new(CONCURRENCY),
            failed: AtomicBool::new(false),
            unproven_places: Arc::new(Semaphore::new(MAX_UNPROVEN_LOOKUPS)),
            unproven_turns: Semaphore::new(UNPROVEN_CONCURRENCY),
            goodbyes: Mutex::default(),
        }
    }
}

impl PendingLookups {
    /// Waits until no lookup is pending, at most [`SETTLE_TIMEOUT`].
    pub(crate) async fn settled(&self) {
        let mut pending = self.pending.subscribe();
        let _ = tokio::time::timeout(SETTLE_TIMEOUT, pending.wait_for(|pending| *pending == 0)).await;
    }

    /// Whether a lookup has failed since the last call: profiles may be missing.
    pub(crate) fn take_failed(&self) -> bool {
        self.failed.swap(false, Ordering::Relaxed)
    }

    /// A lookup has failed.
    pub(crate) fn failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether a goodbye of a session of this account is being verified.
    pub(crate) fn has_goodbye(&self, account_id: &str) -> bool {
        self.lock_goodbyes().contains_key(account_id)
    }

    /// A goodbye of a session of this account is being verified until the guard is dropped.
    pub(super) fn verify_goodbye(self: &Arc<Self>, account_id: String) -> PendingGoodbye {
        *self.lock_goodbyes().entry(account_id.clone()).or_default() += 1;
        PendingGoodbye {
            lookups: Arc::clone(self),
            account_id,
        }
    }

    fn lock_goodbyes(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.goodbyes.lock()
    }

    /// A place for one more lookup; `None` if there are too many.
    pub(super) fn begin(self: &Arc<Self>) -> Option<PendingLookup> {
        let permit = self.places.try_acquire().ok()?;
        permit.forget();
        self.pending.send_modify(|pending| *pending += 1);
        Some(PendingLookup(Arc::clone(self)))
    }

    /// A place for one more lookup without proof; `None` if there are too many.
    pub(super) fn begin_unproven(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.unproven_places).try_acquire_owned().ok()
    }

    /// Waits until a lookup without proof may run; it runs while the permit is held.
    pub(super) async fn unproven_turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.unproven_turns.acquire().await.ok()
    }
}

/// A lookup, pending until it is dropped.
pub(super) struct PendingLookup(Arc<PendingLookups>);

impl PendingLookup {
    /// Waits until the lookup may run; it runs while the permit is held.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.0.turns.acquire().await.ok()
    }

    /// The lookup has failed.
    pub(super) fn failed(&self) {
        self.0.failed();
    }
}

impl Drop for PendingLookup {
    fn drop(&mut self) {
        self.0.pending.send_modify(|pending| *pending -= 1);
        self.0.places.add_permits(1);
    }
}

/// See [`PendingLookups::verify_goodbye`].
pub(super) struct PendingGoodbye {
    lookups: Arc<PendingLookups>,
    account_id: String,
}

impl Drop for PendingGoodbye {
    fn drop(&mut self) {
        let mut goodbyes = self.lookups.lock_goodbyes();
        if let Some(count) = goodbyes.get_mut(&self.account_id) {
            *count -= 1;
            if *count == 0 {
                goodbyes.remove(&self.account_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goodbye_is_pending_until_the_last_one_was_verified() {
        let lookups = Arc::new(PendingLookups::default());
        let first = lookups.verify_goodbye("acct_a".to_owned());
        let second = lookups.verify_goodbye("acct_a".to_owned());
        drop(first);
        assert!(lookups.has_goodbye("acct_a") && !lookups.has_goodbye("acct_b"));
        drop(second);
        assert!(!lookups.has_goodbye("acct_a"));
    }
}
