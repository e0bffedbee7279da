//! Why a call of the registry failed.

use std::time::Duration;

use agentnet_protocol::DecodeError;
use agentnet_protocol::mailbox::code_of;
use agentnet_protocol::page_walk::EndlessList;
use agentnet_protocol::register_auth::RegisterAuthError;
use agentnet_protocol::rpc::{Request, RpcError};

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
        /// The name of the RPC.
        rpc: &'static str,
    },
    /// It did not answer in time.
    #[error("Registry did not respond to registry.{rpc} within {} s", timeout.as_secs_f64())]
    Timeout {
        /// The name of the RPC.
        rpc: &'static str,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// Its reply is not one of section 6.
    #[error("the registry's reply to registry.{rpc} cannot be read: {why}")]
    Invalid {
        /// The name of the RPC.
        rpc: &'static str,
        /// What is wrong with it.
        why: DecodeError,
    },
    /// The list would never end: whoever answers gives cursors for ever.
    #[error("the pages of registry.{rpc} do not end: {why}")]
    Endless {
        /// The name of the RPC.
        rpc: &'static str,
        /// What tells so.
        why: EndlessList,
    },
    /// The NATS server does not permit this connection's user to make the call, or to receive the answer.
    #[error("registry.{rpc} cannot be called: {why}")]
    Denied {
        /// The name of the RPC.
        rpc: &'static str,
        /// What is not permitted.
        why: String,
    },
    /// The connection is lost or closed, or the request is larger than the server takes.
    #[error("registry.{rpc} could not be sent: {why}")]
    Connection {
        /// The name of the RPC.
        rpc: &'static str,
        /// The error of the client.
        why: String,
    },
}

/// What the registry refused a call for. The wire carries only a text; here is the one place that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryRefusal {
    /// `not_found`: there is no such account or thread.
    NotFound,
    /// A username was empty.
    UsernameRequired,
    /// The account is bound to another key.
    PublicKeyMismatch,
    /// Anything else.
    Other,
}

impl RegistryError {
    /// Whether the same request may succeed later: no registry answered, or its database failed (codes that end with `_failed`).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused(text) => code_of(text).ends_with("_failed"),
            Self::NoRegistry { .. } | Self::Timeout { .. } | Self::Connection { .. } => true,
            _ => false,
        }
    }

    /// The error for a list of this RPC that would never end.
    #[must_use]
    pub fn endless<R: Request>(why: EndlessList) -> Self {
        Self::Endless { rpc: R::NAME, why }
    }

    /// What the registry refused, if it answered.
    #[must_use]
    pub fn refusal(&self) -> Option<RegistryRefusal> {
        let Self::Refused(text) = self else { return None };
        Some(match text.as_str() {
            text if text == RpcError::NOT_FOUND.text() => RegistryRefusal::NotFound,
            text if text == RpcError::USERNAME_REQUIRED.text() => RegistryRefusal::UsernameRequired,
            text if text == RegisterAuthError::PublicKey.code() => RegistryRefusal::PublicKeyMismatch,
            _ => RegistryRefusal::Other,
        })
    }

    /// Whether the registry answered that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.refusal() == Some(RegistryRefusal::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_transient_and_a_refusal_is_not() {
        let refused = |text: &str| RegistryError::Refused(text.to_owned());
        let rpc = "task_status";
        for (error, is_transient) in [
            (RegistryError::NoRegistry { rpc }, true),
            (refused("task_failed: the store"), true),
            (refused("task_status_failed"), true),
            (refused("task_disabled: no"), false),
            (refused("not_found"), false),
        ] {
            assert_eq!(error.is_transient(), is_transient, "{error}");
        }
    }
}
