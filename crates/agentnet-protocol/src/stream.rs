//! Streamed replies: the payloads of messages of kind `stream`.
//!
//! A stream is a start, any number of deltas, and an end or an error. All carry the stream's id and a number that counts from
//! 0 without gaps, so that a reader can put them in order and see what is missing:
//!
//! ```json
//! {"type":"stream_start","stream_id":"s1","seq":0,"metadata":{"model":"m"}}
//! {"type":"stream_delta","stream_id":"s1","seq":1,"delta":"Hel"}
//! {"type":"stream_delta","stream_id":"s1","seq":2,"delta":"lo"}
//! {"type":"stream_end","stream_id":"s1","seq":3,"result":{"text":"Hello"}}
//! {"type":"stream_error","stream_id":"s1","seq":3,"error":"handler_error","detail":"out of memory"}
//! ```
//!
//! ```
//! use agentnet_protocol::json::RawJson;
//! use agentnet_protocol::stream::{StreamFrame, StreamPart, StreamWriter};
//!
//! let mut stream = StreamWriter::new("s1");
//! stream.start(None);
//! let payload = stream.text("Hello");
//! let frame = StreamFrame::parse(&payload.view()).unwrap().unwrap();
//! assert_eq!((frame.stream_id.as_str(), frame.seq, frame.part.text().as_deref()), ("s1", 1, Some("Hello")));
//! ```
//!
//! [`StreamAssembler`] puts payloads in order again, and [`StreamCancel`] is what a reader says that wants no more
//! (docs/STREAMING_PROTOCOL.md).

mod assembler;
mod cancel;

use std::borrow::Cow;

pub use assembler::{AssembleError, StreamAssembler, StreamLimits};
pub use cancel::{CANCEL_TYPE, StreamCancel, cancel_subject};

use crate::json::{self, ObjectWriter, Value};
use crate::{RawJson, Text};

/// `type` of the first payload.
pub const START_TYPE: &str = "stream_start";
/// `type` of a piece.
pub const DELTA_TYPE: &str = "stream_delta";
/// `type` of the last payload of a stream that went well.
pub const END_TYPE: &str = "stream_end";
/// `type` of the last payload of a stream that failed.
pub const ERROR_TYPE: &str = "stream_error";

/// One payload of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFrame {
    /// Names the stream; never empty.
    pub stream_id: String,
    /// The place in the stream, from 0.
    pub seq: u64,
    /// What it says.
    pub part: StreamPart,
}

/// What a payload of a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamPart {
    /// The stream begins.
    Start {
        /// About the stream; any JSON.
        metadata: Option<RawJson>,
    },
    /// A piece; usually text.
    Delta {
        /// Any JSON.
        delta: RawJson,
    },
    /// The stream is complete.
    End {
        /// The whole result, if the sender repeats it; any JSON.
        result: Option<RawJson>,
    },
    /// The stream failed; nothing follows.
    Error {
        /// A code.
        error: String,
        /// A sentence.
        detail: Option<String>,
    },
}

/// Why a payload with a stream's `type` cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// `stream_id` is missing or blank.
    #[error("a stream payload needs a `stream_id`")]
    StreamId,
    /// `seq` is missing or no number from 0 on.
    #[error("a stream payload needs a `seq` of 0 or more")]
    Seq,
    /// A piece without `delta`.
    #[error("a stream_delta payload needs a `delta`")]
    Delta,
}

impl StreamPart {
    /// The text of a piece: the piece itself where it is text, or the `text` member of an object; not trimmed.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Delta { delta } => piece_text(delta),
            _ => None,
        }
    }

    /// Whether nothing follows it.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::End { .. } | Self::Error { .. })
    }
}

/// The text of a piece: itself where it is text, or the `text` member of an object; not trimmed, because the white space
/// between two pieces belongs to one of them.
#[must_use]
pub fn piece_text(piece: &RawJson) -> Option<Cow<'_, str>> {
    let value = piece.view();
    match value.as_object() {
        Some(object) => object.get("text").as_str(),
        None => value.as_str(),
    }
}

impl StreamFrame {
    /// The payload to send.
    #[must_use]
    pub fn to_payload(&self) -> RawJson {
        let (kind, member) = match &self.part {
            StreamPart::Start { metadata } => (START_TYPE, metadata.as_ref().map(|json| ("metadata", json))),
            StreamPart::Delta { delta } => (DELTA_TYPE, Some(("delta", delta))),
            StreamPart::End { result } => (END_TYPE, result.as_ref().map(|json| ("result", json))),
            StreamPart::Error { .. } => (ERROR_TYPE, None),
        };
        let mut json = ObjectWriter::new();
        json.text("type", kind)
            .text("stream_id", &self.stream_id)
            .int("seq", self.seq);
        if let Some((name, value)) = member {
            json.raw(name, &json::ascii(value.get()));
        }
        if let StreamPart::Error { error, detail } = &self.part {
            json.text("error", error).opt_text("detail", detail.as_deref());
        }
        RawJson::validated(Text::from(json.finish()))
    }

