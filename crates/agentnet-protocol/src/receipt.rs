//! Delivery receipts (PROTOCOL.md section 5.2).

use bytes::Bytes;

use crate::claims::Claims;
use crate::decode::{DecodeError, body_text, pick, shared_opt_text, shared_text};
use crate::detached::{self, DetachedAuth};
use crate::envelope::Envelope;
use crate::json::{Kind, ObjectWriter, ascii, trim};
use crate::reject::Reject;
use crate::signature::SigningKey;
use crate::{RawJson, Text, Timestamp};

/// What a receipt says, once its text is trimmed and lower-cased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptStatus {
    /// The receiver has taken the message and will handle it.
    Accepted,
    /// The handler has finished.
    Processed,
    /// The message was refused, or its handling failed; `code` says why.
    Rejected,
    /// A registry keeps the message until its receiver takes it (section 21.2).
    Queued,
    /// Any other text.
    Other,
}

impl ReceiptStatus {
    /// The wire text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Processed => "processed",
            Self::Rejected => "rejected",
            Self::Queued => "queued",
            Self::Other => "",
        }
    }
}

/// One receipt, published to the original sender's receipts subject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// The message that it is about.
    pub message_id: Text,
    /// `accepted`, `processed`, `rejected`, `queued`; see [`Receipt::status`] for the comparison.
    pub status: Text,
    /// When it was issued.
    pub event_at: Text,
    /// The receiver that issued it.
    pub from_account_id: Option<Text>,
    /// The receiver's session.
    pub from_session_tag: Option<Text>,
    /// The original sender.
    pub to_account_id: Option<Text>,
    /// The message's trace id, else its id.
    pub trace_id: Option<Text>,
    /// The message's thread.
    pub thread_id: Option<Text>,
    /// The parent of the original message.
    pub parent_message_id: Option<Text>,
    /// On rejections: the code of section 12.
    pub code: Option<Text>,
    /// On rejections: what the code means.
    pub detail: Option<Text>,
    /// A detached signature (section 13.6, an addition to the Python protocol); always an object.
    pub auth: Option<RawJson>,
}

const MEMBERS: [&str; 12] = [
    "message_id",
    "status",
    "event_at",
    "from_account_id",
    "from_session_tag",
    "to_account_id",
    "trace_id",
    "thread_id",
    "parent_message_id",
    "code",
    "detail",
    "auth",
];

