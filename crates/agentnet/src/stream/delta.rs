//! What a reader gets: pieces, and the whole.

use std::borrow::Cow;

use agentnet_protocol::RawJson;
use agentnet_protocol::stream::piece_text;

use crate::message::Message;

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delta {
    /// Its number in the stream: rising, without repetitions. The stream's start, if it has one, is number 0.
    pub seq: u64,
    /// Any JSON, exactly as it was sent; most often a text.
    pub value: RawJson,
}

impl Delta {
    /// The piece's text: the piece itself where it is text, or the `text` member of an object; not trimmed.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        piece_text(&self.value)
    }
}

/// A stream that came to its end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamReply {
    /// The texts of all pieces, joined; if no piece had any, the text of the result.
    pub text: String,
    /// The result in the end, or the payload of an ordinary reply.
    pub result: Option<RawJson>,
    /// The metadata of the start.
    pub metadata: Option<RawJson>,
    /// Pieces in all.
    pub deltas: u64,
    /// The stream's id; of an ordinary reply, its message id.
    pub stream_id: String,
    /// The message that ended the stream, or the ordinary reply.
    pub message: Message,
}
