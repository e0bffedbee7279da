//! Reads the events of a response.

use serde_json::Value;

use crate::model::calls::CallTracker;
use crate::model::dialect::{Decoder, items, malformed, number, parse, push_reasoning, push_text, text};
use crate::model::provider_error::ErrorBody;
use crate::model::sse::SseEvent;
use crate::model::{ChatEvent, ModelError, StopReason, TokenUsage};

/// Reader of one answer.
#[derive(Debug, Default)]
pub(crate) struct ResponsesDecoder {
    is_started: bool,
    calls: CallTracker,
    /// Whether the text of the item that is being read came in pieces.
    is_streamed: bool,
    is_refusal: bool,
    /// Whether encrypted thoughts came: the items are given out whole then.
    is_thinking: bool,
    is_finished: bool,
}

impl Decoder for ResponsesDecoder {
    fn read_event(&mut self, event: &SseEvent, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        let data = event.data.trim();
        // `[DONE]`: some servers end every stream with it.
        if data.is_empty() || data == "[DONE]" {
            return Ok(());
        }
        let data = parse(data)?;
        match text(&data, "type") {
            "response.created" | "response.in_progress" => {
                self.start(data.get("response").unwrap_or(&Value::Null), out);
            }
            "response.output_item.added" => self.begin_item(&data, out)?,
            "response.output_text.delta" => {
                self.is_streamed = true;
                push_text(text(&data, "delta"), out);
            }
            "response.refusal.delta" => {
                self.is_streamed = true;
                self.is_refusal = true;
                push_text(text(&data, "delta"), out);
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.is_streamed = true;
                push_reasoning(text(&data, "delta"), out);
            }
            "response.function_call_arguments.delta" => {
                if let Some(call) = self.call_of(&data) {
                    self.calls.push_arguments(call, text(&data, "delta"), out);
                }
            }
            "response.function_call_arguments.done" => {
                if let Some(call) = self.call_of(&data) {
                    self.calls.set_arguments(call, text(&data, "arguments"), out);
                }
            }
            "response.output_item.done" => self.end_item(&data, out)?,
            "response.completed" | "response.incomplete" | "response.failed" => {
                self.end_response(data.get("response").unwrap_or(&Value::Null), out)?;
            }
            "error" => return Err(ErrorBody::from_value(&data).into_stream_error()),
            _ if data.get("error").is_some_and(|error| !error.is_null()) || event.name == "error" => {
                return Err(ErrorBody::from_value(&data).into_stream_error());
            }
            _ => {}
        }
        Ok(())
    }

    fn read_answer(&mut self, answer: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        if !answer.get("output").is_some_and(Value::is_array) {
            return Err(malformed("the answer has no output"));
        }
        self.start(answer, out);
        for (index, item) in items(answer, "output").iter().enumerate() {
            self.read_item(&format!("at {index}"), item, out)?;
        }
        self.end_response(answer, out)
    }

    fn is_finished(&self) -> bool {
        self.is_finished
    }
}

impl ResponsesDecoder {
    fn start(&mut self, response: &Value, out: &mut Vec<ChatEvent>) {
        if !std::mem::replace(&mut self.is_started, true) {
            out.push(ChatEvent::Started {
                id: text(response, "id").into(),
                model: text(response, "model").into(),
            });
        }
    }

    fn begin_item(&mut self, data: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        let item = data.get("item").unwrap_or(&Value::Null);
        if text(item, "type") == "function_call" {
            let call = self
                .calls
                .begin(&item_key(data, item), call_id(item), text(item, "name"), out)?;
            self.calls.push_arguments(call, text(item, "arguments"), out);
        }
        Ok(())
    }

    fn end_item(&mut self, data: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        let item = data.get("item").unwrap_or(&Value::Null);
        self.read_item(&item_key(data, item), item, out)
    }

    /// A whole item: gives out what did not come in pieces before.
    fn read_item(&mut self, key: &str, item: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        let is_new = !std::mem::take(&mut self.is_streamed);
        match text(item, "type") {
            "function_call" => {
                let known = self.calls.find(key).or_else(|| self.calls.find_id(call_id(item)));
                let call = match known {
                    Some(call) => call,
                    None => self.calls.begin(key, call_id(item), text(item, "name"), out)?,
                };
                self.calls.set_name(call, text(item, "name"), out);
                self.calls.set_arguments(call, text(item, "arguments"), out);
            }
            "message" => {
                for part in items(item, "content") {
                    self.is_refusal |= text(part, "type") == "refusal";
                    let (words, refusal) = (text(part, "text"), text(part, "refusal"));
                    if is_new {
                        push_text(if words.is_empty() { refusal } else { words }, out);
                    }
                }
            }
            "reasoning" => {
                self.is_thinking |= !text(item, "encrypted_content").is_empty();
                if is_new {
                    let parts = items(item, "summary").iter().chain(items(item, "content"));
                    parts.for_each(|part| push_reasoning(text(part, "text"), out));
                }
            }
            _ => return Ok(()),
        }
        if self.is_thinking {
            out.push(ChatEvent::Block(item.clone()));
        }
        Ok(())
    }

    fn call_of(&self, data: &Value) -> Option<usize> {
        self.calls
            .find(&key(data))
            .or_else(|| self.calls.find(&index_key(data)))
            .or_else(|| self.calls.last())
    }

    fn end_response(&mut self, response: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        let status = text(response, "status");
        if status == "failed" || response.get("error").is_some_and(|error| !error.is_null()) {
            return Err(ErrorBody::from_value(response).into_stream_error());
        }
        self.start(response, out);
        if let Some(usage) = response.get("usage").filter(|usage| usage.is_object()) {
            out.push(ChatEvent::Usage(TokenUsage {
                input: number(usage, "/input_tokens"),
                output: number(usage, "/output_tokens"),
                cached_input: number(usage, "/input_tokens_details/cached_tokens"),
            }));
        }
        self.calls.finish(out);
        let reason = response.pointer("/incomplete_details/reason").and_then(Value::as_str);
        let reason = match reason {
            Some("content_filter") => StopReason::Refused,
            Some(_) => StopReason::MaxTokens,
            None if status == "incomplete" => StopReason::MaxTokens,
            None if self.is_refusal => StopReason::Refused,
            None if !self.calls.is_empty() => StopReason::ToolCalls,
            None => StopReason::End,
        };
        self.is_finished = true;
        out.push(ChatEvent::Stop(reason));
        Ok(())
    }
}

/// What the events of an item call it by: its id, or its place in the output.
fn key(data: &Value) -> String {
    match text(data, "item_id") {
        "" => index_key(data),
        id => format!("id {id}"),
    }
}

fn item_key(data: &Value, item: &Value) -> String {
    match text(item, "id") {
        "" => index_key(data),
        id => format!("id {id}"),
    }
}

fn index_key(data: &Value) -> String {
    format!("at {}", number(data, "/output_index"))
}

fn call_id(item: &Value) -> &str {
    match text(item, "call_id") {
        "" => text(item, "id"),
        id => id,
    }
}
