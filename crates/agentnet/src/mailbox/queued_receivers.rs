//! The accounts for which messages of this node wait: what it sends to them next is put behind those (PROTOCOL.md section 21.2).

use agentnet_protocol::Text;
use parking_lot::Mutex;

use crate::bounded_cache::{BoundedCache, bounded_cache};

/// Accounts that are remembered. A message to one that is forgotten is published first again, and may overtake others.
const MAX_ACCOUNTS: usize = 10_000;

/// The accounts to which the node puts messages directly.
pub(crate) struct QueuedReceivers(Mutex<BoundedCache<Text, ()>>);

impl Default for QueuedReceivers {
    fn default() -> Self {
        Self(Mutex::new(bounded_cache(MAX_ACCOUNTS)))
    }
}

impl QueuedReceivers {
    /// A message for this account waits.
    pub(crate) fn insert(&self, account_id: &Text) {
        self.0.lock().insert(account_id.clone(), ());
    }

    /// Nothing waits for this account any more.
    pub(crate) fn remove(&self, account_id: &Text) {
        self.0.lock().remove(account_id);
    }

    /// Whether messages for this account may wait.
    pub(crate) fn contains(&self, account_id: &Text) -> bool {
        self.0.lock().get(account_id).is_some()
    }
}
