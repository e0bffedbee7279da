//! Who published a message.

use agentnet_nats::Issuer;
use agentnet_protocol::subject::split_issuer;

/// Who published a message, as the broker proves it in secure mode (PROTOCOL.md section 23.1).
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// Without secure mode, a message may name each account as its sender.
    NotNeeded,
    /// The last token of the subject; `None` if the subject has none.
    Issuer(Option<Box<str>>),
}

impl Proof {
    /// What a subject proves to a registry that publishes as this issuer.
    pub(crate) fn of(own: &Issuer, subject: &str) -> Self {
        match own.account_id() {
            None => Self::NotNeeded,
            Some(_) => Self::Issuer(split_issuer(subject).map(|(_, issuer)| issuer.into())),
        }
    }

    /// Whether a message may name this sender.
    pub(super) fn vouches_for(&self, sender: Option<&str>) -> bool {
        match self {
            Self::NotNeeded => true,
            Self::Issuer(issuer) => issuer.is_some() && issuer.as_deref() == sender,
        }
    }

    /// The account that the broker proves.
    pub(super) fn issuer(&self) -> Option<&str> {
        match self {
            Self::NotNeeded => None,
            Self::Issuer(issuer) => issuer.as_deref(),
        }
    }
}
