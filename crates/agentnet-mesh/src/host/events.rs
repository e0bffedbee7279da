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
        /// The message.
        message: Message,
    },
    /// An agent is done with a message.
    Finished {
        /// Key of the agent.
        agent: Arc<str>,
        /// The message.
        message: Message,
        /// How long it took.
        time: Duration,
        /// Why its handler failed, if it did.
        error: Option<String>,
    },
}
