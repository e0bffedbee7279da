//! Why a username could not be resolved.

use crate::registry::error::RegistryError;

/// Why a username has no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// No account has that name.
    #[error("No account found for username '{0}'")]
    NotFound(String),
    /// No account can have that name.
    #[error(transparent)]
    Username(#[from] agentnet_protocol::username::UnusableName),
    /// The registry could not be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}
