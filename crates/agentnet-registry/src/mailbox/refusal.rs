//! Why a message is not kept.

use std::borrow::Cow;
use std::sync::Arc;

use agentnet_protocol::mailbox::code;
use agentnet_store::StoreError;
use agentnet_store::model::MailboxLimits;

/// The text of a request that the store failed.
pub(crate) const STORE_FAILED: &str =
    "mailbox_failed: the registry's database did not take the request; try again later";

/// A rule that keeps a message out of the mailboxes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {sentence}")]
pub(crate) struct Refusal {
    /// One of the mailbox's codes, or of those of signatures.
    pub(crate) code: &'static str,
    /// What is wrong, and what to do.
    pub(crate) sentence: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            sentence: sentence.into(),
        }
    }

    pub(crate) fn disabled() -> Self {
        Self::new(code::DISABLED, "this registry keeps no messages (AGENTNET_MAILBOX)")
    }

    pub(crate) fn other_sender() -> Self {
        let sentence = "a message of another sender has this message_id in this mailbox; send it with a new message_id";
        Self::new(code::NOT_STORABLE, sentence)
    }

    pub(crate) fn account_full(username: &str, limits: &MailboxLimits) -> Self {
        let MailboxLimits {
            max_messages,
            max_bytes,
            ..
        } = limits;
        let sentence = format!(
            "the mailbox of @{username} is full: at most {max_messages} messages and {max_bytes} bytes wait for an account; \
             send it again when @{username} has taken some"
        );
        Self::new(code::FULL, sentence)
    }

    pub(crate) fn sender_full(username: &str, limits: &MailboxLimits) -> Self {
        let sentence = format!(
            "this sender has left as much for @{username} as one sender may: {} messages that wait, or {} bytes; send it again \
             when @{username} has taken some",
            limits.sender_max_messages,
            limits.sender_max_bytes()
        );
        Self::new(code::SENDER_FULL, sentence)
    }

    pub(crate) fn network_full(limits: &MailboxLimits) -> Self {
        let sentence = format!(
            "the mailboxes of all accounts together are full: at most {} bytes (AGENTNET_MAILBOX_TOTAL_BYTES)",
            limits.total_bytes
        );
        Self::new(code::FULL, sentence)
    }
}

/// Why a message is not kept.
#[derive(Debug, Clone)]
pub(crate) enum KeepError {
    /// A rule says so: it would be refused again.
    Refused(Refusal),
    /// The store failed: another attempt may succeed.
    Store(Arc<StoreError>),
}

impl From<Refusal> for KeepError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Arc<StoreError>> for KeepError {
    fn from(error: Arc<StoreError>) -> Self {
        Self::Store(error)
    }
}
