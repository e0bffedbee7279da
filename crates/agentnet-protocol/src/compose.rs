//! Composing messages: defaults, replies and error replies (PROTOCOL.md sections 5.4, 11.1 and 11.6).
//!
//! Pure: ids and the time are passed in.

use crate::envelope::{Envelope, SCHEMA_VERSION, kind};
use crate::json::{ObjectWriter, trim};
use crate::mailbox::MailboxAck;
use crate::reject::Reject;
use crate::{RawJson, Text, Timestamp};

/// Time to live when the sender names none, in milliseconds.
pub const DEFAULT_TTL_MS: i64 = 30_000;

/// Agent, account and session that send a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Its role label.
    pub agent_id: Text,
    /// Account id of the sender.
    pub account_id: Text,
    /// Session tag of the sender.
    pub session_tag: Text,
}

/// What the caller may choose of a message. Absent members get the defaults of section 11.1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The target as it stands in the envelope: an account id or `capability:<name>`.
    pub to_agent: Text,
    /// The target's account, unless a capability is addressed.
    pub to_account_id: Option<Text>,
    /// Payload of the message, any JSON value.
    pub payload: RawJson,
    /// Kind of message; empty means `direct`.
    pub kind: Text,
    /// Time to live in milliseconds, at least 1; absent means [`DEFAULT_TTL_MS`].
    pub ttl_ms: Option<i64>,
    /// Absent means the message id.
    pub trace_id: Option<Text>,
    /// Absent means `thread_` and the lower-cased trace id.
    pub thread_id: Option<Text>,
    /// The message that this one follows.
    pub parent_message_id: Option<Text>,
    /// Trimmed; blank means none.
    pub idempotency_key: Option<Text>,
    /// Schema version; empty means [`SCHEMA_VERSION`].
    pub schema_version: Text,
    /// Keep the message for a receiver that cannot take it now (section 21.1).
    pub mailbox: Option<MailboxAck>,
}

impl Draft {
    /// The finished, unsigned message.
    #[must_use]
    pub fn compose(self, sender: &Sender, message_id: Text, now: Timestamp) -> Envelope {
        let not_blank = |text: Option<Text>| text.filter(|text| !text.is_empty());
        let trace_id = not_blank(self.trace_id).unwrap_or_else(|| message_id.clone());
        let thread_id = not_blank(self.thread_id).unwrap_or_else(|| default_thread_id(&trace_id));
        let ttl_ms = self.ttl_ms.unwrap_or(DEFAULT_TTL_MS).max(1);
        let or = |text: Text, default: &'static str| {
            if text.is_empty() {
                Text::from_static(default)
            } else {
                text
            }
        };
        Envelope {
            from_agent: sender.agent_id.clone(),
            to_agent: self.to_agent,
            payload: self.payload,
            sent_at: now.to_string().into(),
            kind: or(self.kind, kind::DIRECT),
            schema_version: or(self.schema_version, SCHEMA_VERSION),
            from_session_tag: Some(sender.session_tag.clone()),
            from_account_id: Some(sender.account_id.clone()),
            to_account_id: not_blank(self.to_account_id),
            ttl_ms: Some(i128::from(ttl_ms)),
            expires_at: Some(now.saturating_add_millis(i128::from(ttl_ms)).to_string().into()),
            trace_id: Some(trace_id),
            thread_id: Some(thread_id),
            parent_message_id: not_blank(self.parent_message_id),
            idempotency_key: self
                .idempotency_key
                .map(|key| match trim(&key) {
                    trimmed if trimmed.len() == key.len() => key.clone(),
                    trimmed => Text::from(trimmed),
                })
                .filter(|key| !key.is_empty()),
            reply_to: None,
            mailbox: self.mailbox,
            auth: None,
            message_id,
        }
    }

    /// A draft that answers a request: target, trace, thread and parent from it where this draft names none (section 11.6).
    #[must_use]
    pub fn answering(mut self, request: &Envelope) -> Self {
        let some = |text: &Text| Some(text.clone()).filter(|text| !text.is_empty());
        self.to_account_id = request.from_account_id.clone();
        self.to_agent = request
            .from_account_id
            .clone()
            .or_else(|| some(&request.from_agent))
            .unwrap_or_else(|| Text::from_static("unknown"));
        self.trace_id = self.trace_id.or_else(|| some(request.trace_or_message_id()));
        self.thread_id = self.thread_id.or_else(|| request.thread_id.clone());
        self.parent_message_id = self.parent_message_id.or_else(|| some(&request.message_id));
        if self.kind.is_empty() {
            self.kind = Text::from_static(kind::REPLY);
        }
        self
    }
}

/// `thread_` and the lower-cased trace id (section 3).
#[must_use]
pub fn default_thread_id(trace_or_message_id: &str) -> Text {
    const PREFIX: &str = "thread_";
    let mut thread_id = String::with_capacity(PREFIX.len() + trace_or_message_id.len());
    thread_id.push_str(PREFIX);
    if trace_or_message_id.is_ascii() {
        thread_id.push_str(trace_or_message_id);
        thread_id.make_ascii_lowercase();
    } else {
        thread_id.push_str(&trace_or_message_id.to_lowercase());
    }
    Text::from(thread_id)
}

/// The error reply to a refused request (section 5.4), unsigned.
#[must_use]
pub fn error_reply(request: &Envelope, reject: &Reject, sender: &Sender, message_id: Text, now: Timestamp) -> Envelope {
    let trace = request.trace_or_message_id();
    let mut payload = ObjectWriter::new();
    payload
        .text("error", reject.code())
        .text("detail", &reject.detail())
        .text("request_message_id", &request.message_id)
        .text("trace_id", trace);
    let mut draft = Draft {
        payload: RawJson::validated(payload.finish().into()),
        kind: Text::from_static(kind::ERROR),
        ..Draft::default()
    }
    .answering(request);
    draft.to_agent = request.from_agent.clone();
    draft.compose(sender, message_id, now)
}

#[cfg(test)]
mod tests;
