//! Who published a message, and for which receiver, as its subject proves it in secure mode (PROTOCOL.md sections 23.1 and 23.6).

use agentnet_nats::Issuer;
use agentnet_protocol::Envelope;
use agentnet_protocol::subject::{REPLY_PREFIX, Subject, split_issuer};

/// What a subject proves.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// Without secure mode, a message may name each account as its sender.
    NotNeeded,
    /// The account that published the message, and where it goes.
    Issued {
        /// Account of the publisher.
        issuer: Box<str>,
        /// Where the message goes.
        receiver: Receiver,
    },
    /// The subject is none on which agents publish messages.
    Missing,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// To the inbox of an account.
    Account(Box<str>),
    /// To an agent with a capability.
    Capability,
    /// To the account that waits for a reply.
    Requester(Box<str>),
}

impl Proof {
    /// What a subject proves to a registry that publishes as this issuer.
    pub(crate) fn of(own: &Issuer, subject: &str) -> Self {
        if own.account_id().is_none() {
            return Self::NotNeeded;
        }
        let receiver = match Subject::parse(subject) {
            Some(Subject::Inbox {
                account_id,
                issuer: Some(_),
            }) => Receiver::Account(account_id.into()),
            Some(Subject::Capability { issuer: Some(_), .. }) => Receiver::Capability,
            Some(Subject::Reply) => match requester(subject) {
                Some(account_id) => Receiver::Requester(account_id.into()),
                None => return Self::Missing,
            },
            _ => return Self::Missing,
        };
        match split_issuer(subject) {
            Some((_, issuer)) => Self::Issued {
                issuer: issuer.into(),
                receiver,
            },
            None => Self::Missing,
        }
    }

    /// Whether a message may name its sender and receiver as it does.
    pub(super) fn vouches_for(&self, message: &Envelope) -> bool {
        let (issuer, receiver) = match self {
            Self::NotNeeded => return true,
            Self::Missing => return false,
            Self::Issued { issuer, receiver } => (issuer, receiver),
        };
        let to = message.to_account_id.as_deref();
        let is_to_receiver = match receiver {
            Receiver::Account(account_id) => to == Some(account_id),
            Receiver::Capability => to.is_none(),
            // A sender puts a message that was delivered into the history by its own reply subject (section 11.4).
            Receiver::Requester(account_id) => account_id == issuer || to.is_none_or(|to| *to == **account_id),
        };
        is_to_receiver && message.from_account_id.as_deref() == Some(issuer)
    }

    /// The account that the broker proves.
    pub(super) fn issuer(&self) -> Option<&str> {
        match self {
            Self::Issued { issuer, .. } => Some(issuer),
            Self::NotNeeded | Self::Missing => None,
        }
    }
}

/// The account in `agentnet.reply.<account>.…`.
fn requester(subject: &str) -> Option<&str> {
    let rest = subject.strip_prefix(REPLY_PREFIX)?.strip_prefix('.')?;
    Some(rest.split_once('.')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(from: &str, to: Option<&str>) -> Envelope {
        Envelope {
            from_account_id: Some(from.to_owned().into()),
            to_account_id: to.map(|to| to.to_owned().into()),
            ..Envelope::default()
        }
    }

    #[test]
    fn a_message_counts_as_its_subject_proves() {
        let own = Issuer::new(Some("acct_registry_1"));
        for (subject, from, to, counts) in [
            ("account.bob.inbox.alice", "alice", Some("bob"), true),
            ("account.bob.inbox.mallory", "alice", Some("bob"), false),
            ("account.bob.inbox.alice", "alice", Some("carol"), false),
            ("account.bob.inbox.alice", "alice", None, false),
            ("account.bob.inbox", "alice", Some("bob"), false),
            ("account.*.inbox.alice", "alice", Some("*"), false),
            ("agent.capability.chat.alice", "alice", None, true),
            ("agent.capability.chat.alice", "alice", Some("bob"), false),
            ("agentnet.reply.alice.t.1.bob", "bob", Some("alice"), true),
            ("agentnet.reply.alice.t.1.bob", "bob", Some("carol"), false),
            ("agentnet.reply.alice.t.1.bob", "carol", Some("alice"), false),
            ("agentnet.reply.alice.t.nobody.alice", "alice", Some("bob"), true),
            ("_INBOX.x.alice", "alice", Some("bob"), false),
        ] {
            let proof = Proof::of(&own, subject);
            assert_eq!(proof.vouches_for(&message(from, to)), counts, "{subject} {from} {to:?}");
        }
        assert!(Proof::of(&Issuer::default(), "account.bob.inbox").vouches_for(&message("x", None)));
    }
}
