//! The chat completions API of OpenAI, as many servers speak it.

mod decoder;

pub(crate) use self::decoder::ChatDecoder;

use serde_json::{Map, Value, json};

use crate::model::conversation::{Turn, arguments_text, turns};
use crate::model::dialect::BodyOptions;
use crate::model::{AssistantTurn, ChatRequest, ToolChoice, ToolSpec};

/// Members of a request that a model may refuse, and that a request is complete without.
pub(crate) const OPTIONAL: &[&str] = &[
    "max_completion_tokens",
    "max_tokens",
    "reasoning_effort",
    "stream_options",
    "temperature",
    "tool_choice",
];

/// The body of a request.
pub(crate) fn body(request: &ChatRequest, options: &BodyOptions<'_>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".into(), json!(request.model));
    body.insert("messages".into(), messages(request));
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
        body.insert("tool_choice".into(), json!(tool_choice(request.tool_choice)));
    }
    body.insert("stream".into(), json!(true));
    body.insert("stream_options".into(), json!({ "include_usage": true }));
    if let Some(max_tokens) = request.max_tokens
        && let Some(name) = max_tokens_member(options)
    {
        body.insert(name.into(), json!(max_tokens.saturating_add(request.thinking)));
    }
    if let Some(temperature) = request.temperature {
        body.insert("temperature".into(), json!(temperature));
    }
    if request.thinking > 0 {
        body.insert("reasoning_effort".into(), json!(effort(request.thinking)));
    }
    options.remove_drops(&mut body);
    body
}

/// Tokens for thinking as the word that the APIs of OpenAI take.
pub(crate) fn effort(thinking: u32) -> &'static str {
    match thinking {
        0..2_048 => "low",
        2_048..16_384 => "medium",
        _ => "high",
    }
}

/// The value of `tool_choice` in the APIs of OpenAI.
pub(crate) fn tool_choice(choice: ToolChoice) -> &'static str {
    match choice {
        ToolChoice::Auto => "auto",
        ToolChoice::None => "none",
    }
}

/// The reasoning models of OpenAI take only `max_completion_tokens`, many other servers only `max_tokens`.
fn max_tokens_member(options: &BodyOptions<'_>) -> Option<&'static str> {
    let names = match options.is_openai {
        true => ["max_completion_tokens", "max_tokens"],
        false => ["max_tokens", "max_completion_tokens"],
    };
    names.into_iter().find(|name| !options.drops(name))
}

fn messages(request: &ChatRequest) -> Value {
    let mut messages = Vec::with_capacity(request.messages.len() + 1);
    if !request.system.is_empty() {
        messages.push(json!({ "role": "system", "content": request.system }));
    }
    for turn in turns(&request.messages) {
        match turn {
            Turn::User(text) => messages.push(json!({ "role": "user", "content": text })),
            Turn::Assistant(turn) => messages.push(assistant(&turn)),
            Turn::Results(results) => messages.extend(
                results
                    .iter()
                    .map(|result| json!({ "role": "tool", "tool_call_id": result.call_id, "content": result.content })),
            ),
        }
    }
    Value::Array(messages)
}

fn assistant(turn: &AssistantTurn) -> Value {
    if turn.tool_calls.is_empty() {
        return json!({ "role": "assistant", "content": turn.text });
    }
    let calls: Vec<Value> = turn
        .tool_calls
        .iter()
        .map(|call| {
            let function = json!({ "name": call.name, "arguments": arguments_text(&call.arguments) });
            json!({ "id": call.id, "type": "function", "function": function })
        })
        .collect();
    let content = if turn.text.is_empty() {
        Value::Null
    } else {
        json!(turn.text)
    };
    json!({ "role": "assistant", "content": content, "tool_calls": calls })
}

fn tool(spec: &ToolSpec) -> Value {
    let function = json!({ "name": spec.name, "description": spec.description, "parameters": spec.parameters });
    json!({ "type": "function", "function": function })
}

#[cfg(test)]
mod tests;
