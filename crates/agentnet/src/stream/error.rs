//! Why a stream ended before its end.

use std::time::Duration;

use agentnet_protocol::DecodeError;
use agentnet_protocol::stream::AssembleError;

use crate::error::{ResolveError, SendError};

/// Why a stream broke off, for its reader or for its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The request, or a frame, could not be sent; [`SendError::NotRunning`] also where the node was closed in the middle.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The subject has no responders.
    #[error("no responders: nobody listens on {subject}")]
    NoResponders {
        /// Where the request was sent.
        subject: String,
    },
    /// Nothing came at all.
    #[error("no reply to message {message_id} within {} s", timeout.as_secs_f64())]
    Timeout {
        /// The message id of the request.
        message_id: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The stream went silent, with nothing missing before.
    #[error("the stream went silent after frame {last_seq}: nothing came for {} s", idle.as_secs_f64())]
    Idle {
        /// The number of the last frame.
        last_seq: u64,
        /// The idle timeout.
        idle: Duration,
    },
    /// Frames were lost: later ones came, these did not.
    #[error("{count} frames of the stream are missing (the first: {first:?}): none came for {} s", idle.as_secs_f64())]
    Missing {
        /// The first few numbers.
        first: Vec<u64>,
        /// How many are missing.
        count: u64,
        /// The idle timeout.
        idle: Duration,
    },
    /// The sender reported a failure: by a `stream_error`, or by an error reply.
    #[error("{code}: {detail}")]
    Failed {
        /// The code of the failure.
        code: String,
        /// Its sentence; may be empty.
        detail: String,
    },
    /// A piece that no reader takes was to be sent.
    #[error("a piece of a stream is any JSON but null: send nothing where there is nothing to send")]
    NullPiece,
    /// The reader has cancelled it. Only senders see this.
    #[error("the reader has cancelled the stream")]
    Cancelled,
    /// More came than the reader took out and its buffer holds.
    #[error("the reader is too slow: more than {frames} frames or {bytes} bytes were waiting")]
    TooSlow {
        /// Frames that the buffer holds.
        frames: usize,
        /// Bytes that the buffer holds.
        bytes: usize,
    },
    /// The frames are more than the assembler may hold.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// What came is not a message.
    #[error("a reply to message {message_id} cannot be read: {why}")]
    Invalid {
        /// The message id of the request.
        message_id: String,
        /// What is wrong with it.
        why: DecodeError,
    },
    /// What came is a message, but its payload is not a frame.
    #[error("a frame in reply to message {message_id} cannot be read: {why}")]
    Frame {
        /// The message id of the request.
        message_id: String,
        /// What is wrong with it.
        why: agentnet_protocol::stream::StreamError,
    },
}

impl From<ResolveError> for StreamError {
    fn from(error: ResolveError) -> Self {
        Self::Send(SendError::Resolve(error))
    }
}
