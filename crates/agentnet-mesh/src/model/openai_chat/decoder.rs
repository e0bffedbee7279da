//! Reads the chunks of a chat completion.

use serde_json::Value;

use crate::model::calls::CallTracker;
use crate::model::dialect::{Decoder, items, malformed, number, parse, push_reasoning, push_text, text};
use crate::model::provider_error::ErrorBody;
use crate::model::sse::SseEvent;
use crate::model::{ChatEvent, ModelError, StopReason, TokenUsage};

/// Reader of one answer.
#[derive(Debug, Default)]
pub(crate) struct ChatDecoder {
    is_started: bool,
    calls: CallTracker,
    is_refusal: bool,
    stop: Option<StopReason>,
    is_finished: bool,
}

impl Decoder for ChatDecoder {
    fn read_event(&mut self, event: &SseEvent, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        let data = event.data.trim();
        if data == "[DONE]" {
            self.stop.get_or_insert(StopReason::End);
            self.finish(out);
            return Ok(());
        }
        if data.is_empty() {
            return Ok(());
        }
        let chunk = parse(data)?;
        let is_error = chunk.get("error").is_some_and(|error| !error.is_null()) || text(&chunk, "object") == "error";
        if is_error || event.name == "error" {
            return Err(ErrorBody::from_value(&chunk).into_stream_error());
        }
        self.read_chunk(&chunk, "delta", out)
    }

    fn read_answer(&mut self, answer: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        if items(answer, "choices").is_empty() {
            return Err(malformed("the answer has no choices"));
        }
        self.read_chunk(answer, "message", out)?;
        self.stop.get_or_insert(StopReason::End);
        self.finish(out);
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.is_finished
    }

    fn has_stop_reason(&self) -> bool {
        self.stop.is_some()
    }

    fn finish(&mut self, out: &mut Vec<ChatEvent>) {
        if self.is_finished {
            return;
        }
        let Some(reason) = self.stop.take() else { return };
        self.is_finished = true;
        self.calls.finish(out);
        let reason = match reason {
            _ if self.is_refusal => StopReason::Refused,
            // Some servers say `stop` also for calls.
            StopReason::End if !self.calls.is_empty() => StopReason::ToolCalls,
            other => other,
        };
        out.push(ChatEvent::Stop(reason));
    }
}

impl ChatDecoder {
    /// Reads a chunk, whose text is in `delta`, or a whole answer, where it is in `message`.
    fn read_chunk(&mut self, chunk: &Value, member: &str, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        if !chunk.is_object() {
            return Err(malformed("a chunk of the answer is no object"));
        }
        if !std::mem::replace(&mut self.is_started, true) {
            out.push(ChatEvent::Started {
                id: text(chunk, "id").into(),
                model: text(chunk, "model").into(),
            });
        }
        if let Some(choice) = items(chunk, "choices").first() {
            if let Some(delta) = choice.get(member) {
                self.read_delta(delta, out)?;
            }
            if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
                self.stop = Some(stop_reason(reason));
            }
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            out.push(ChatEvent::Usage(read_usage(usage)));
        }
        Ok(())
    }

    fn read_delta(&mut self, delta: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        // `reasoning_content`: DeepSeek, llama.cpp and others; `reasoning`: OpenRouter, Ollama, newer vLLM.
        let reasoning = match text(delta, "reasoning_content") {
            "" => text(delta, "reasoning"),
            reasoning => reasoning,
        };
        push_reasoning(reasoning, out);
        match delta.get("content") {
            Some(Value::String(content)) => push_text(content, out),
            // A list of parts: Mistral.
            Some(Value::Array(parts)) => parts.iter().for_each(|part| read_part(part, out)),
            _ => {}
        }
        let refusal = text(delta, "refusal");
        self.is_refusal |= !refusal.is_empty();
        push_text(refusal, out);
        items(delta, "tool_calls")
            .iter()
            .try_for_each(|call| self.read_call(call, out))
    }

    /// Reads a part of a tool call. Servers differ: without `index` or without `id`, the same index for several calls,
    /// id and name in every part, arguments as an object.
    fn read_call(&mut self, call: &Value, out: &mut Vec<ChatEvent>) -> Result<(), ModelError> {
        let id = text(call, "id");
        let function = call.get("function").unwrap_or(&Value::Null);
        let name = text(function, "name");
        let key = match call.get("index").and_then(Value::as_u64) {
            Some(index) => index.to_string(),
            None => format!("id {id}"),
        };
        let has_key = call.get("index").is_some_and(Value::is_u64) || !id.is_empty();
        let known = match has_key {
            true => self
                .calls
                .find(&key)
                .filter(|&index| id.is_empty() || !self.calls.has_other_id(index, id)),
            // Only more arguments belong to the call before; a name begins another one.
            false => self.calls.last().filter(|_| name.is_empty()),
        };
        let index = match known {
            Some(index) => {
                self.calls.set_name(index, name, out);
                index
            }
            None => self.calls.begin(&key, id, name, out)?,
        };
        match function.get("arguments") {
            Some(Value::String(fragment)) => self.calls.push_arguments(index, fragment, out),
            Some(object @ Value::Object(_)) => self.calls.push_arguments(index, &object.to_string(), out),
            _ => {}
        }
        Ok(())
    }
}

fn read_part(part: &Value, out: &mut Vec<ChatEvent>) {
    match text(part, "type") {
        "thinking" => items(part, "thinking")
            .iter()
            .for_each(|part| push_reasoning(text(part, "text"), out)),
        _ => push_text(text(part, "text"), out),
    }
}

fn read_usage(usage: &Value) -> TokenUsage {
    let cached = number(usage, "/prompt_tokens_details/cached_tokens");
    TokenUsage {
        input: number(usage, "/prompt_tokens"),
        output: number(usage, "/completion_tokens"),
        // `prompt_cache_hit_tokens`: DeepSeek.
        cached_input: cached.max(number(usage, "/prompt_cache_hit_tokens")),
    }
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "length" | "max_tokens" | "model_length" => StopReason::MaxTokens,
        "tool_calls" | "function_call" => StopReason::ToolCalls,
        "content_filter" => StopReason::Refused,
        _ => StopReason::End,
    }
}
