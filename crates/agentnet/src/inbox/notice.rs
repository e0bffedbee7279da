//! What the intake is told besides the messages of its subscriptions.

use std::sync::Arc;

use agentnet_protocol::Envelope;

use crate::mailbox::lease::Lease;
use crate::message::Message;

/// What the intake is told besides the messages of its subscriptions.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The handling of a message failed. A worker says so before it reports to the sender, so that the guards have forgotten the
    /// message when the sender retries.
    Failed(Message),
    /// A message of the mailbox, to be taken as one of the inbox.
    Leased(Box<LeasedInbound>),
}

/// A message of the mailbox.
#[derive(Debug)]
pub(crate) struct LeasedInbound {
    pub(crate) envelope: Envelope,
    /// Bytes of its wire text.
    pub(crate) size: usize,
    pub(crate) lease: Arc<Lease>,
}
