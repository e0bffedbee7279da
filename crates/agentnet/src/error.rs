//! What can go wrong, one type an operation family. Texts are those of PROTOCOL.md section 11.

use std::time::Duration;

pub use agentnet_keys::KeyFileError;
use agentnet_protocol::DecodeError;
use agentnet_protocol::subject::MAX_ROUTABLE_BYTES;
use agentnet_protocol::target::TargetError;

use crate::config::ConfigError;
use crate::connect::ConnectError;
pub use crate::identity::RotateError;

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

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The node was told something impossible.
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
        /// Which subject.
        subject: String,
        /// What the client said.
        why: String,
    },
    /// The metrics cannot be served where they were asked for.
    #[error("cannot serve metrics on {address}: {why}")]
    MetricsAddress {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system says.
        why: String,
    },
    /// It runs already.
    #[error("the node is running already")]
    Running,
}

/// Why a username has no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Nobody has that name.
    #[error("No account found for username '{0}'")]
    NotFound(String),
    /// No account can have that name.
    #[error(transparent)]
    Username(#[from] agentnet_protocol::username::UnusableName),
    /// The registry could not be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The node has not been started, or is closed.
    #[error("the node is not running: start it first")]
    NotRunning,
    /// The target is no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The target's username has no account.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The target cannot be part of a subject.
    #[error(
        "cannot route to `{}`: account ids and capabilities must not contain white space, `.`, `*` or `>`, and have at most {} bytes",
        shown(.0),
        MAX_ROUTABLE_BYTES
    )]
    Unroutable(String),
    /// The message is larger than `max_payload_bytes`.
    #[error("message of {size} bytes exceeds max_payload_bytes={limit}")]
    TooLarge {
        /// Size of the wire text in bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The payload is no JSON.
    #[error("the payload cannot be written as JSON: {0}")]
    Payload(String),
    /// The receiver refused it.
    #[error("delivery_rejected {code}: {detail}")]
    Rejected {
        /// The code of section 12.
        code: String,
        /// What it means.
        detail: String,
        /// The message.
        message_id: String,
    },
    /// The receiver accepted it, and then its handler failed, timed out, or was given up (only with
    /// [`Until::Processed`](crate::Until)). The receiver forgets the message id, so that it may be sent again under it.
    #[error("not_processed {code}: {detail}")]
    NotProcessed {
        /// The code of section 12: `handler_error`, `timeout`, `shutting_down` or `service_degraded`.
        code: String,
        /// What it means.
        detail: String,
        /// The message.
        message_id: String,
    },
    /// The receiver accepted it, and did not say in time how the handling ended (only with
    /// [`Until::Processed`](crate::Until)). It may still be handled.
    #[error("processing_timeout message_id={message_id}: accepted, but not reported as processed within {} s", timeout.as_secs_f64())]
    ProcessingTimeout {
        /// The message.
        message_id: String,
        /// How long it was waited for after the acceptance.
        timeout: Duration,
    },
    /// The receiver sent a receipt that says nothing.
    #[error("delivery_ack_unusable status={status} message_id={message_id}")]
    AckUnusable {
        /// What it said.
        status: String,
        /// The message.
        message_id: String,
    },
    /// No receipt came.
    #[error("delivery_ack_timeout message_id={message_id} attempts={attempts}")]
    AckTimeout {
        /// The message.
        message_id: String,
        /// How often it was published.
        attempts: u32,
    },
    /// The NATS server does not permit this connection's user to publish or subscribe there.
    #[error("{0}")]
    Denied(String),
    /// The message to answer has no reply subject.
    #[error("Cannot reply: incoming message has no reply_to subject.")]
    NoReplySubject,
    /// The connection is closed, or lost and not yet back. While it is lost nothing is sent, so that to send it again cannot
    /// double it.
    #[error("the message could not be published: {0}")]
    Connection(String),
}

/// As much of a text as an error shows.
fn shown(text: &str) -> std::borrow::Cow<'_, str> {
    const SHOWN_CHARS: usize = 128;
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

impl SendError {
    /// Whether the receiver took the message in, and what failed came later.
    #[must_use]
    pub fn was_accepted(&self) -> bool {
        matches!(self, Self::NotProcessed { .. } | Self::ProcessingTimeout { .. })
    }
}

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Nobody listens there.
    #[error("no responders: nobody listens on {subject}")]
    NoResponders {
        /// Where it was sent.
        subject: String,
    },
    /// No reply came.
    #[error("no reply to message {message_id} within {} s", timeout.as_secs_f64())]
    Timeout {
        /// The request.
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
        /// The request.
        message_id: String,
        /// How long it was waited for.
        timeout: Duration,
        /// Replies that were not taken.
        refused: u32,
        /// The code of the last one: `auth_*`, or what it is not.
        why: &'static str,
    },
    /// What came in time is no message.
    #[error("the reply to message {message_id} cannot be read: {why}")]
    Invalid {
        /// The request.
        message_id: String,
        /// What is wrong with it.
        why: DecodeError,
    },
}
