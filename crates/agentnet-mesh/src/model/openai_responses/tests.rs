use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use super::{ResponsesDecoder, body};
use crate::model::dialect::{BodyOptions, Decoder};
use crate::model::sse::SseEvent;
use crate::model::{
    AssistantTurn, ChatEvent, ChatMessage, ChatRequest, ModelErrorKind, StopReason, TokenUsage, ToolCall, ToolResult,
    ToolSpec, TurnBuilder,
};

fn turn(blocks: &[Value]) -> AssistantTurn {
    let call = ToolCall {
        id: "call_1".into(),
        name: "ask".into(),
        arguments: "{}".into(),
    };
    AssistantTurn {
        text: "b".into(),
        tool_calls: vec![call],
        blocks: blocks.to_vec(),
    }
}

fn request(turn: AssistantTurn) -> ChatRequest {
    let result = ToolResult {
        call_id: "call_1".into(),
        name: "ask".into(),
        content: "7".into(),
        is_error: false,
    };
    ChatRequest {
        model: "m".into(),
        system: "S".into(),
        messages: vec![
            ChatMessage::User("a".into()),
            ChatMessage::Assistant(turn),
            ChatMessage::ToolResults(vec![result]),
        ],
        tools: vec![ToolSpec {
            name: "ask".into(),
            description: "Asks.".into(),
            parameters: json!({"type": "object"}),
        }]
        .into(),
        max_tokens: Some(5),
        temperature: Some(0.2),
        ..ChatRequest::default()
    }
}

fn written(request: &ChatRequest, drops: &[&str], without_blocks: bool) -> Value {
    let drops: BTreeSet<String> = drops.iter().map(|name| (*name).to_owned()).collect();
    Value::Object(body(
        request,
        &BodyOptions {
            drops: &drops,
            without_blocks,
            is_openai: true,
        },
    ))
}

#[test]
fn a_body() {
    let expected = json!({
        "model": "m",
        "instructions": "S",
        "input": [
            { "role": "user", "content": "a" },
            { "role": "assistant", "content": "b" },
            { "type": "function_call", "call_id": "call_1", "name": "ask", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "call_1", "output": "7" },
        ],
        "tools": [{ "type": "function", "name": "ask", "description": "Asks.", "parameters": { "type": "object" },
            "strict": false }],
        "tool_choice": "auto",
        "stream": true,
        "store": false,
        "max_output_tokens": 16,
        "temperature": 0.2,
    });
    assert_eq!(written(&request(turn(&[])), &[], false), expected);
}

#[test]
fn a_body_of_a_thinking_model() {
    let request = ChatRequest {
        thinking: 1_000,
        ..request(turn(&[]))
    };
    let body = written(&request, &["reasoning.summary", "temperature"], false);
    assert_eq!(body["reasoning"], json!({ "effort": "low" }));
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(body["max_output_tokens"], 1_005);
    assert!(body.get("temperature").is_none());
}

