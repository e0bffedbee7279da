//! Compaction: the event that asks for it and the checkpoint that answers (PROTOCOL.md section 9).
//!
//! Our registry emits no event (section 0, decision 1); another registry of the network may.

use crate::json::{self, Object, ObjectWriter, Value};
use crate::thread::saturate;
use crate::{RawJson, Text};

/// The `type` of an event's payload.
pub const REQUIRED_TYPE: &str = "compaction_required";
/// The `type` of a checkpoint's payload.
pub const CHECKPOINT_TYPE: &str = "checkpoint";

/// A registry's wish that a thread be compacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactionRequired {
    /// The thread; never empty.
    pub thread_id: String,
    /// `needs_compaction` unless the event says otherwise.
    pub status: String,
    /// Messages in the thread.
    pub message_count: i64,
    /// Messages since the last checkpoint.
    pub pending_messages: i64,
    /// Bytes of all payloads.
    pub byte_count: i64,
    /// The token estimate.
    pub approx_tokens: i64,
    /// At least 1.
    pub soft_limit_tokens: i64,
    /// At least 1.
    pub hard_limit_tokens: i64,
    /// How many of the latest messages should stay as they are.
    pub keep_tail_messages: i64,
    /// Messages covered by checkpoints so far.
    pub latest_checkpoint_end: i64,
    /// When the registry asked.
    pub requested_at: Option<String>,
    /// Why compaction is requested, e.g. `thread_token_limit_exceeded`.
    pub reason: Option<String>,
}

/// The payload of an envelope, or the value itself where it has no payload object.
fn payload<'a>(source: &Value<'a>) -> Option<Object<'a>> {
    let object = source.as_object()?;
    Some(object.get("payload").as_object().unwrap_or(object))
}

fn has_type(payload: &Object<'_>, name: &str) -> bool {
    json::trim(&payload.get("type").text()).to_lowercase() == name
}

/// Whether a message, or the payload of one, is a compaction event.
#[must_use]
pub fn is_compaction_required(source: &Value<'_>) -> bool {
    payload(source).is_some_and(|payload| has_type(&payload, REQUIRED_TYPE))
}

impl CompactionRequired {
    /// Reads the event from a message or the payload of one. `None` where it is none, or names no thread. Numbers that cannot
    /// be read count as the least that is allowed.
    #[must_use]
    pub fn parse(source: &Value<'_>) -> Option<Self> {
        let payload = payload(source).filter(|payload| has_type(payload, REQUIRED_TYPE))?;
        let thread_id = payload.get("thread_id").text();
        let thread_id = Some(json::trim(&thread_id)).filter(|id| !id.is_empty())?.to_owned();
        let at_least = |least: i64, name| {
            let value = payload.get(name).int().ok().flatten();
            value.map_or(least, |value| saturate(value).max(least))
        };
        let text = |name| {
            Some(payload.get(name))
                .filter(|value| !value.is_null())
                .map(|v| v.python_text().into_owned())
        };
        let status = payload.get("status").text();
        Some(Self {
            thread_id,
            status: if status.is_empty() {
                "needs_compaction".to_owned()
            } else {
                status.into_owned()
            },
            message_count: at_least(0, "message_count"),
            pending_messages: at_least(0, "pending_messages"),
            byte_count: at_least(0, "byte_count"),
            approx_tokens: at_least(0, "approx_tokens"),
            soft_limit_tokens: at_least(1, "soft_limit_tokens"),
            hard_limit_tokens: at_least(1, "hard_limit_tokens"),
            keep_tail_messages: at_least(0, "keep_tail_messages"),
            latest_checkpoint_end: at_least(0, "latest_checkpoint_end"),
            requested_at: text("requested_at"),
            reason: text("reason"),
        })
    }
}

/// A summary that stands for the messages of a thread up to some place; sent on the thread as an ordinary message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The first message covered, counted from 0.
    pub covers_start: i64,
    /// How many messages of the thread are covered in all: the thread's `latest_checkpoint_end`.
    pub covers_end: i64,
    /// What they said.
    pub summary: String,
}

impl Checkpoint {
    /// The payload to send.
    #[must_use]
    pub fn to_payload(&self) -> RawJson {
        let json = ObjectWriter::new()
            .text("type", CHECKPOINT_TYPE)
            .int("covers_start", self.covers_start)
            .int("covers_end", self.covers_end)
            .text("summary", &self.summary)
            .finish();
        RawJson::validated(Text::from(json))
    }

    /// Reads a checkpoint from a message or the payload of one; `None` where it is none.
    #[must_use]
    pub fn parse(source: &Value<'_>) -> Option<Self> {
        let payload = payload(source).filter(|payload| has_type(payload, CHECKPOINT_TYPE))?;
        let number = |name| {
            payload
                .get(name)
                .int()
                .ok()
                .flatten()
                .map_or(0, |value| saturate(value.max(0)))
        };
        Some(Self {
            covers_start: number("covers_start"),
            covers_end: number("covers_end"),
            summary: payload.get("summary").text().into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back() {
        let checkpoint = Checkpoint {
            covers_start: 0,
            covers_end: 12,
            summary: "said \"é\"".to_owned(),
        };
        let payload = checkpoint.to_payload();
        assert_eq!(Checkpoint::parse(&payload.view()), Some(checkpoint));
        assert_eq!(crate::thread::checkpoint_end(&payload.view()), 12);
        assert!(!is_compaction_required(&payload.view()));
    }

    #[test]
    fn members_that_python_leaves_out_are_read_too() {
        let event =
            r#"{"type":"compaction_required","thread_id":"t","pending_messages":30,"keep_tail_messages":1e400}"#;
        let event = CompactionRequired::parse(&Value::parse(event).unwrap()).unwrap();
        assert_eq!((event.pending_messages, event.keep_tail_messages), (30, 0));
    }
}
