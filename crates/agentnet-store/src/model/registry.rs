//! The registries that run on a database (PROTOCOL.md section 10.3).

use std::fmt;

use agentnet_protocol::Timestamp;

use crate::error::StoreError;

/// A registry that runs on this database (table `agentnet_registries`).
#[derive(Clone, PartialEq, Eq)]
pub struct Registry {
    /// Tells one run of a registry from every other, even of the same name.
    pub number: u64,
    /// Server id of the registry.
    pub server_id: String,
    /// What its announcements are authenticated with.
    pub announce_key: String,
    /// By which the broker knows it, in secure mode.
    pub nkey: Option<String>,
    /// When it last said here that it runs (coarse).
    pub beat_at: Timestamp,
}

impl Registry {
    /// A number as it is stored and written: 16 hexadecimal digits.
    #[must_use]
    pub fn number_text(number: u64) -> String {
        format!("{number:016x}")
    }

    /// Reads [`Registry::number_text`].
    pub(crate) fn read_number(text: &str) -> Result<u64, StoreError> {
        u64::from_str_radix(text, 16)
            .map_err(|error| StoreError::Corrupt(format!("a registry's number {text:?}: {error}")))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("number", &self.number)
            .field("server_id", &self.server_id)
            .field("beat_at", &self.beat_at)
            .finish_non_exhaustive()
    }
}
