//! The ids of a message that was sent.

use agentnet_protocol::{Envelope, Text};

/// The ids of a message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The id of the message.
    pub message_id: String,
    /// The id of its thread.
    pub thread_id: String,
    /// The id of its trace.
    pub trace_id: String,
}

impl From<&Envelope> for Sent {
    fn from(envelope: &Envelope) -> Self {
        let text = |text: &Option<Text>| text.as_deref().unwrap_or_default().to_owned();
        Self {
            message_id: envelope.message_id.to_string(),
            thread_id: text(&envelope.thread_id),
            trace_id: text(&envelope.trace_id),
        }
    }
}
