//! Why a message was not delivered. The texts are those of PROTOCOL.md section 11.

use std::time::Duration;

use agentnet_protocol::subject::MAX_ROUTABLE_BYTES;
use agentnet_protocol::target::TargetError;

use crate::username_cache::error::ResolveError;

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
        /// The limit in bytes.
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
        /// The id of the message.
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
        /// The id of the message.
        message_id: String,
    },
    /// The receiver accepted it, and did not say in time how the handling ended (only with
    /// [`Until::Processed`](crate::Until)). It may still be handled.
    #[error("processing_timeout message_id={message_id}: accepted, but not reported as processed within {} s", timeout.as_secs_f64())]
    ProcessingTimeout {
        /// The id of the message.
        message_id: String,
        /// How long it was waited for after the acceptance.
        timeout: Duration,
    },
    /// A message that asks for the mailbox was neither delivered nor kept, or its mailbox has given it up (PROTOCOL.md section
    /// 21.3, only with [`SendMessage::mailbox`](crate::SendMessage::mailbox)).
    #[error("{detail} ({code})")]
    Mailbox {
        /// A code of section 21.3 or 21.5, such as `mailbox_full`; `mailbox_unsupported` where no registry of the network keeps
        /// messages, `mailbox_failed` where it is not known whether the message is kept.
        code: String,
        /// What it means.
        detail: String,
        /// The id of the message.
        message_id: String,
    },
    /// The receiver sent a receipt with an unknown status.
    #[error("delivery_ack_unusable status={status} message_id={message_id}")]
    AckUnusable {
        /// The status in the receipt.
        status: String,
        /// The id of the message.
        message_id: String,
    },
    /// No receipt came.
    #[error("delivery_ack_timeout message_id={message_id} attempts={attempts}")]
    AckTimeout {
        /// The id of the message.
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
    const MAX_SHOWN_CHARS: usize = 128;
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
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
