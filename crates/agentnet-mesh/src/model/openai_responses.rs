//! The responses API of OpenAI, used without its store: every request has the whole conversation.

mod decoder;

pub(crate) use self::decoder::ResponsesDecoder;

use serde_json::{Map, Value, json};

use crate::model::conversation::{Turn, arguments_text, turns};
use crate::model::dialect::{BodyOptions, text};
use crate::model::openai_chat::{effort, tool_choice};
use crate::model::{AssistantTurn, ChatRequest, ToolSpec};

/// Members of a request that a model may refuse, and that a request is complete without.
pub(crate) const OPTIONAL: &[&str] = &[
    "include",
    "max_output_tokens",
    "reasoning",
    "reasoning.summary",
    "store",
    "temperature",
    "tool_choice",
];

/// The least limit of tokens that the API takes.
const MIN_OUTPUT_TOKENS: u32 = 16;

/// The body of a request.
pub(crate) fn body(request: &ChatRequest, options: &BodyOptions<'_>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".into(), json!(request.model));
    if !request.system.is_empty() {
        body.insert("instructions".into(), json!(request.system));
    }
    body.insert("input".into(), input(request, options));
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
        body.insert("tool_choice".into(), json!(tool_choice(request.tool_choice)));
    }
    body.insert("stream".into(), json!(true));
    body.insert("store".into(), json!(false));
    if let Some(max_tokens) = request.max_tokens {
        let max_tokens = max_tokens.saturating_add(request.thinking).max(MIN_OUTPUT_TOKENS);
        body.insert("max_output_tokens".into(), json!(max_tokens));
    }
    if let Some(temperature) = request.temperature {
        body.insert("temperature".into(), json!(temperature));
    }
    if request.thinking > 0 {
        body.insert(
            "reasoning".into(),
            json!({ "effort": effort(request.thinking), "summary": "auto" }),
        );
        // Without the store the thoughts come back to the model only if we have them, encrypted.
        body.insert("include".into(), json!(["reasoning.encrypted_content"]));
    }
    options.remove_drops(&mut body);
    body
}

fn input(request: &ChatRequest, options: &BodyOptions<'_>) -> Value {
    let mut items = Vec::with_capacity(request.messages.len());
    for turn in turns(&request.messages) {
        match turn {
            Turn::User(text) => items.push(json!({ "role": "user", "content": text })),
            Turn::Assistant(turn) => push_assistant(&mut items, &turn, options),
            Turn::Results(results) => items.extend(results.iter().map(
                |result| json!({ "type": "function_call_output", "call_id": result.call_id, "output": result.content }),
            )),
        }
    }
    Value::Array(items)
}

fn push_assistant(items: &mut Vec<Value>, turn: &AssistantTurn, options: &BodyOptions<'_>) {
    let kept: &[Value] = if options.without_blocks { &[] } else { &turn.blocks };
    if is_whole_turn(kept, turn) {
        items.extend_from_slice(kept);
        return;
    }
    // Thoughts are refused without the item that they led to, and the order of these is lost: they are left out.
    if !turn.text.is_empty() {
        items.push(json!({ "role": "assistant", "content": turn.text }));
    }
    items.extend(turn.tool_calls.iter().map(|call| {
        let arguments = arguments_text(&call.arguments);
        json!({ "type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments })
    }));
}

/// Whether the blocks are the whole answer of this API, thoughts, text and the very calls of the turn: those go back as
/// they came, in their order.
fn is_whole_turn(blocks: &[Value], turn: &AssistantTurn) -> bool {
    let called = blocks
        .iter()
        .filter(|block| text(block, "type") == "function_call")
        .map(|block| text(block, "call_id"));
    blocks.first().is_some_and(|block| text(block, "type") == "reasoning")
        && called.eq(turn.tool_calls.iter().map(|call| call.id.as_str()))
        && (turn.text.is_empty() || blocks.iter().any(|block| text(block, "type") == "message"))
}

fn tool(spec: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.parameters,
        "strict": false,
    })
}

#[cfg(test)]
mod tests;
