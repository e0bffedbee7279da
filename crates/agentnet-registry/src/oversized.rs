//! Accounts larger than the limits of today (PROTOCOL.md section 0.11): earlier versions had none. They go on working, but
//! their next registration is rejected until their agents send less, so `agentnet doctor` lists them.

use std::time::Duration;

use agentnet_store::Store;
use agentnet_store::model::Oversized;
use parking_lot::{Mutex, MutexGuard};

/// Time between two checks: each reads the whole table.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Accounts that are listed.
const MAX_LISTED: usize = 20;

/// The result of the last check.
#[derive(Debug, Default)]
pub(crate) struct OversizedAccounts(Mutex<Vec<Oversized>>);

impl OversizedAccounts {
    fn lock(&self) -> MutexGuard<'_, Vec<Oversized>> {
        self.0.lock()
    }

    /// At most [`MAX_LISTED`] accounts.
    pub(crate) fn listed(&self) -> Vec<Oversized> {
        self.lock().clone()
    }

    /// An account was stored again, within the limits.
    pub(crate) fn remove(&self, username: &str) {
        self.lock().retain(|account| account.username != username);
    }

    /// Checks all accounts.
    pub(crate) async fn check(&self, store: &dyn Store, max_metadata_bytes: usize) {
        match store.oversized_accounts(max_metadata_bytes, MAX_LISTED).await {
            Ok(found) => *self.lock() = found,
            Err(error) => tracing::debug!(%error, "accounts larger than the limits could not be listed"),
        }
    }
}
