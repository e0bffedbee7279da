//! What a host tells of its messages, for a log on a terminal.

use std::sync::Arc;
use std::time::Duration;

use agentnet::Message;

/// Something that happened to a message.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HostEvent {
    /// An agent got a message.
    Received {
        /// Key of the agent.
        agent: Arc<str>,
        /// The message at hand.
        message: Message,
    },
    /// An agent has answered a message.
    Answered {
        /// Key of the agent.
        agent: Arc<str>,
        /// The message at hand.
        message: Message,
        /// Text of the answer.
        text: String,
        /// How long it took.
        time: Duration,
    },
    /// An agent has no answer to a message.
    Failed {
        /// Key of the agent.
        agent: Arc<str>,
        /// The message at hand.
        message: Message,
        /// Code of the error reply.
        code: String,
        /// What happened, for people.
        detail: String,
        /// How long it took.
        time: Duration,
    },
}
