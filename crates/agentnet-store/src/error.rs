//! The store's one error type.

use agentnet_protocol::limits::TooLarge;

/// Error of a call on the store.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The account is bound to another public key (PROTOCOL.md 13.3, `auth_public_key_mismatch`).
    #[error("the account is bound to another public key")]
    KeyMismatch,
    /// The account's or session's name, capabilities or metadata are too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The database cannot be reached, is locked by another process, or is closed. The call may be repeated.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database's file is no longer where it was opened: later writes would be lost when the file is closed. The
    /// store rejects all calls.
    #[error("the database is gone: {0}")]
    Gone(String),
    /// A pooler before the database cannot be used as it is set; the text says what to set.
    #[error("{0}")]
    Pooler(String),
    /// The database URL or path cannot be used; the text says what to change.
    #[error("{0}")]
    Open(String),
    /// The database holds something that this version cannot read.
    #[error("the database holds data that cannot be read: {0}")]
    Corrupt(String),
    /// The database refused the statement.
    #[error("the database failed: {0}")]
    Database(String),
}

impl StoreError {
    /// Whether nothing else would succeed now either: the database cannot be reached.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Gone(_))
    }
}
