//! Why an agent cannot be built.

use agentnet_nats::NatsUrlError;

/// Why an agent cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The agent id is empty.
    #[error("agent_id is required")]
    AgentIdRequired,
    /// The server's address cannot be used.
    #[error(transparent)]
    Url(#[from] NatsUrlError),
    /// The username would become another one.
    #[error(transparent)]
    Username(#[from] agentnet_protocol::username::UnusableName),
    /// The metadata is no JSON object.
    #[error("metadata must be a JSON object")]
    Metadata,
    /// A requested account id that the registry would refuse (section 0.5).
    #[error("account_id `{0}` is invalid: use 1 to 128 of A-Z a-z 0-9 _ -")]
    AccountId(String),
    /// An environment variable holds no number.
    #[error("{name}={value} is not a number")]
    Environment {
        /// The name of the variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
    /// `AGENTNET_BLOB_STORAGE` names no storage.
    #[error("AGENTNET_BLOB_STORAGE={0} is no blob storage: use local or nats_object")]
    BlobStorage(String),
}
