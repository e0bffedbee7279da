//! Reads the events of a message.

use serde_json::{Map, Value, json};

use crate::model::calls::CallTracker;
use crate::model::conversation::arguments_object;
use crate::model::dialect::{Decoder, items, malformed, number, parse, push_reasoning, push_text, text};
use crate::model::provider_error::ErrorBody;
use crate::model::sse::SseEvent;
use crate::model::{ChatEvent, ModelError, StopReason, TokenUsage};

/// Reader of one answer.
#[derive(Debug, Default)]
pub(crate) struct MessagesDecoder {
    calls: CallTracker,
    /// The content block that is being read.
    block: Option<Block>,
    /// Whether the answer began with thinking: its blocks are given out whole then.
    is_thinking: bool,
    usage: TokenUsage,
    stop: Option<StopReason>,
    is_finished: bool,
}

#[derive(Debug)]
struct Block {
    index: u64,
    /// The block as it will go back to the provider.
    value: Map<String, Value>,
    /// Position of the tool call.
    call: Option<usize>,
    /// JSON text of the arguments.
    input: String,
}

impl Decoder for MessagesDecoder {
    fn read_event(&mut self, event: &SseEvent, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        if event.data.trim().is_empty() {
            return Ok(());
        }
        let data = parse(&event.data)?;
        match text(&data, "type") {
            "message_start" => {
                let message = data.get("message").unwrap_or(&Value::Null);
                out.push(ChatEvent::Started {
                    id: text(message, "id").into(),
                    model: text(message, "model").into(),
                });
                self.read_usage(message, out);
            }
            "content_block_start" => {
                let block = data.get("content_block").unwrap_or(&Value::Null);
                self.begin_block(number(&data, "/index"), block, out)?;
            }
            "content_block_delta" => self.read_delta(&data, out)?,
            "content_block_stop" => self.end_block(out),
            "message_delta" => {
                if let Some(reason) = data.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    self.stop = Some(stop_reason(reason));
                }
                self.read_usage(&data, out);
            }
            "message_stop" => {
                self.stop.get_or_insert(StopReason::End);
                self.finish(out);
            }
            "error" => return Err(ErrorBody::from_value(&data).into_stream_error()),
            _ if data.get("error").is_some_and(|error| !error.is_null()) => {
                return Err(ErrorBody::from_value(&data).into_stream_error());
            }
            // `ping`, and what later versions add.
            _ => {}
        }
        Ok(())
    }

    fn read_answer(&mut self, answer: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        if !answer.get("content").is_some_and(Value::is_array) {
            return Err(malformed("the answer has no content"));
        }
        out.push(ChatEvent::Started {
            id: text(answer, "id").into(),
            model: text(answer, "model").into(),
        });
        for (index, block) in (0..).zip(items(answer, "content")) {
            self.begin_block(index, block, out)?;
            self.end_block(out);
        }
        self.read_usage(answer, out);
        self.stop = Some(stop_reason(text(answer, "stop_reason")));
        self.finish(out);
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.is_finished
    }

    fn has_stop_reason(&self) -> bool {
        self.stop.is_some() || self.is_finished
    }

    fn finish(&mut self, out: &mut Vec<ChatEvent>) {
        if self.is_finished {
            return;
        }
        let Some(reason) = self.stop.take() else { return };
        self.is_finished = true;
        self.end_block(out);
        self.calls.finish(out);
        let reason = match reason {
            StopReason::End if !self.calls.is_empty() => StopReason::ToolCalls,
            other => other,
        };
        out.push(ChatEvent::Stop(reason));
    }
}

impl MessagesDecoder {
    /// A block begins, as a rule an empty one; what is in it already is given out.
    fn begin_block(&mut self, index: u64, block: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        self.end_block(out);
        let Value::Object(value) = block else {
            return Err(malformed("a content block of the answer is no object"));
        };
        let mut call = None;
        match text(block, "type") {
            "text" => push_text(text(block, "text"), out),
            "thinking" => {
                self.is_thinking = true;
                push_reasoning(text(block, "thinking"), out);
            }
            "redacted_thinking" => self.is_thinking = true,
            "tool_use" => {
                let id = text(block, "id");
                call = Some(self.calls.begin(&index.to_string(), id, text(block, "name"), out)?);
            }
            _ => {}
        }
        self.block = Some(Block {
            index,
            value: value.clone(),
            call,
            input: String::new(),
        });
        Ok(())
    }

    fn read_delta(&mut self, data: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        let index = number(data, "/index");
        let Some(block) = self.block.as_mut().filter(|block| block.index == index) else {
            return Err(malformed(
                "the answer has a piece of a content block that has not begun",
            ));
        };
        let delta = data.get("delta").unwrap_or(&Value::Null);
        match text(delta, "type") {
            "text_delta" => {
                append(&mut block.value, "text", text(delta, "text"));
                push_text(text(delta, "text"), out);
            }
            "thinking_delta" => {
                append(&mut block.value, "thinking", text(delta, "thinking"));
                push_reasoning(text(delta, "thinking"), out);
            }
            "signature_delta" => append(&mut block.value, "signature", text(delta, "signature")),
            "input_json_delta" => {
                let fragment = text(delta, "partial_json");
                block.input.push_str(fragment);
                if let Some(call) = block.call {
                    self.calls.push_arguments(call, fragment, out);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_block(&mut self, out: &mut Vec<ChatEvent>) {
        let Some(mut block) = self.block.take() else { return };
        if let Some(call) = block.call {
            match block.input.is_empty() {
                // Arguments that came whole, at the start of the block.
                true => {
                    let input = block
                        .value
                        .get("input")
                        .filter(|input| input.as_object().is_some_and(|it| !it.is_empty()));
                    if let Some(input) = input {
                        self.calls.set_arguments(call, &input.to_string(), out);
                    }
                }
                false => {
                    block.value.insert("input".into(), arguments_object(&block.input));
                }
            }
        }
        let is_empty_text = text_member(&block.value, "type") == "text" && text_member(&block.value, "text").is_empty();
        if self.is_thinking && !is_empty_text {
            out.push(ChatEvent::Block(Value::Object(block.value)));
        }
    }

    /// Tokens: those of the start of the message, replaced by the members that its end repeats.
    fn read_usage(&mut self, message: &Value, out: &mut Vec<ChatEvent>) {
        let Some(usage) = message.get("usage").filter(|usage| usage.is_object()) else {
            return;
        };
        if usage.get("input_tokens").is_some_and(Value::is_u64) {
            let cached_input = number(usage, "/cache_read_input_tokens");
            let written = number(usage, "/cache_creation_input_tokens");
            let input = number(usage, "/input_tokens")
                .saturating_add(written)
                .saturating_add(cached_input);
            // The end of a message may repeat the new tokens without those of the cache.
            if input >= self.usage.input {
                self.usage.input = input;
                self.usage.cached_input = cached_input;
            }
        }
        self.usage.output = self.usage.output.max(number(usage, "/output_tokens"));
        out.push(ChatEvent::Usage(self.usage));
    }
}

fn append(block: &mut Map<String, Value>, member: &str, more: &str) {
    match block.get_mut(member) {
        Some(Value::String(text)) => text.push_str(more),
        _ => {
            block.insert(member.to_owned(), json!(more));
        }
    }
}

fn text_member<'a>(block: &'a Map<String, Value>, member: &str) -> &'a str {
    block.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "tool_use" => StopReason::ToolCalls,
        "refusal" => StopReason::Refused,
        "pause_turn" => StopReason::Paused,
        _ => StopReason::End,
    }
}
