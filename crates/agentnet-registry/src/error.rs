//! Why a registry could not be started.

use agentnet_keys::KeyFileError;
use agentnet_nats::NatsUrlError;
use agentnet_store::StoreError;

use crate::config::ConfigError;

/// Why a registry could not be started; the text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server's address cannot be read.
    #[error("NATS_URL: {0}")]
    Url(#[from] NatsUrlError),
    /// No server answers there.
    #[error("cannot connect to NATS at {url}: {reason}. Is nats-server running there?")]
    Connect {
        /// The address, credentials hidden.
        url: String,
        /// What the client says.
        reason: String,
    },
    /// The server refuses the credentials.
    #[error("NATS at {url} refused the connection: {reason}. Check the token in NATS_URL (nats://TOKEN@host:port)")]
    Refused {
        /// The address, credentials hidden.
        url: String,
        /// What the server says.
        reason: String,
    },
    /// The credential is not that of a registry.
    #[error(
        "the credential in NATS_URL is of account {0}, which is no registry's: use the registry's own identity file \
         (`agentnet up --secure` makes one)"
    )]
    Credential(String),
    /// The members of a network in secure mode cannot be read, or brought to the broker.
    #[error("the members of the network cannot be used: {0}")]
    Members(String),
    /// The keys of the secure mode, or the system account, cannot be used.
    #[error("the authority of the secure mode cannot be used: {0}")]
    Authority(String),
    /// The metrics cannot be served where they were asked for.
    #[error(transparent)]
    Metrics(#[from] agentnet_metrics_http::BindError),
    /// The connection was lost while the registry started.
    #[error("the connection to NATS was lost during start: {0}")]
    Nats(String),
    /// JetStream is there but the stream of the history cannot be set up.
    #[error("JetStream cannot keep the message history: {0}")]
    Capture(String),
    /// The registry's own key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The database cannot be opened or read.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
}

/// Why a running registry cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// The file of its database was removed or replaced, with the store's error.
    #[error("{0}")]
    Database(String),
    /// The NATS client has ended over a message that it could not parse. A registry that is started again on the same store
    /// continues where this one ended.
    #[error("the NATS client ended over a message that it could not read")]
    Connection,
}
