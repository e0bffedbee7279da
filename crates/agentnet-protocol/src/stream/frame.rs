//! One payload of a stream.

use std::borrow::Cow;

use super::{DEFAULT_CONTENT_TYPE, DEFAULT_ROLE, DELTA_TYPE, END_TYPE, ERROR_TYPE, START_TYPE};
use crate::json::{self, Object, ObjectWriter, Value};
use crate::limits::{MAX_ID_BYTES, MAX_NAME_BYTES, TooLarge, check_bytes};
use crate::{RawJson, Text};

/// One payload of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFrame {
    /// Names the stream; never empty, without white space around it.
    pub stream_id: String,
    /// The place in the stream, from 0; 0 where the payload names none.
    pub seq: u64,
    /// Who speaks; `assistant` unless the payload says otherwise.
    pub role: Text,
    /// What the pieces are; `text/plain` unless the payload says otherwise.
    pub content_type: Text,
    /// What it says.
    pub part: StreamPart,
}

/// What a payload of a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamPart {
    /// The stream begins.
    Start {
        /// Whether the payload has a number: then all that follows counts on from it without gaps.
        numbered: bool,
        /// When it began.
        started_at: Option<Text>,
        /// About the stream; any JSON but an empty object, which is written where there is none.
        metadata: Option<RawJson>,
    },
    /// A piece; usually text.
    Delta {
        /// Any JSON.
        delta: RawJson,
    },
    /// The stream is complete.
    End {
        /// The whole text, whatever the pieces said.
        text: Option<Text>,
        /// The whole result, if the sender gives one; any JSON.
        result: Option<RawJson>,
        /// When it ended.
        finished_at: Option<Text>,
        /// About the stream; any JSON but an empty object.
        metadata: Option<RawJson>,
    },
    /// The stream failed; nothing follows.
    Error {
        /// A code, or the text that programs of the Python implementation send.
        error: String,
        /// Description of the failure, for people to read.
        detail: Option<String>,
        /// When it ended.
        finished_at: Option<Text>,
        /// About the stream; any JSON but an empty object.
        metadata: Option<RawJson>,
    },
}

/// Why a payload with a stream's `type` cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// `stream_id` is missing or blank.
    #[error("a stream payload needs a `stream_id`")]
    StreamId,
    /// `seq` is no number from 0 on.
    #[error("the `seq` of a stream payload must be a number of 0 or more")]
    Seq,
    /// A piece without `delta`.
    #[error("a stream_delta payload needs a `delta`")]
    Delta,
    /// A text is longer than allowed.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl StreamPart {
    /// A start in the numbered form.
    #[must_use]
    pub const fn start(metadata: Option<RawJson>, started_at: Option<Text>) -> Self {
        Self::Start {
            numbered: true,
            started_at,
            metadata,
        }
    }

    /// An end without text, metadata and time.
    #[must_use]
    pub const fn end(result: Option<RawJson>) -> Self {
        Self::End {
            text: None,
            result,
            finished_at: None,
            metadata: None,
        }
    }

    /// An error without metadata and time.
    #[must_use]
    pub const fn error(error: String, detail: Option<String>) -> Self {
        Self::Error {
            error,
            detail,
            finished_at: None,
            metadata: None,
        }
    }

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

    /// How many bytes it holds.
    pub(super) fn size(&self) -> usize {
        let json = |json: &Option<RawJson>| json.as_ref().map_or(0, |json| json.get().len());
        match self {
            Self::Start { metadata, .. } => json(metadata),
            Self::Delta { delta } => delta.get().len(),
            Self::End {
                text, result, metadata, ..
            } => json(result) + json(metadata) + text.as_ref().map_or(0, |text| text.len()),
            Self::Error {
                error,
                detail,
                metadata,
                ..
            } => error.len() + detail.as_ref().map_or(0, String::len) + json(metadata),
        }
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
    /// A frame of the default role and content type.
    #[must_use]
    pub fn new(stream_id: impl Into<String>, seq: u64, part: StreamPart) -> Self {
        Self {
            stream_id: stream_id.into(),
            seq,
            role: Text::from_static(DEFAULT_ROLE),
            content_type: Text::from_static(DEFAULT_CONTENT_TYPE),
            part,
        }
    }

    /// The payload to send.
    #[must_use]
    pub fn to_payload(&self) -> RawJson {
        let kind = match &self.part {
            StreamPart::Start { .. } => START_TYPE,
            StreamPart::Delta { .. } => DELTA_TYPE,
            StreamPart::End { .. } => END_TYPE,
            StreamPart::Error { .. } => ERROR_TYPE,
        };
        let mut json = ObjectWriter::with_capacity(192 + self.stream_id.len() + self.part.size());
        json.text("type", kind).text("stream_id", &self.stream_id);
        if !matches!(self.part, StreamPart::Start { numbered: false, .. }) {
            json.int("seq", self.seq);
        }
        json.text("role", &self.role).text("content_type", &self.content_type);
        match &self.part {
            StreamPart::Start {
                started_at, metadata, ..
            } => about(&mut json, "started_at", started_at.as_ref(), metadata.as_ref()),
            StreamPart::Delta { delta } => {
                json.raw("delta", &json::ascii(delta.get()));
            }
            StreamPart::End {
                text,
                result,
                finished_at,
                metadata,
            } => {
                about(&mut json, "finished_at", finished_at.as_ref(), metadata.as_ref());
                json.opt_text("text", text.as_deref());
                if let Some(result) = result {
                    json.raw("result", &json::ascii(result.get()));
                }
            }
            StreamPart::Error {
                error,
                detail,
                finished_at,
                metadata,
            } => {
                about(&mut json, "finished_at", finished_at.as_ref(), metadata.as_ref());
                json.text("error", error).opt_text("detail", detail.as_deref());
            }
        }
        RawJson::validated(Text::from(json.finish()))
    }

    /// Reads a payload of either form; `None` where its `type` is none of a stream's.
    ///
    /// # Errors
    /// [`StreamError`] where the type is right and a member is not.
    pub fn parse(payload: &Value<'_>) -> Result<Option<Self>, StreamError> {
        let Some(object) = payload.as_object() else {
            return Ok(None);
        };
        let type_name = object.get("type").text();
        let of_type = |expected| is_type(&type_name, expected);
        let given = |name| Some(object.get(name)).filter(|value| !value.is_null());
        let time = |name| bounded(&object, name, MAX_ID_BYTES);
        let metadata = || {
            let is_empty = |value: &Value<'_>| value.as_object().is_some_and(|members| members.is_empty());
            given("metadata").filter(|value| !is_empty(value)).map(owned)
        };
        let part = if of_type(START_TYPE) {
            StreamPart::Start {
                numbered: given("seq").is_some(),
                started_at: time("started_at")?,
                metadata: metadata(),
            }
        } else if of_type(DELTA_TYPE) {
            StreamPart::Delta {
                delta: given("delta").map(owned).ok_or(StreamError::Delta)?,
            }
        } else if of_type(END_TYPE) {
            StreamPart::End {
                text: object.get("text").as_str().map(|text| Text::from(&*text)),
                result: given("result").map(owned),
                finished_at: time("finished_at")?,
                metadata: metadata(),
            }
        } else if of_type(ERROR_TYPE) {
            let error = object.get("error").opt_text().unwrap_or("stream_failed".into());
            StreamPart::Error {
                error: error.into_owned(),
                detail: object.get("detail").opt_text().map(Cow::into_owned),
                finished_at: time("finished_at")?,
                metadata: metadata(),
            }
        } else {
            return Ok(None);
        };
        let stream_id = object.get("stream_id").text();
        let stream_id = json::trim(&stream_id);
        if stream_id.is_empty() {
            return Err(StreamError::StreamId);
        }
        check_bytes("stream_id", stream_id, MAX_ID_BYTES)?;
        Ok(Some(Self {
            stream_id: stream_id.to_owned(),
            seq: given("seq").map_or(Ok(0), |seq| number(&seq))?,
            role: name(&object, "role", DEFAULT_ROLE)?,
            content_type: name(&object, "content_type", DEFAULT_CONTENT_TYPE)?,
            part,
        }))
    }
}

