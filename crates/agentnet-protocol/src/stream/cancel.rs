//! Cancelling a stream: the message from the reader to the sender, and its subject.

use super::frame::is_type;
use crate::json::{self, ObjectWriter, Value};
use crate::{RawJson, Text};

/// `type` of the payload.
pub const CANCEL_TYPE: &str = "stream_cancel";

/// The subject on which the requester cancels a streamed reply: `<reply subject>.cancel`. The sender of a streamed reply
/// listens there until its stream ends.
#[must_use]
pub fn cancel_subject(reply_subject: &str) -> String {
    format!("{reply_subject}.cancel")
}

/// The payload, in a message of kind `stream`: `{"type":"stream_cancel","stream_id":"s1"}`.
///
/// ```
/// use agentnet_protocol::stream::StreamCancel;
///
/// let payload = StreamCancel { stream_id: Some("s1".to_owned()) }.to_payload();
/// let cancel = StreamCancel::parse(&payload.view()).unwrap();
/// assert!(cancel.concerns("s1") && !cancel.concerns("s2"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamCancel {
    /// The stream; absent where the reader has seen nothing of it yet: then whatever stream answers its request.
    pub stream_id: Option<String>,
}

impl StreamCancel {
    /// The payload to send.
    #[must_use]
    pub fn to_payload(&self) -> RawJson {
        let mut json = ObjectWriter::new();
        json.text("type", CANCEL_TYPE)
            .opt_text("stream_id", self.stream_id.as_deref());
        RawJson::validated(Text::from(json.finish()))
    }

    /// Reads a payload; `None` where its `type` is another.
    #[must_use]
    pub fn parse(payload: &Value<'_>) -> Option<Self> {
        let object = payload.as_object()?;
        is_type(&object.get("type").text(), CANCEL_TYPE).then(|| Self {
            stream_id: Some(json::trim(&object.get("stream_id").text()))
                .filter(|id| !id.is_empty())
                .map(str::to_owned),
        })
    }

    /// Whether it is about this stream.
    #[must_use]
    pub fn concerns(&self, stream_id: &str) -> bool {
        self.stream_id.as_deref().is_none_or(|id| id == stream_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_names_its_stream_or_any() {
        let cases = [
            (r#"{"type":"stream_cancel"}"#, Some(None)),
            (r#"{"type":"stream_cancel","stream_id":null}"#, Some(None)),
            (r#"{"type":"stream_cancel","stream_id":" "}"#, Some(None)),
            (r#"{"type":"stream_cancel","stream_id":"s1","why":1}"#, Some(Some("s1"))),
            (r#"{"type":" Stream_Cancel ","stream_id":" s1 "}"#, Some(Some("s1"))),
            (r#"{"type":"stream_end","stream_id":"s1","seq":0}"#, None),
            ("[]", None),
        ];
        for (text, expected) in cases {
            let cancel = StreamCancel::parse(&Value::parse(text).unwrap());
            let stream_id = cancel.as_ref().map(|cancel| cancel.stream_id.as_deref());
            assert_eq!(stream_id, expected, "{text}");
        }
        let any = StreamCancel::default();
        assert_eq!(any.to_payload().get(), r#"{"type":"stream_cancel"}"#);
        assert!(any.concerns("s1"));
    }
}
