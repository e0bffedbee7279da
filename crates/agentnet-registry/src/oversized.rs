//! Accounts that hold more than may be stored now (PROTOCOL.md section 0.11): an earlier version had no bounds. They work on;
//! their next registration is refused until their agents say less, so `agentnet doctor` names them before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentnet_store::model::Oversized;

use crate::context::Context;

/// How often is looked: the whole table is read.
pub(crate) const LOOK: Duration = Duration::from_secs(60 * 60);
/// Accounts that are named.
const NAMED: usize = 20;

/// What was found at the last look.
#[derive(Debug, Default)]
pub(crate) struct OversizedAccounts(Mutex<Vec<Oversized>>);

impl OversizedAccounts {
    fn lock(&self) -> MutexGuard<'_, Vec<Oversized>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most [`NAMED`] of them.
    pub(crate) fn named(&self) -> Vec<Oversized> {
        self.lock().clone()
    }

    /// An account has just been stored anew, within the bounds.
    pub(crate) fn fits(&self, username: &str) {
        self.lock().retain(|account| account.username != username);
    }
}

/// Looks through all accounts.
pub(crate) async fn look(ctx: Arc<Context>) {
    let found = ctx.store.oversized_accounts(ctx.config.max_metadata_bytes, NAMED).await;
    match found {
        Ok(found) => *ctx.oversized.lock() = found,
        Err(error) => tracing::debug!(%error, "it is not known which accounts hold more than may be stored now"),
    }
}
