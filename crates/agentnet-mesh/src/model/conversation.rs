//! Puts the messages of a request in an order that all APIs take.
//!
//! Speakers alternate (the chat templates of many local models insist on it), no text is empty, and each tool call is
//! followed by exactly one result.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::model::{AssistantTurn, ChatMessage, ToolCall, ToolResult};

/// What stands where a message has no text: the APIs refuse empty ones.
const EMPTY: &str = "(empty message)";

/// A part of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Turn<'a> {
    User(Cow<'a, str>),
    Assistant(Cow<'a, AssistantTurn>),
    /// One result for each call of the turn before.
    Results(Vec<Cow<'a, ToolResult>>),
}

/// The conversation in order. It begins with a user.
pub(crate) fn turns(messages: &[ChatMessage]) -> Vec<Turn<'_>> {
    let mut turns = Vec::with_capacity(messages.len() + 1);
    for message in messages {
        match message {
            ChatMessage::User(text) => push_user(&mut turns, text),
            ChatMessage::Assistant(turn) => push_assistant(&mut turns, turn),
            ChatMessage::ToolResults(results) => push_results(&mut turns, results),
        }
    }
    push_results_if_open(&mut turns);
    if !matches!(turns.first(), Some(Turn::User(_))) {
        turns.insert(0, Turn::User(Cow::Borrowed(EMPTY)));
    }
    turns
}

fn push_user<'a>(turns: &mut Vec<Turn<'a>>, text: &'a str) {
    push_results_if_open(turns);
    let text = if text.trim().is_empty() { EMPTY } else { text };
    match turns.last_mut() {
        Some(Turn::User(before)) => {
            let before = before.to_mut();
            before.push_str("\n\n");
            before.push_str(text);
        }
        _ => turns.push(Turn::User(Cow::Borrowed(text))),
    }
}

fn push_assistant<'a>(turns: &mut Vec<Turn<'a>>, turn: &'a AssistantTurn) {
    push_results_if_open(turns);
    if turn.text.trim().is_empty() && turn.tool_calls.is_empty() && turn.blocks.is_empty() {
        return;
    }
    match turns.last_mut() {
        Some(Turn::Assistant(before)) => {
            let before = before.to_mut();
            if !before.text.is_empty() && !turn.text.is_empty() {
                before.text.push_str("\n\n");
            }
            before.text.push_str(&turn.text);
            before.tool_calls.extend_from_slice(&turn.tool_calls);
            before.blocks.extend_from_slice(&turn.blocks);
        }
        _ => turns.push(Turn::Assistant(Cow::Borrowed(turn))),
    }
}

/// The results in the order of the calls; those that belong to no call are left out.
fn push_results<'a>(turns: &mut Vec<Turn<'a>>, results: &'a [ToolResult]) {
    let Some(Turn::Assistant(turn)) = turns.last() else {
        return;
    };
    if turn.tool_calls.is_empty() {
        return;
    }
    let found = turn.tool_calls.iter().map(|call| {
        let result = results.iter().find(|result| result.call_id == call.id);
        result.map_or_else(|| Cow::Owned(missing_result(call)), Cow::Borrowed)
    });
    let found = found.collect();
    turns.push(Turn::Results(found));
}

fn push_results_if_open(turns: &mut Vec<Turn<'_>>) {
    push_results(turns, &[]);
}

fn missing_result(call: &ToolCall) -> ToolResult {
    ToolResult {
        call_id: call.id.clone(),
        name: call.name.clone(),
        content: r#"{"ok":false,"error":"cancelled","detail":"The call was not finished."}"#.to_owned(),
        is_error: true,
    }
}

/// The arguments of a call as an object: what is no object is kept in a member `invalid_arguments`.
pub(crate) fn arguments_object(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => json!({ "invalid_arguments": arguments }),
    }
}

/// The arguments of a call as JSON text of an object, as the model wrote it where it is one.
pub(crate) fn arguments_text(arguments: &str) -> Cow<'_, str> {
    match serde_json::from_str::<Map<String, Value>>(arguments) {
        Ok(_) => Cow::Borrowed(arguments),
        Err(_) => Cow::Owned(arguments_object(arguments).to_string()),
    }
}

#[cfg(test)]
mod tests;