fn thoughts() -> Vec<Value> {
    vec![
        json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" }),
        json!({ "type": "message", "id": "msg_1", "role": "assistant", "content": [] }),
        json!({ "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "ask", "arguments": "{}" }),
    ]
}

/// The items of an answer go back as they came, but only all of them, and only to this API.
#[rstest]
#[case::whole(thoughts(), false, 5)]
#[case::not_taken(thoughts(), true, 4)]
#[case::another_call(thoughts()[..2].to_vec(), false, 4)]
#[case::no_text(vec![thoughts().remove(0), thoughts().remove(2)], false, 4)]
#[case::of_another_api(vec![json!({"type": "thinking", "thinking": "hm", "signature": "x"})], false, 4)]
fn blocks_go_back(#[case] blocks: Vec<Value>, #[case] without_blocks: bool, #[case] expected: usize) {
    let body = written(&request(turn(&blocks)), &[], without_blocks);
    let input = body["input"].as_array().unwrap();
    assert_eq!(input.len(), expected);
    assert_eq!(input[1] == blocks[0], expected == 5);
}

fn read(events: &[Value]) -> Vec<ChatEvent> {
    let mut decoder = ResponsesDecoder::default();
    let mut out = Vec::new();
    for event in events {
        decoder
            .read_event(
                &SseEvent {
                    name: String::new(),
                    data: event.to_string(),
                },
                &mut out,
            )
            .unwrap();
    }
    assert!(decoder.is_finished());
    out
}

fn completed() -> Value {
    json!({ "type": "response.completed", "response": { "id": "r", "model": "m", "status": "completed",
        "usage": { "input_tokens": 9, "output_tokens": 2, "input_tokens_details": { "cached_tokens": 8 } } } })
}

fn item(kind: &str, index: usize, item: Value) -> Value {
    json!({ "type": format!("response.output_item.{kind}"), "output_index": index, "item": item })
}

#[test]
fn tool_calls_in_parts() {
    let call = |number: usize, arguments: &str| {
        json!({ "type": "function_call", "id": format!("fc_{number}"), "call_id": format!("call_{number}"),
            "name": "ask", "arguments": arguments })
    };
    let part = |number: usize, delta: &str| {
        json!({ "type": "response.function_call_arguments.delta", "item_id": format!("fc_{number}"),
            "output_index": number, "delta": delta })
    };
    let events = read(&[
        item("added", 0, call(0, "")),
        item("added", 1, call(1, "")),
        part(0, "{\"a\""),
        part(1, "{}"),
        part(0, ":1}"),
        json!({ "type": "response.function_call_arguments.done", "item_id": "fc_0", "output_index": 0,
            "arguments": "{\"a\":1}" }),
        item("done", 0, call(0, "{\"a\":1}")),
        item("done", 1, call(1, "{}")),
        // A call that comes only as a whole.
        item("done", 2, call(2, "{\"b\":2}")),
        completed(),
    ]);
    let mut builder = TurnBuilder::new();
    events.iter().for_each(|event| builder.push(event));
    assert_eq!(
        builder.usage(),
        TokenUsage {
            input: 9,
            output: 2,
            cached_input: 8
        }
    );
    assert_eq!(builder.stop(), Some(&StopReason::ToolCalls));
    let calls = builder.finish().0.tool_calls;
    let found: Vec<_> = calls
        .iter()
        .map(|call| (call.id.as_str(), call.arguments.as_str()))
        .collect();
    assert_eq!(
        found,
        [("call_0", "{\"a\":1}"), ("call_1", "{}"), ("call_2", "{\"b\":2}")]
    );
}

/// Servers that leave out the ids and places of items.
#[test]
fn tool_calls_without_keys() {
    let call = json!({ "type": "function_call", "call_id": "call_1", "name": "ask", "arguments": "{}" });
    let events = read(&[
        json!({ "type": "response.output_item.added", "item": { "type": "function_call", "call_id": "call_1", "name": "ask" } }),
        json!({ "type": "response.function_call_arguments.delta", "delta": "{}" }),
        json!({ "type": "response.output_item.done", "item": call }),
        completed(),
    ]);
    let expected = [
        ChatEvent::ToolCallStart {
            index: 0,
            id: "call_1".into(),
            name: "ask".into(),
        },
        ChatEvent::ToolCallArguments {
            index: 0,
            fragment: "{}".into(),
        },
    ];
    assert_eq!(events[..2], expected);
    assert_eq!(events.last(), Some(&ChatEvent::Stop(StopReason::ToolCalls)));
    assert_eq!(events.len(), 5);
}

#[test]
fn thoughts_with_their_content_are_kept() {
    let delta = json!({ "type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "delta": "hm" });
    let [thought, message, _] = <[Value; 3]>::try_from(thoughts()).unwrap();
    let text = json!({ "type": "response.output_text.delta", "item_id": "msg_1", "delta": "a" });
    let events = read(&[
        delta,
        item("done", 0, thought.clone()),
        text,
        item("done", 1, message.clone()),
        completed(),
    ]);
    let expected = [
        ChatEvent::Reasoning("hm".into()),
        ChatEvent::Block(thought),
        ChatEvent::Text("a".into()),
        ChatEvent::Block(message),
    ];
    assert_eq!(events[..4], expected);
}

#[test]
fn text_that_comes_only_as_a_whole() {
    let message = json!({ "type": "message", "id": "msg_1", "content": [{ "type": "output_text", "text": "a" }] });
    let thought = json!({ "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "hm" }] });
    let events = read(&[item("done", 0, thought), item("done", 1, message), completed()]);
    assert_eq!(
        events[..2],
        [ChatEvent::Reasoning("hm".into()), ChatEvent::Text("a".into())]
    );
}

#[rstest]
#[case(json!({ "status": "completed" }), StopReason::End)]
#[case(json!({ "status": "incomplete" }), StopReason::MaxTokens)]
#[case(json!({ "status": "incomplete", "incomplete_details": { "reason": "max_output_tokens" } }), StopReason::MaxTokens)]
#[case(json!({ "status": "incomplete", "incomplete_details": { "reason": "content_filter" } }), StopReason::Refused)]
fn reasons(#[case] response: Value, #[case] expected: StopReason) {
    let events = read(&[json!({ "type": "response.incomplete", "response": response })]);
    assert_eq!(events.last(), Some(&ChatEvent::Stop(expected)));
}

#[test]
fn a_refusal_is_text_and_a_reason() {
    let events = read(&[
        json!({ "type": "response.refusal.delta", "item_id": "i", "delta": "No." }),
        completed(),
    ]);
    assert_eq!(events[0], ChatEvent::Text("No.".into()));
    assert_eq!(events.last(), Some(&ChatEvent::Stop(StopReason::Refused)));
}

#[test]
fn a_failed_response() {
    let error = json!({ "code": "rate_limit_exceeded", "message": "slow down" });
    let event = json!({ "type": "response.failed", "response": { "status": "failed", "error": error } });
    let mut out = Vec::new();
    let event = SseEvent {
        name: String::new(),
        data: event.to_string(),
    };
    let error = ResponsesDecoder::default().read_event(&event, &mut out).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::RateLimited);
    assert!(error.message.ends_with("slow down"));
}
