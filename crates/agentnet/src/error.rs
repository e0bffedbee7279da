//! The errors of the SDK, one type for each kind of operation. Each is defined beside its operation; here is the one of a node's
//! start, which is made of others.

pub use agentnet_keys::KeyFileError;

pub use crate::config::error::ConfigError;
pub use crate::connect::ConnectError;
pub use crate::identity::error::RotateError;
pub use crate::registry::error::{RegistryError, RegistryRefusal};
pub use crate::request::error::RequestError;
pub use crate::send::error::SendError;
pub use crate::username_cache::error::ResolveError;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The node's key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The registry refused the registration or did not answer.
    #[error("Registry register failed: {0}")]
    Register(#[source] RegistryError),
    /// A subscription was refused by the client.
    #[error("cannot subscribe to {subject}: {why}")]
    Subscribe {
        /// The subject that was subscribed to.
        subject: String,
        /// The error of the client.
        why: String,
    },
    /// The metrics cannot be served where they were asked for.
    #[error("cannot serve metrics on {address}: {why}")]
    MetricsAddress {
        /// The address to listen on.
        address: std::net::SocketAddr,
        /// The error of the system.
        why: String,
    },
    /// The registry gave another account than that of the credential, as which the broker lets this node publish.
    #[error(
        "the credential is of account {own}, and the registry has registered {registered}: start the agent under the \
         username of its identity"
    )]
    OtherAccount {
        /// The account of the credential.
        own: String,
        /// The account that the registry gave.
        registered: String,
    },
    /// The node runs already.
    #[error("the node is running already")]
    Running,
}