    /// Reads a payload; `None` where its `type` is none of a stream's.
    ///
    /// # Errors
    /// [`StreamError`] where the type is right and a member is not.
    pub fn parse(payload: &Value<'_>) -> Result<Option<Self>, StreamError> {
        let Some(object) = payload.as_object() else {
            return Ok(None);
        };
        let given = |name| Some(object.get(name)).filter(|value| !value.is_null()).map(owned);
        let part = match &*object.get("type").text() {
            START_TYPE => StreamPart::Start {
                metadata: given("metadata"),
            },
            DELTA_TYPE => StreamPart::Delta {
                delta: given("delta").ok_or(StreamError::Delta)?,
            },
            END_TYPE => StreamPart::End {
                result: given("result"),
            },
            ERROR_TYPE => StreamPart::Error {
                error: object
                    .get("error")
                    .opt_text()
                    .unwrap_or("stream_failed".into())
                    .into_owned(),
                detail: object.get("detail").opt_text().map(|text| text.into_owned()),
            },
            _ => return Ok(None),
        };
        let stream_id = object.get("stream_id").text().into_owned();
        if json::trim(&stream_id).is_empty() {
            return Err(StreamError::StreamId);
        }
        let seq = object
            .get("seq")
            .int()
            .ok()
            .flatten()
            .and_then(|seq| u64::try_from(seq).ok());
        Ok(Some(Self {
            stream_id,
            seq: seq.ok_or(StreamError::Seq)?,
            part,
        }))
    }
}

fn owned(value: Value<'_>) -> RawJson {
    RawJson::validated(Text::from(value.raw()))
}

/// Makes the payloads of one stream and counts them.
#[derive(Debug)]
pub struct StreamWriter {
    stream_id: String,
    seq: u64,
}

impl StreamWriter {
    /// A stream that has not begun. The id must not be blank, and no other stream of the thread may have it.
    #[must_use]
    pub fn new(stream_id: impl Into<String>) -> Self {
        Self {
            stream_id: stream_id.into(),
            seq: 0,
        }
    }

    /// The first payload.
    pub fn start(&mut self, metadata: Option<RawJson>) -> RawJson {
        self.next(StreamPart::Start { metadata })
    }

    /// A piece of text.
    pub fn text(&mut self, text: &str) -> RawJson {
        let delta = RawJson::validated(Text::from(serde_json::Value::from(text).to_string()));
        self.delta(delta)
    }

    /// A piece of any JSON.
    pub fn delta(&mut self, delta: RawJson) -> RawJson {
        self.next(StreamPart::Delta { delta })
    }

    /// The last payload.
    pub fn end(mut self, result: Option<RawJson>) -> RawJson {
        self.next(StreamPart::End { result })
    }

    /// The last payload of a stream that failed.
    pub fn error(mut self, error: impl Into<String>, detail: Option<String>) -> RawJson {
        self.next(StreamPart::Error {
            error: error.into(),
            detail,
        })
    }

    fn next(&mut self, part: StreamPart) -> RawJson {
        let frame = StreamFrame {
            stream_id: self.stream_id.clone(),
            seq: self.seq,
            part,
        };
        self.seq += 1;
        frame.to_payload()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_numbered_and_reads_back() {
        let result = RawJson::parse(r#"{"n":12345678901234567890123,"é":1.0}"#).unwrap();
        let mut writer = StreamWriter::new("s1");
        let payloads = [
            writer.start(Some(RawJson::parse(r#"{"model":"m"}"#).unwrap())),
            writer.text("Hé\n"),
            writer.delta(RawJson::parse("[1.0]").unwrap()),
            writer.end(Some(result)),
        ];
        let texts = [
            r#"{"type":"stream_start","stream_id":"s1","seq":0,"metadata":{"model":"m"}}"#,
            r#"{"type":"stream_delta","stream_id":"s1","seq":1,"delta":"H\u00e9\n"}"#,
            r#"{"type":"stream_delta","stream_id":"s1","seq":2,"delta":[1.0]}"#,
            r#"{"type":"stream_end","stream_id":"s1","seq":3,"result":{"n":12345678901234567890123,"\u00e9":1.0}}"#,
        ];
        for (index, (payload, text)) in payloads.iter().zip(texts).enumerate() {
            assert_eq!(payload.get(), text);
            let frame = StreamFrame::parse(&payload.view()).unwrap().unwrap();
            assert_eq!(frame.seq, index as u64);
            assert_eq!(frame.part.is_last(), index == 3);
            assert_eq!(frame.to_payload().get(), text);
        }
        let failed = StreamWriter::new("s2").error("busy", Some("later".to_owned()));
        let part = StreamPart::Error {
            error: "busy".to_owned(),
            detail: Some("later".to_owned()),
        };
        let frame = StreamFrame::parse(&failed.view()).unwrap().unwrap();
        assert_eq!(
            frame,
            StreamFrame {
                stream_id: "s2".to_owned(),
                seq: 0,
                part
            }
        );
    }

    #[test]
    fn broken_payloads_say_what_is_missing() {
        let cases = [
            ("5", Ok(false)),
            (r#"{"type":"other"}"#, Ok(false)),
            (
                r#"{"type":"stream_start","stream_id":" ","seq":0}"#,
                Err(StreamError::StreamId),
            ),
            (r#"{"type":"stream_start","stream_id":"s"}"#, Err(StreamError::Seq)),
            (
                r#"{"type":"stream_end","stream_id":"s","seq":-1}"#,
                Err(StreamError::Seq),
            ),
            (
                r#"{"type":"stream_end","stream_id":"s","seq":1e400}"#,
                Err(StreamError::Seq),
            ),
            (
                r#"{"type":"stream_delta","stream_id":"s","seq":1}"#,
                Err(StreamError::Delta),
            ),
            (r#"{"type":"stream_error","stream_id":"s","seq":"1"}"#, Ok(true)),
        ];
        for (text, expected) in cases {
            let got = StreamFrame::parse(&Value::parse(text).unwrap()).map(|frame| frame.is_some());
            assert_eq!(got, expected, "{text}");
        }
    }
}
