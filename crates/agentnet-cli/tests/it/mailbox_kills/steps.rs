//! What is killed, and when.

use serde_json::Value;

/// A part of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Receiver,
    Registry,
    Nats,
    Database,
}

impl Victim {
    pub(crate) const ALL: [Self; 4] = [Self::Receiver, Self::Registry, Self::Nats, Self::Database];
}

/// How far a message is, as the wire shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is on its way to the inbox.
    Published,
    /// It is in the mailbox.
    Queued,
    /// The receiver, started again, asks for it.
    Leased,
    /// The receiver has accepted it.
    Accepted,
    /// The receiver has handled it.
    Processed,
    /// The receiver tells the registry so.
    Acknowledged,
    /// The registry has noted it.
    Delivered,
}

impl Step {
    pub(crate) const ALL: [Self; 7] = [
        Self::Published,
        Self::Queued,
        Self::Leased,
        Self::Accepted,
        Self::Processed,
        Self::Acknowledged,
        Self::Delivered,
    ];

    /// Whether the receiver is away at this step: the message is left for it.
    pub(crate) fn is_before_delivery(self) -> bool {
        matches!(self, Self::Published | Self::Queued)
    }

    /// Whether a message on this subject shows the step.
    pub(crate) fn is_shown_by(self, subject: &str, body: &[u8], parties: &Parties) -> bool {
        let member = |name: &str| {
            let body: Option<Value> = serde_json::from_slice(body).ok();
            body.and_then(|body| body[name].as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        let receipt = |status: &str| {
            subject == format!("account.{}.receipts", parties.sender)
                && member("status") == status
                && member("from_account_id") == parties.receiver
        };
        let event = |event: &str| {
            subject == format!("agentnet.events.{}.mailbox", parties.receiver) && member("event") == event
        };
        match self {
            Self::Published => subject == format!("account.{}.inbox", parties.receiver),
            Self::Queued => event("queued"),
            Self::Leased => subject == "registry.mailbox_lease",
            Self::Accepted => receipt("accepted"),
            Self::Processed => receipt("processed"),
            Self::Acknowledged => subject == "registry.mailbox_ack",
            Self::Delivered => event("delivered"),
        }
    }
}

/// The accounts of a network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parties {
    pub(crate) sender: String,
    pub(crate) receiver: String,
}

/// One run of the test: who is killed, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) victim: Victim,
    pub(crate) step: Step,
}
