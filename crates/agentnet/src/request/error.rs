//! Why a request has no reply.

use std::time::Duration;

use agentnet_protocol::DecodeError;

use crate::send::error::SendError;
use crate::username_cache::error::ResolveError;

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The subject has no responders.
    #[error("no responders: nobody listens on {subject}")]
    NoResponders {
        /// Where it was sent.
        subject: String,
    },
    /// No reply came.
    #[error("no reply to message {message_id} within {} s", timeout.as_secs_f64())]
    Timeout {
        /// The message id of the request.
        message_id: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// Under signed identity: no reply came that the account asked has signed, but others did.
    #[error(
        "no reply to message {message_id} within {} s; {refused} others were not taken, the last one for {why}",
        timeout.as_secs_f64()
    )]
    Untrusted {
        /// The message id of the request.
        message_id: String,
        /// How long it was waited for.
        timeout: Duration,
        /// Replies that were not taken.
        refused: u32,
        /// The code of the last one: `auth_*`, or what it is not.
        why: &'static str,
    },
    /// What came in time is not a message.
    #[error("the reply to message {message_id} cannot be read: {why}")]
    Invalid {
        /// The message id of the request.
        message_id: String,
        /// What is wrong with it.
        why: DecodeError,
    },
}

impl From<ResolveError> for RequestError {
    fn from(error: ResolveError) -> Self {
        Self::Send(SendError::Resolve(error))
    }
}
