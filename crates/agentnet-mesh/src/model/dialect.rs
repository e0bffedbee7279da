//! What the three APIs have in common.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::model::sse::SseEvent;
use crate::model::{ChatEvent, ModelError, ModelErrorKind};

/// How a body is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyOptions<'a> {
    /// Members to leave out; a dot leads to a member of a member.
    pub(crate) drops: &'a BTreeSet<String>,
    /// Leave out the blocks of earlier turns: the provider does not take them.
    pub(crate) without_blocks: bool,
    /// The provider is known to call the limit of tokens `max_completion_tokens`.
    pub(crate) is_openai: bool,
}

impl BodyOptions<'_> {
    /// Whether a member is to be left out.
    pub(crate) fn drops(&self, member: &str) -> bool {
        self.drops.contains(member)
    }

    /// Takes the members out of a body. Without those that are named here it would be no request.
    pub(crate) fn remove_drops(&self, body: &mut Map<String, Value>) {
        for name in self.drops {
            match name.split_once('.') {
                _ if matches!(name.as_str(), "model" | "messages" | "input" | "stream") => {}
                Some((outer, inner)) => {
                    if let Some(object) = body.get_mut(outer).and_then(Value::as_object_mut) {
                        object.shift_remove(inner);
                    }
                }
                None => {
                    body.shift_remove(name);
                }
            }
        }
    }
}

/// Reads one answer. The events that it gives out end with [`ChatEvent::Stop`].
pub(crate) trait Decoder: Send {
    /// Reads one event of a stream.
    fn read_event(&mut self, event: &SseEvent, out: &mut Vec<ChatEvent>) -> Result<(), ModelError>;

    /// Reads an answer that came in one piece.
    fn read_answer(&mut self, answer: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError>;

    /// Whether [`ChatEvent::Stop`] was given out: nothing after it is read.
    fn is_finished(&self) -> bool;

    /// Whether it is known why the answer ended, so that a break of the connection does no harm.
    fn has_stop_reason(&self) -> bool {
        self.is_finished()
    }

    /// The connection has ended: gives out the stop event if the answer is complete.
    fn finish(&mut self, _out: &mut Vec<ChatEvent>) {}
}

/// The JSON of an event.
pub(crate) fn parse(data: &str) -> Result<Value, ModelError> {
    serde_json::from_str(data).map_err(|error| malformed(format!("an event of the answer is no JSON: {error}")))
}

/// An answer that is not what the API says.
pub(crate) fn malformed(message: impl Into<String>) -> ModelError {
    ModelError::new(ModelErrorKind::Malformed, message)
}

/// The text of a member; empty where it is absent, null or something else.
pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer; 0 where it is absent.
pub(crate) fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// Items of a list; none where it is absent.
pub(crate) fn items<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Gives out text, unless there is none.
pub(crate) fn push_text(text: &str, out: &mut Vec<ChatEvent>) {
    if !text.is_empty() {
        out.push(ChatEvent::Text(text.to_owned()));
    }
}

/// Gives out text of thinking, unless there is none.
pub(crate) fn push_reasoning(text: &str, out: &mut Vec<ChatEvent>) {
    if !text.is_empty() {
        out.push(ChatEvent::Reasoning(text.to_owned()));
    }
}