/// Types are compared without the white space around them and in any case, as the Python implementation does.
pub(super) fn is_type(name: &str, expected: &str) -> bool {
    json::trim(name).eq_ignore_ascii_case(expected)
}

fn number(seq: &Value<'_>) -> Result<u64, StreamError> {
    let seq = seq.int().ok().flatten();
    seq.and_then(|seq| u64::try_from(seq).ok()).ok_or(StreamError::Seq)
}

/// A name that most frames leave at its default, which costs nothing.
fn name(object: &Object<'_>, member: &'static str, default: &'static str) -> Result<Text, TooLarge> {
    match object.get(member).opt_text() {
        Some(text) if text != default => {
            check_bytes(member, &text, MAX_NAME_BYTES)?;
            Ok(Text::from(&*text))
        }
        _ => Ok(Text::from_static(default)),
    }
}

fn bounded(object: &Object<'_>, member: &'static str, max: usize) -> Result<Option<Text>, TooLarge> {
    let Some(text) = object.get(member).opt_text() else {
        return Ok(None);
    };
    check_bytes(member, &text, max)?;
    Ok(Some(Text::from(&*text)))
}

/// Writes the time and the metadata of a stream as frames of the Python implementation have them.
fn about(json: &mut ObjectWriter, time: &str, at: Option<&Text>, metadata: Option<&RawJson>) {
    json.opt_text(time, at.map(|at| &**at));
    json.raw(
        "metadata",
        &metadata.map_or(Cow::Borrowed("{}"), |json| json::ascii(json.get())),
    );
}

fn owned(value: Value<'_>) -> RawJson {
    RawJson::validated(Text::from(value.raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_payloads_say_what_is_missing() {
        let cases = [
            ("5", Ok(false)),
            (r#"{"type":"other"}"#, Ok(false)),
            (
                r#"{"type":"stream_start","stream_id":" ","seq":0}"#,
                Err(StreamError::StreamId),
            ),
            (r#"{"type":"stream_start","stream_id":"s"}"#, Ok(true)),
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

    #[test]
    fn every_text_but_the_pieces_has_a_bound() {
        let cases = [
            ("stream_delta", "stream_id", 1024),
            ("stream_delta", "role", 256),
            ("stream_end", "content_type", 256),
            ("stream_start", "started_at", 1024),
            ("stream_end", "finished_at", 1024),
            ("stream_error", "finished_at", 1024),
        ];
        for (kind, member, max) in cases {
            for (bytes, fits) in [(max, true), (max + 1, false)] {
                let mut payload = serde_json::json!({ "type": kind, "stream_id": "s", "delta": "d" });
                payload[member] = "x".repeat(bytes).into();
                let payload = payload.to_string();
                let parsed = StreamFrame::parse(&Value::parse(&payload).unwrap());
                match parsed {
                    Ok(frame) => assert!(fits && frame.is_some(), "{member}"),
                    Err(StreamError::TooLarge(error)) => assert!(!fits && error.member == member, "{member}"),
                    Err(error) => panic!("{member}: {error}"),
                }
            }
        }
    }
}
