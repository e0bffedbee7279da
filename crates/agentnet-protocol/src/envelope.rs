//! The envelope: one message on the wire (PROTOCOL.md section 5.1).

use bytes::Bytes;

use crate::Text;
use crate::decode::{DecodeError, body_text, pick, shared_opt_text, shared_text};
use crate::json::{ObjectWriter, ascii};
use crate::mailbox::ack::MailboxAck;
use crate::{RawJson, json};

/// The conventional kinds of a message. Any other text is allowed.
pub mod kind {
    /// A one-way message.
    pub const DIRECT: &str = "direct";
    /// A message whose sender waits for a reply.
    pub const REQUEST: &str = "request";
    /// The answer to a request.
    pub const REPLY: &str = "reply";
    /// A refusal or failure, sent to the reply subject (section 5.4).
    pub const ERROR: &str = "error";
    /// Sent by the registry.
    pub const SYSTEM: &str = "system";
    /// A part of a streamed reply.
    pub const STREAM: &str = "stream";
}

/// The schema version that this implementation sends.
pub const SCHEMA_VERSION: &str = "1.1";

/// One message on the wire. Text fields share the buffer that the message was received in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// Unique id; empty text is possible on the wire and means that the message cannot be deduplicated.
    pub message_id: Text,
    /// The sender's role label.
    pub from_agent: Text,
    /// The target: an account id, `capability:<name>`, or on replies the requester.
    pub to_agent: Text,
    /// Any JSON value, exactly as written.
    pub payload: RawJson,
    /// When it was sent (text of section 3; not checked at decode).
    pub sent_at: Text,
    /// `direct`, `request`, `reply`, `error`, `system`, `stream` or other text. Default `direct`.
    pub kind: Text,
    /// Default `1.0` when missing.
    pub schema_version: Text,
    /// The sender's session.
    pub from_session_tag: Option<Text>,
    /// The sender's account.
    pub from_account_id: Option<Text>,
    /// The receiver's account; absent on capability sends.
    pub to_account_id: Option<Text>,
    /// Time to live in milliseconds from `sent_at`; may be negative or huge on the wire (beyond `i128` it saturates).
    pub ttl_ms: Option<i128>,
    /// When the message expires (text of section 3).
    pub expires_at: Option<Text>,
    /// Correlates the messages of one exchange.
    pub trace_id: Option<Text>,
    /// Id of the thread (conversation) that the message belongs to.
    pub thread_id: Option<Text>,
    /// The message that this one answers or follows.
    pub parent_message_id: Option<Text>,
    /// Suppresses a second run of one logical operation.
    pub idempotency_key: Option<Text>,
    /// A reply subject written into the body; any JSON value. The NATS reply subject goes before it.
    pub reply_to: Option<RawJson>,
    /// Asks the registry to keep the message while its receiver cannot take it (an addition to the Python protocol, section
    /// 21.1), and says when it has been delivered.
    pub mailbox: Option<MailboxAck>,
    /// Signature (section 13); always an object.
    pub auth: Option<RawJson>,
}

const MEMBERS: [&str; 19] = [
    "message_id",
    "from_agent",
    "to_agent",
    "payload",
    "sent_at",
    "kind",
    "schema_version",
    "from_session_tag",
    "from_account_id",
    "to_account_id",
    "ttl_ms",
    "expires_at",
    "trace_id",
    "thread_id",
    "parent_message_id",
    "idempotency_key",
    "reply_to",
    "mailbox",
    "auth",
];

impl Envelope {
    /// Reads a message body with the coercions of section 5.1.
    ///
    /// # Errors
    /// [`DecodeError`] if the body is not a JSON object or `ttl_ms` is infinite.
    pub fn decode(body: impl Into<Bytes>) -> Result<Self, DecodeError> {
        let body = body_text(body.into())?;
        let [
            message_id,
            from_agent,
            to_agent,
            payload,
            sent_at,
            kind,
            schema_version,
            from_session_tag,
            from_account_id,
            to_account_id,
            ttl_ms,
            expires_at,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
            reply_to,
            mailbox,
            auth,
        ] = pick(&body, &MEMBERS)?;
        let raw = |value: json::Value<'_>| RawJson::validated(body.slice_ref(value.raw()));
        let or = |text: Text, default: &'static str| {
            if text.is_empty() {
                Text::from_static(default)
            } else {
                text
            }
        };
        Ok(Self {
            message_id: shared_text(&body, message_id),
            from_agent: shared_text(&body, from_agent),
            to_agent: shared_text(&body, to_agent),
            payload: payload.map(raw).unwrap_or_default(),
            sent_at: shared_text(&body, sent_at),
            kind: or(shared_text(&body, kind), kind::DIRECT),
            schema_version: or(shared_text(&body, schema_version), "1.0"),
            from_session_tag: shared_opt_text(&body, from_session_tag),
            from_account_id: shared_opt_text(&body, from_account_id),
            to_account_id: shared_opt_text(&body, to_account_id),
            ttl_ms: ttl_ms.map_or(Ok(None), |value| value.int())?,
            expires_at: shared_opt_text(&body, expires_at),
            trace_id: shared_opt_text(&body, trace_id),
            thread_id: shared_opt_text(&body, thread_id),
            parent_message_id: shared_opt_text(&body, parent_message_id),
            idempotency_key: shared_opt_text(&body, idempotency_key),
            reply_to: reply_to.filter(|value| !value.is_null()).map(raw),
            mailbox: mailbox.and_then(|value| MailboxAck::read(&value)),
            auth: auth.filter(|value| value.kind() == json::Kind::Object).map(raw),
        })
    }

    /// The wire text: ASCII, members in the order of section 5.1, absent ones left out. The payload's numbers, member order
    /// and spelling stay as they are.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = ObjectWriter::with_capacity(self.payload.get().len() + 640);
        out.text("message_id", &self.message_id)
            .text("from_agent", &self.from_agent)
            .text("to_agent", &self.to_agent)
            .raw("payload", &ascii(self.payload.get()))
            .text("sent_at", &self.sent_at)
            .text("kind", &self.kind)
            .text("schema_version", &self.schema_version)
            .opt_text("from_session_tag", self.from_session_tag.as_deref())
            .opt_text("from_account_id", self.from_account_id.as_deref())
            .opt_text("to_account_id", self.to_account_id.as_deref());
        if let Some(ttl_ms) = self.ttl_ms {
            out.int("ttl_ms", ttl_ms);
        }
        out.opt_text("expires_at", self.expires_at.as_deref())
            .opt_text("trace_id", self.trace_id.as_deref())
            .opt_text("thread_id", self.thread_id.as_deref())
            .opt_text("parent_message_id", self.parent_message_id.as_deref())
            .opt_text("idempotency_key", self.idempotency_key.as_deref());
        if let Some(reply_to) = &self.reply_to {
            out.raw("reply_to", &ascii(reply_to.get()));
        }
        if let Some(mailbox) = self.mailbox {
            out.raw("mailbox", mailbox.wire_text());
        }
        if let Some(auth) = &self.auth {
            out.raw("auth", &ascii(auth.get()));
        }
        out.finish().into()
    }

    /// The trace id, else the message id: what receipts and replies carry as trace.
    #[must_use]
    pub fn trace_or_message_id(&self) -> &Text {
        self.trace_id.as_ref().unwrap_or(&self.message_id)
    }
}
