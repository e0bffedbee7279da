//! The receipts that a signing node expects.

use std::collections::HashMap;

use agentnet_protocol::Text;
use parking_lot::{Mutex, MutexGuard};

/// The accounts from which receipts are expected, by message id; `None` for a message to a capability, for which any account
/// may give one.
#[derive(Debug, Default)]
pub(super) struct ExpectedReceipts(Mutex<HashMap<Text, Option<Text>>>);

impl ExpectedReceipts {
    pub(super) fn insert(&self, message_id: Text, account_id: Option<Text>) {
        self.lock().insert(message_id, account_id);
    }

    pub(super) fn remove(&self, message_id: &Text) {
        self.lock().remove(message_id);
    }

    /// The expectation for a message, if there is one.
    pub(super) fn get(&self, message_id: &Text) -> Option<Option<Text>> {
        self.lock().get(message_id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Text, Option<Text>>> {
        self.0.lock()
    }
}
