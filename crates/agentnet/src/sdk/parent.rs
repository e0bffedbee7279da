//! The parent of the next message in a conversation.

use std::sync::Arc;

use parking_lot::Mutex;

/// The message that the next one follows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parent(Arc<Mutex<Option<String>>>);

impl Parent {
    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().clone()
    }

    pub(crate) fn set(&self, message_id: Option<String>) {
        *self.0.lock() = message_id;
    }
}
