//! What a node remembers of its sends that ask for the mailbox, so that those to one receiver stay in order (PROTOCOL.md section
//! 21.2). It outlives a session.

use std::time::Duration;

use agentnet_protocol::Text;
use agentnet_protocol::target::Target;

use super::lines::{Lines, Place};
use super::queued_receivers::QueuedReceivers;
use crate::route::Destination;

/// How long a send waits for the earlier ones to its receiver: many puts by a slow registry.
pub(crate) const LINE_TIMEOUT: Duration = Duration::from_secs(30);

/// The sends of one node that ask for the mailbox.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) receivers: QueuedReceivers,
    /// Sends that are neither published nor put yet, in the order of the calls, by destination.
    calls: Lines,
    /// Sends of which it is open whether they are put, in the order in which they were published, by account.
    puts: Lines,
}

impl Outbox {
    /// Joins the line of the calls to a destination.
    pub(crate) fn call(&self, destination: &Destination) -> Place {
        self.calls.enter(match destination {
            Destination::Text(text, _) | Destination::SdkText(text) => Text::from(text.as_str()),
            Destination::OneOf(targets) => targets.first().map(name).unwrap_or_default(),
            Destination::Target(target) => name(target),
        })
    }

    /// Joins the line of the puts to an account.
    pub(crate) fn put(&self, account_id: &Text) -> Place {
        self.puts.enter(account_id.clone())
    }
}

fn name(target: &Target) -> Text {
    match target {
        Target::Username(username) => Text::from(format!("@{username}")),
        Target::Account(id) | Target::Capability(id) => Text::from(id.as_str()),
    }
}
