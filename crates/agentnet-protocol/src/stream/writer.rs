//! Makes the payloads of a stream.

use super::frame::{StreamFrame, StreamPart, piece_text};
use super::{DEFAULT_CONTENT_TYPE, DEFAULT_ROLE};
use crate::{RawJson, Text, Timestamp};

/// Makes the payloads of one stream and counts them.
#[derive(Debug)]
pub struct StreamWriter {
    stream_id: String,
    role: Text,
    content_type: Text,
    seq: u64,
    whole: WholeText,
}

/// The text of the pieces so far, to be repeated at the end; given up once it is longer than a message may be.
#[derive(Debug)]
pub struct WholeText {
    text: Option<String>,
    max_bytes: usize,
}

impl WholeText {
    /// No longer than this.
    #[must_use]
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            text: Some(String::new()),
            max_bytes,
        }
    }

    /// Adds a piece.
    pub fn push(&mut self, piece: &RawJson) {
        let (Some(whole), Some(text)) = (&mut self.text, piece_text(piece)) else {
            return;
        };
        if whole.len() + text.len() > self.max_bytes {
            self.text = None;
        } else {
            whole.push_str(&text);
        }
    }

    /// What the end says: the text of the pieces, or of the result where no piece had one; `None` where there is none, or
    /// too much.
    pub fn take(&mut self, result: Option<&RawJson>) -> Option<Text> {
        let whole = self.text.take()?;
        if !whole.is_empty() {
            return Some(Text::from(whole));
        }
        let of_result = result.and_then(piece_text)?;
        (of_result.len() <= self.max_bytes).then(|| Text::from(&*of_result))
    }
}

/// Bytes of text that the end of a stream repeats; what a message may have by default.
const WHOLE_TEXT_BYTES: usize = 256_000;

impl StreamWriter {
    /// A stream that has not begun. The id must not be blank, and no other stream of the thread may have it.
    #[must_use]
    pub fn new(stream_id: impl Into<String>) -> Self {
        Self {
            stream_id: stream_id.into(),
            role: Text::from_static(DEFAULT_ROLE),
            content_type: Text::from_static(DEFAULT_CONTENT_TYPE),
            seq: 0,
            whole: WholeText::new(WHOLE_TEXT_BYTES),
        }
    }

    /// Who speaks. Default `assistant`.
    #[must_use]
    pub fn role(mut self, role: impl Into<Text>) -> Self {
        self.role = role.into();
        self
    }

    /// What the pieces are. Default `text/plain`.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<Text>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// The first payload.
    pub fn start(&mut self, metadata: Option<RawJson>, now: Timestamp) -> RawJson {
        self.next(StreamPart::start(metadata, Some(Text::from(now.to_string()))))
    }

    /// A piece of text.
    pub fn text(&mut self, text: &str) -> RawJson {
        let delta = RawJson::validated(Text::from(serde_json::Value::from(text).to_string()));
        self.delta(delta)
    }

    /// A piece of any JSON.
    pub fn delta(&mut self, delta: RawJson) -> RawJson {
        self.whole.push(&delta);
        self.next(StreamPart::Delta { delta })
    }

    /// The last payload. It repeats the whole text, if that is no longer than a message may be.
    pub fn end(mut self, result: Option<RawJson>, now: Timestamp) -> RawJson {
        let text = self.whole.take(result.as_ref());
        self.next(StreamPart::End {
            text,
            result,
            finished_at: Some(Text::from(now.to_string())),
            metadata: None,
        })
    }

    /// The last payload of a stream that failed.
    pub fn error(mut self, error: impl Into<String>, detail: Option<String>, now: Timestamp) -> RawJson {
        self.next(StreamPart::Error {
            error: error.into(),
            detail,
            finished_at: Some(Text::from(now.to_string())),
            metadata: None,
        })
    }

    fn next(&mut self, part: StreamPart) -> RawJson {
        let frame = StreamFrame {
            role: self.role.clone(),
            content_type: self.content_type.clone(),
            ..StreamFrame::new(self.stream_id.clone(), self.seq, part)
        };
        self.seq += 1;
        frame.to_payload()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(0);

    #[test]
    fn a_stream_is_numbered_and_reads_back() {
        let result = RawJson::parse(r#"{"n":12345678901234567890123,"é":1.0}"#).unwrap();
        let mut writer = StreamWriter::new("s1").role("tool").content_type("text/markdown");
        let payloads = [
            writer.start(Some(RawJson::parse(r#"{"model":"m"}"#).unwrap()), NOW),
            writer.text("Hé\n"),
            writer.delta(RawJson::parse("[1.0]").unwrap()),
            writer.end(Some(result), NOW),
        ];
        let texts = [
            r#""seq":0,"role":"tool","content_type":"text/markdown","started_at":"1970-01-01T00:00:00Z","metadata":{"model":"m"}}"#,
            r#""seq":1,"role":"tool","content_type":"text/markdown","delta":"H\u00e9\n"}"#,
            r#""seq":2,"role":"tool","content_type":"text/markdown","delta":[1.0]}"#,
            r#""seq":3,"role":"tool","content_type":"text/markdown","finished_at":"1970-01-01T00:00:00Z","metadata":{},"text":"H\u00e9\n","result":{"n":12345678901234567890123,"\u00e9":1.0}}"#,
        ];
        let types = ["stream_start", "stream_delta", "stream_delta", "stream_end"];
        for (index, (payload, rest)) in payloads.iter().zip(texts).enumerate() {
            let text = format!(r#"{{"type":"{}","stream_id":"s1",{rest}"#, types[index]);
            assert_eq!(payload.get(), text);
            let frame = StreamFrame::parse(&payload.view()).unwrap().unwrap();
            assert_eq!(frame.seq, index as u64);
            assert_eq!(frame.part.is_last(), index == 3);
            assert_eq!(frame.to_payload().get(), text);
        }
        let failed = StreamWriter::new("s2").error("busy", Some("later".to_owned()), NOW);
        let frame = StreamFrame::parse(&failed.view()).unwrap().unwrap();
        let part = StreamPart::Error {
            error: "busy".to_owned(),
            detail: Some("later".to_owned()),
            finished_at: Some("1970-01-01T00:00:00Z".into()),
            metadata: None,
        };
        assert_eq!(frame, StreamFrame::new("s2", 0, part));
    }

    #[test]
    fn the_end_repeats_a_text_that_fits_a_message() {
        let json = |text: &str| RawJson::from_serialize(text).unwrap();
        // (pieces, result, what the end says)
        let cases: [(&[&str], Option<&str>, Option<&str>); 5] = [
            (&["abcd", "efgh"], Some("no"), Some("abcdefgh")),
            (&["abcd", "efghi"], Some("no"), None),
            (&[], Some("result"), Some("result")),
            (&[], Some("too long for it"), None),
            (&[], None, None),
        ];
        for (pieces, result, expected) in cases {
            let mut whole = WholeText::new(8);
            for piece in pieces {
                whole.push(&json(piece));
            }
            assert_eq!(
                whole.take(result.map(json).as_ref()).as_deref(),
                expected,
                "{pieces:?} {result:?}"
            );
        }
    }
}
