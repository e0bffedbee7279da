//! The messages API of Anthropic.

mod decoder;

pub(crate) use self::decoder::MessagesDecoder;

use serde_json::{Map, Value, json};

use crate::model::conversation::{Turn, arguments_object, turns};
use crate::model::dialect::{BodyOptions, text};
use crate::model::{AssistantTurn, ChatRequest, ToolChoice, ToolResult, ToolSpec};

/// Version of the API, a header of every request.
pub(crate) const VERSION: &str = "2023-06-01";

/// Members of a request that a model may refuse, and that a request is complete without. Without `thinking.budget_tokens`
/// the model decides how much it thinks.
pub(crate) const OPTIONAL: &[&str] = &["temperature", "thinking", "thinking.budget_tokens", "tool_choice"];

/// Tokens of an answer where the request does not say: the API requires the member.
const DEFAULT_MAX_TOKENS: u32 = 4_096;

/// The least budget that the API takes.
const MIN_THINKING: u32 = 1_024;

/// Types of blocks that show that the model was thinking.
const THINKING_TYPES: [&str; 2] = ["thinking", "redacted_thinking"];

/// The body of a request.
pub(crate) fn body(request: &ChatRequest, options: &BodyOptions<'_>) -> Map<String, Value> {
    let mut messages: Vec<Value> = Vec::with_capacity(request.messages.len());
    let mut can_think = true;
    for turn in turns(&request.messages) {
        match turn {
            Turn::User(text) => push(&mut messages, "user", vec![json!({ "type": "text", "text": text })]),
            Turn::Assistant(turn) => {
                let blocks = assistant(&turn, options);
                // Between a call and its results the model may think only if it thought before the call.
                can_think = turn.tool_calls.is_empty() || blocks.first().is_some_and(is_thinking);
                push(&mut messages, "assistant", blocks);
            }
            Turn::Results(results) => push(
                &mut messages,
                "user",
                results.iter().map(|it| tool_result(it)).collect(),
            ),
        }
    }
    let thinking = if can_think && !options.drops("thinking") {
        request.thinking
    } else {
        0
    };
    let thinking = if thinking == 0 { 0 } else { thinking.max(MIN_THINKING) };
    let max_tokens = request
        .max_tokens
        .unwrap_or(DEFAULT_MAX_TOKENS)
        .saturating_add(thinking);

    let mut body = Map::new();
    body.insert("model".into(), json!(request.model));
    body.insert("max_tokens".into(), json!(max_tokens));
    if !request.system.is_empty() {
        body.insert("system".into(), json!(request.system));
    }
    body.insert("messages".into(), Value::Array(messages));
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
        body.insert(
            "tool_choice".into(),
            json!({ "type": tool_choice(request.tool_choice) }),
        );
    }
    match (thinking, request.temperature) {
        (0, Some(temperature)) => {
            body.insert("temperature".into(), json!(temperature));
        }
        (0, None) => {}
        // A thinking model takes no temperature.
        _ if options.drops("thinking.budget_tokens") => {
            body.insert("thinking".into(), json!({ "type": "adaptive" }));
        }
        _ => {
            body.insert(
                "thinking".into(),
                json!({ "type": "enabled", "budget_tokens": thinking }),
            );
        }
    }
    body.insert("stream".into(), json!(true));
    options.remove_drops(&mut body);
    body
}

fn tool_choice(choice: ToolChoice) -> &'static str {
    match choice {
        ToolChoice::Auto => "auto",
        ToolChoice::None => "none",
    }
}

/// Appends a message, or the blocks to the message before if the speaker is the same.
fn push(messages: &mut Vec<Value>, role: &str, mut blocks: Vec<Value>) {
    if let Some(last) = messages.last_mut()
        && last["role"] == role
        && let Some(content) = last["content"].as_array_mut()
    {
        content.append(&mut blocks);
        return;
    }
    messages.push(json!({ "role": role, "content": blocks }));
}

fn assistant(turn: &AssistantTurn, options: &BodyOptions<'_>) -> Vec<Value> {
    let kept: &[Value] = if options.without_blocks { &[] } else { &turn.blocks };
    if is_whole_turn(kept, turn) {
        return kept.to_vec();
    }
    let mut blocks: Vec<Value> = kept.iter().filter(|block| is_thinking(block)).cloned().collect();
    if !turn.text.trim().is_empty() {
        // Text at the end of the last message may not end with white space.
        blocks.push(json!({ "type": "text", "text": turn.text.trim_end() }));
    }
    blocks.extend(turn.tool_calls.iter().map(|call| {
        let input = arguments_object(&call.arguments);
        json!({ "type": "tool_use", "id": tool_id(&call.id), "name": call.name, "input": input })
    }));
    if blocks.is_empty() {
        blocks.push(json!({ "type": "text", "text": "(no text)" }));
    }
    blocks
}

/// Whether the blocks are the whole answer of this API, thinking, text and the very calls of the turn: those go back as
/// they came, in their order.
fn is_whole_turn(blocks: &[Value], turn: &AssistantTurn) -> bool {
    let called = blocks
        .iter()
        .filter(|block| text(block, "type") == "tool_use")
        .map(|block| text(block, "id"));
    blocks.first().is_some_and(is_thinking)
        && called.eq(turn.tool_calls.iter().map(|call| call.id.as_str()))
        && (turn.text.is_empty() || blocks.iter().any(|block| text(block, "type") == "text"))
}

fn is_thinking(block: &Value) -> bool {
    THINKING_TYPES.contains(&text(block, "type"))
}

fn tool_result(result: &ToolResult) -> Value {
    let mut block = json!({
        "type": "tool_result",
        "tool_use_id": tool_id(&result.call_id),
        "content": result.content,
    });
    if result.is_error {
        block["is_error"] = json!(true);
    }
    block
}

/// The API takes ids of letters, digits, `_` and `-`; those of other providers may have more.
fn tool_id(id: &str) -> String {
    id.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .collect()
}

fn tool(spec: &ToolSpec) -> Value {
    json!({ "name": spec.name, "description": spec.description, "input_schema": spec.parameters })
}

#[cfg(test)]
mod tests;
