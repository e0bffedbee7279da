//! Who published a message, and for which receiver, as its subject proves it in secure mode (PROTOCOL.md sections 23.1 and 23.6).

use agentnet_nats::Issuer;
use agentnet_protocol::Envelope;
use agentnet_protocol::permissions::CAPABILITY_PREFIX;
use agentnet_protocol::subject::{REPLY_PREFIX, Subject, split_issuer};
use agentnet_store::model::BlobShare;

use crate::blobs;

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
    /// To an agent with this capability.
    Capability(Box<str>),
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
            Some(Subject::Capability {
                capability,
                issuer: Some(_),
            }) => Receiver::Capability(capability.into()),
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
            Receiver::Capability(_) => to.is_none(),
            // A sender puts a message that was delivered into the history by its own reply subject (section 11.4).
            Receiver::Requester(account_id) => account_id == issuer || to.is_none_or(|to| *to == **account_id),
        };
        is_to_receiver && message.from_account_id.as_deref() == Some(issuer)
    }

    /// The blobs that a message names, which its receiver may read from then on (section 23.13).
    pub(super) fn shares(&self, message: &Envelope) -> Vec<BlobShare> {
        let Self::Issued { issuer, receiver } = self else {
            return Vec::new();
        };
        let payload = message.payload.get();
        let to = match receiver {
            Receiver::Capability(name) => return blobs::shares(payload, issuer, &format!("{CAPABILITY_PREFIX}{name}")),
            Receiver::Account(account_id) => Some(&**account_id),
            Receiver::Requester(account_id) if account_id == issuer => message.to_account_id.as_deref(),
            Receiver::Requester(account_id) => Some(&**account_id),
        };
        to.map_or_else(Vec::new, |to| blobs::shares(payload, issuer, to))
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

    #[test]
    fn the_receiver_of_a_message_is_named_its_blobs() {
        let own = Issuer::new(Some("acct_registry_1"));
        let payload = r#"{"blob_id":"blob_01khzkcw3v04hmasw9nf6yy093"}"#;
        for (subject, to, receiver) in [
            ("account.bob.inbox.alice", Some("bob"), Some("bob")),
            ("agent.capability.chat.alice", None, Some("capability:chat")),
            ("agentnet.reply.bob.t.1.alice", Some("bob"), Some("bob")),
            ("agentnet.reply.bob.t.1.alice", None, Some("bob")),
            ("agentnet.reply.alice.t.nobody.alice", Some("bob"), Some("bob")),
            ("agentnet.reply.alice.t.nobody.alice", None, None),
            ("account.bob.inbox", Some("bob"), None),
        ] {
            let message = Envelope {
                payload: agentnet_protocol::RawJson::parse(payload).unwrap(),
                ..message("alice", to)
            };
            let shares = Proof::of(&own, subject).shares(&message);
            let named = shares.first().map(|share| share.receiver.as_str());
            assert_eq!(
                (named, shares.len()),
                (receiver, usize::from(receiver.is_some())),
                "{subject}"
            );
            assert!(shares.iter().all(|share| share.from_account == "alice"));
            assert!(Proof::of(&Issuer::default(), subject).shares(&message).is_empty());
        }
    }
}
