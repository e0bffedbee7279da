//! Why a call of the registry failed.

use std::time::Duration;

use agentnet_protocol::DecodeError;

/// Why a call of the registry failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The registry refused it; the text is one of section 6, e.g. `not_found`.
    #[error("{0}")]
    Refused(String),
    /// No registry is connected to this network.
    #[error("No registry answers registry.{rpc}. Is it running?")]
    NoRegistry {
        /// Which call.
        rpc: &'static str,
    },
    /// It did not answer in time.
    #[error("Registry did not respond to registry.{rpc} within {} s", timeout.as_secs_f64())]
    Timeout {
        /// Which call.
        rpc: &'static str,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// Its reply is not what section 6 says.
    #[error("the registry's reply to registry.{rpc} cannot be read: {why}")]
    Invalid {
        /// Which call.
        rpc: &'static str,
        /// What is wrong with it.
        why: DecodeError,
    },
    /// The NATS server does not permit this connection's user to make the call, or to hear the answer.
    #[error("registry.{rpc} cannot be called: {why}")]
    Denied {
        /// Which call.
        rpc: &'static str,
        /// What is not permitted.
        why: String,
    },
    /// The connection is lost or closed, or the request is larger than the server takes.
    #[error("registry.{rpc} could not be sent: {why}")]
    Connection {
        /// Which call.
        rpc: &'static str,
        /// What the client said.
        why: String,
    },
}

impl RegistryError {
    /// Whether the registry answered that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(text) if text == "not_found")
    }
}
