//! What the high-level calls give.

use agentnet_protocol::{RawJson, Text};

use crate::message::Message;
use crate::send::mailbox::{MailboxDelivery, MailboxSent};
use crate::send::sent::Sent;

/// The result of a send or an ask, one type for both (PROTOCOL.md section 17, `SDKResult`). That there is one means that it
/// went well: failures are [`SdkError`](crate::SdkError).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SdkResult {
    /// The thread: of the answer, or of the message that was sent.
    pub thread_id: String,
    /// The message id: of the answer, or of the message that was sent. What comes next in the thread names it as its parent.
    pub message_id: String,
    /// The message that this one follows: for an answer usually the question.
    pub parent_message_id: Option<String>,
    /// The id of the trace.
    pub trace_id: Option<String>,
    /// The text of the answer, if it has one: a text payload, or the `text` of an object. `None` for a send.
    pub text: Option<String>,
    /// The payload of the answer, exactly as it came. `None` for a send.
    pub data: Option<RawJson>,
    /// Whether the message waits in its receiver's mailbox, see [`Tell::mailbox`](crate::Tell::mailbox).
    pub queued: bool,
    /// Why it waits, and until when: a sentence. `None` unless [`queued`](Self::queued).
    pub detail: Option<String>,
}

impl SdkResult {
    pub(crate) fn sent(sent: Sent, parent_message_id: Option<String>) -> Self {
        Self {
            thread_id: sent.thread_id,
            message_id: sent.message_id,
            parent_message_id,
            trace_id: Some(sent.trace_id),
            text: None,
            data: None,
            queued: false,
            detail: None,
        }
    }

    pub(crate) fn kept(kept: MailboxSent, parent_message_id: Option<String>) -> Self {
        let detail = match kept.delivery {
            MailboxDelivery::Delivered => None,
            MailboxDelivery::Queued { detail } => Some(detail),
        };
        Self {
            queued: detail.is_some(),
            detail,
            ..Self::sent(kept.sent, parent_message_id)
        }
    }

    /// What the answer does not say of itself is that of the question.
    pub(crate) fn answered(answer: &Message, thread_id: String, parent: Option<String>, trace: Option<String>) -> Self {
        let given = |text: &Option<Text>| text.as_deref().map(str::to_owned);
        Self {
            thread_id: given(&answer.thread_id).unwrap_or(thread_id),
            message_id: answer.message_id.to_string(),
            parent_message_id: given(&answer.parent_message_id).or(parent),
            trace_id: given(&answer.trace_id).or(trace),
            text: answer.text(),
            data: Some(answer.payload().clone()),
            queued: false,
            detail: None,
        }
    }
}
