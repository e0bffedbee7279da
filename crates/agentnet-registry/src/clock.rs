//! The clock, and what is made of it and of random numbers: ids, tags, names.

use std::time::{Instant, SystemTime};

use agentnet_protocol::{Timestamp, ids};

/// One reading of both clocks: ages are measured on the monotonic one, and users see the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) time: Timestamp,
}

impl Now {
    pub(crate) fn read() -> Self {
        Self {
            instant: Instant::now(),
            time: SystemTime::now().into(),
        }
    }

    /// A new account id.
    pub(crate) fn account_id(self) -> String {
        ids::account_id(self.time.as_unix_millis(), rand::random())
    }

    /// A new session tag of this registry.
    pub(crate) fn session_tag(self, server_id: &str) -> String {
        ids::session_tag(server_id, self.time.as_unix_millis(), rand::random())
    }
}

/// The present time as text.
pub(crate) fn now_text() -> String {
    Now::read().time.to_string()
}

/// A username for an agent without a usable name.
pub(crate) fn generated_username() -> String {
    ids::generated_username(rand::random())
}
