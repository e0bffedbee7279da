//! The parent of the next message in a conversation.

use std::sync::{Arc, Mutex, PoisonError};

/// The message that the next one follows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parent(Arc<Mutex<Option<String>>>);

impl Parent {
    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, message_id: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = message_id;
    }
}