impl Receipt {
    /// The receipt for a message, as its receiver issues it.
    #[must_use]
    pub fn for_message(
        message: &Envelope,
        status: ReceiptStatus,
        reject: Option<&Reject>,
        receiver_account_id: &Text,
        receiver_session_tag: &Text,
        now: Timestamp,
    ) -> Self {
        let some = |text: &Text| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            message_id: message.message_id.clone(),
            status: Text::from_static(status.as_str()),
            event_at: now.to_string().into(),
            from_account_id: some(receiver_account_id),
            from_session_tag: some(receiver_session_tag),
            to_account_id: message.from_account_id.clone(),
            trace_id: some(message.trace_or_message_id()),
            thread_id: message.thread_id.clone(),
            parent_message_id: message.parent_message_id.clone(),
            code: reject.map(|reject| Text::from_static(reject.code())),
            detail: reject.map(|reject| Text::from(reject.detail().into_owned())),
            auth: None,
        }
    }

    /// The message id, where a body begins with it as every writer of receipts puts it: enough to see that no sender waits for
    /// the rest, before anything of it is checked.
    #[must_use]
    pub fn message_id_at_front(body: &[u8]) -> Option<&str> {
        let rest = body.strip_prefix(b"{\"message_id\":\"")?;
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        (rest[end] == b'"').then(|| std::str::from_utf8(&rest[..end]).ok())?
    }

    /// What its signature covers: every member.
    #[must_use]
    pub fn claims(&self) -> Claims {
        let text = |text: &Option<Text>| text.clone().unwrap_or_default();
        Claims::new([
            ("purpose", "receipt"),
            ("message_id", &*self.message_id),
            ("status", &*self.status),
            ("event_at", &*self.event_at),
            ("from_account_id", &*text(&self.from_account_id)),
            ("from_session_tag", &*text(&self.from_session_tag)),
            ("to_account_id", &*text(&self.to_account_id)),
            ("trace_id", &*text(&self.trace_id)),
            ("thread_id", &*text(&self.thread_id)),
            ("parent_message_id", &*text(&self.parent_message_id)),
            ("code", &*text(&self.code)),
            ("detail", &*text(&self.detail)),
        ])
    }

    /// Signs a finished receipt.
    pub fn sign(&mut self, key: &SigningKey) {
        self.auth = Some(detached::sign(key, &self.claims()));
    }

    /// The key that it was signed with; `None` if its signature is missing or does not cover it.
    #[must_use]
    pub fn signed_by(&self) -> Option<String> {
        let auth = DetachedAuth::read(&self.auth.as_ref()?.view())?;
        auth.covers(&self.claims()).then(|| auth.public_key().to_owned())
    }

    /// Reads a receipt.
    ///
    /// # Errors
    /// [`DecodeError`] if the body is not a JSON object.
    pub fn decode(body: impl Into<Bytes>) -> Result<Self, DecodeError> {
        let body = body_text(body.into())?;
        let [message_id, status, event_at, rest @ .., auth] = pick(&body, &MEMBERS)?;
        let [
            from_account_id,
            from_session_tag,
            to_account_id,
            trace_id,
            thread_id,
            parent_message_id,
            code,
            detail,
        ] = rest.map(|value| shared_opt_text(&body, value));
        Ok(Self {
            message_id: shared_text(&body, message_id),
            status: shared_text(&body, status),
            event_at: shared_text(&body, event_at),
            from_account_id,
            from_session_tag,
            to_account_id,
            trace_id,
            thread_id,
            parent_message_id,
            code,
            detail,
            auth: auth
                .filter(|value| value.kind() == Kind::Object)
                .map(|value| RawJson::validated(body.slice_ref(value.raw()))),
        })
    }

    /// The wire text.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = ObjectWriter::with_capacity(384);
        out.text("message_id", &self.message_id)
            .text("status", &self.status)
            .text("event_at", &self.event_at)
            .opt_text("from_account_id", self.from_account_id.as_deref())
            .opt_text("from_session_tag", self.from_session_tag.as_deref())
            .opt_text("to_account_id", self.to_account_id.as_deref())
            .opt_text("trace_id", self.trace_id.as_deref())
            .opt_text("thread_id", self.thread_id.as_deref())
            .opt_text("parent_message_id", self.parent_message_id.as_deref())
            .opt_text("code", self.code.as_deref())
            .opt_text("detail", self.detail.as_deref());
        if let Some(auth) = &self.auth {
            out.raw("auth", &ascii(auth.get()));
        }
        out.finish().into()
    }

    /// The status, compared trimmed and case-insensitively.
    #[must_use]
    pub fn status(&self) -> ReceiptStatus {
        let text = trim(&self.status);
        [
            ReceiptStatus::Accepted,
            ReceiptStatus::Processed,
            ReceiptStatus::Rejected,
            ReceiptStatus::Queued,
        ]
        .into_iter()
        .find(|status| text.eq_ignore_ascii_case(status.as_str()))
        .unwrap_or(ReceiptStatus::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_id_is_found_where_writers_put_it() {
        for (body, found) in [
            (r#"{"message_id":"m1","status":"accepted"}"#, Some("m1")),
            (r#"{"message_id":""}"#, Some("")),
            (r#"{"message_id":"a\u0062"}"#, None),
            (r#"{"message_id": "m1"}"#, None),
            (r#"{"status":"accepted","message_id":"m1"}"#, None),
            (r#"{"message_id":"m1"#, None),
            ("", None),
        ] {
            assert_eq!(Receipt::message_id_at_front(body.as_bytes()), found, "{body}");
        }
        let receipt = Receipt {
            message_id: "m1".into(),
            ..Receipt::default()
        };
        assert_eq!(Receipt::message_id_at_front(&receipt.encode()), Some("m1"));
    }
}
