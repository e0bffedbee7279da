use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use super::{ChatDecoder, body};
use crate::model::dialect::{BodyOptions, Decoder};
use crate::model::sse::SseEvent;
use crate::model::{
    AssistantTurn, ChatEvent, ChatMessage, ChatRequest, StopReason, TokenUsage, ToolCall, ToolChoice, ToolResult,
    ToolSpec, TurnBuilder,
};

fn request() -> ChatRequest {
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: "ask".into(),
        arguments: arguments.into(),
    };
    let result = |id: &str| ToolResult {
        call_id: id.into(),
        name: "ask".into(),
        content: "{}".into(),
        is_error: false,
    };
    let turn = AssistantTurn {
        tool_calls: vec![call("1", "{\"a\": 1}"), call("2", "oops")],
        ..AssistantTurn::default()
    };
    ChatRequest {
        model: "m".into(),
        system: "S".into(),
        messages: vec![
            ChatMessage::User("a".into()),
            ChatMessage::Assistant(turn),
            ChatMessage::ToolResults(vec![result("1"), result("2")]),
            ChatMessage::Assistant(AssistantTurn {
                text: "b".into(),
                ..AssistantTurn::default()
            }),
            ChatMessage::User("c".into()),
        ],
        tools: vec![ToolSpec {
            name: "ask".into(),
            description: "Asks.".into(),
            parameters: json!({"type": "object"}),
        }]
        .into(),
        max_tokens: Some(50),
        temperature: Some(0.2),
        ..ChatRequest::default()
    }
}

fn written(request: &ChatRequest, drops: &[&str], is_openai: bool) -> Value {
    let drops: BTreeSet<String> = drops.iter().map(|name| (*name).to_owned()).collect();
    Value::Object(body(
        request,
        &BodyOptions {
            drops: &drops,
            without_blocks: false,
            is_openai,
        },
    ))
}

#[test]
fn a_body() {
    let invalid = r#"{"invalid_arguments":"oops"}"#;
    let expected = json!({
        "model": "m",
        "messages": [
            { "role": "system", "content": "S" },
            { "role": "user", "content": "a" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "1", "type": "function", "function": { "name": "ask", "arguments": "{\"a\": 1}" } },
                { "id": "2", "type": "function", "function": { "name": "ask", "arguments": invalid } },
            ] },
            { "role": "tool", "tool_call_id": "1", "content": "{}" },
            { "role": "tool", "tool_call_id": "2", "content": "{}" },
            { "role": "assistant", "content": "b" },
            { "role": "user", "content": "c" },
        ],
        "tools": [{ "type": "function",
            "function": { "name": "ask", "description": "Asks.", "parameters": { "type": "object" } } }],
        "tool_choice": "auto",
        "stream": true,
        "stream_options": { "include_usage": true },
        "max_tokens": 50,
        "temperature": 0.2,
    });
    assert_eq!(written(&request(), &[], false), expected);
}

#[test]
fn a_small_body() {
    let request = ChatRequest {
        model: "m".into(),
        messages: vec![ChatMessage::User("a".into())],
        ..ChatRequest::default()
    };
    let expected = json!({
        "model": "m",
        "messages": [{ "role": "user", "content": "a" }],
        "stream": true,
    });
    assert_eq!(written(&request, &["stream_options"], false), expected);
}

#[rstest]
#[case::others(&[], false, Some("max_tokens"))]
#[case::openai(&[], true, Some("max_completion_tokens"))]
#[case::others_refuse(&["max_tokens"], false, Some("max_completion_tokens"))]
#[case::openai_refuses(&["max_completion_tokens"], true, Some("max_tokens"))]
#[case::both_are_refused(&["max_completion_tokens", "max_tokens"], true, None)]
fn the_limit_of_tokens(#[case] drops: &[&str], #[case] is_openai: bool, #[case] expected: Option<&str>) {
    let body = written(&request(), drops, is_openai);
    let found: Vec<_> = ["max_tokens", "max_completion_tokens"]
        .into_iter()
        .filter(|name| body.get(name).is_some())
        .collect();
    assert_eq!(found, Vec::from_iter(expected));
}

#[rstest]
#[case(0, None)]
#[case(1_024, Some("low"))]
#[case(4_096, Some("medium"))]
#[case(32_000, Some("high"))]
fn thinking_effort(#[case] thinking: u32, #[case] effort: Option<&str>) {
    let body = written(&ChatRequest { thinking, ..request() }, &[], false);
    assert_eq!(body.get("reasoning_effort").and_then(Value::as_str), effort);
    assert_eq!(body["max_tokens"], 50 + thinking);
}

#[test]
fn no_tool_may_be_called() {
    let body = written(
        &ChatRequest {
            tool_choice: ToolChoice::None,
            ..request()
        },
        &[],
        false,
    );
    assert_eq!(body["tool_choice"], "none");
}

/// The events of chunks whose only choice has these deltas.
fn read(deltas: &[Value]) -> Vec<ChatEvent> {
    let mut decoder = ChatDecoder::default();
    let mut out = Vec::new();
    for delta in deltas {
        let chunk = json!({ "id": "c", "model": "m", "choices": [{ "index": 0, "delta": delta }] });
        decoder
            .read_event(
                &SseEvent {
                    name: String::new(),
                    data: chunk.to_string(),
                },
                &mut out,
            )
            .unwrap();
    }
    decoder
        .read_event(
            &SseEvent {
                name: String::new(),
                data: "[DONE]".into(),
            },
            &mut out,
        )
        .unwrap();
    out
}

fn calls(deltas: &[Value]) -> Vec<(String, String, String)> {
    let mut builder = TurnBuilder::new();
    read(deltas).iter().for_each(|event| builder.push(event));
    assert_eq!(builder.stop(), Some(&StopReason::ToolCalls));
    let calls = builder.finish().0.tool_calls.into_iter();
    calls.map(|call| (call.id, call.name, call.arguments)).collect()
}

#[rstest]
#[case::by_index(&[
    json!([{"index": 0, "id": "a", "function": {"name": "ask", "arguments": ""}}]),
    json!([{"index": 1, "id": "b", "function": {"name": "send", "arguments": "{"}}]),
    json!([{"index": 0, "function": {"arguments": "{\"x\":"}}, {"index": 1, "function": {"arguments": "}"}}]),
    json!([{"index": 0, "function": {"arguments": "1}"}}]),
])]
#[case::without_index(&[
    json!([{"id": "a", "function": {"name": "ask", "arguments": "{\"x\":"}}]),
    json!([{"function": {"arguments": "1}"}}]),
    json!([{"id": "b", "function": {"name": "send", "arguments": "{}"}}]),
])]
#[case::id_and_name_in_every_part(&[
    json!([{"index": 0, "id": "a", "function": {"name": "ask", "arguments": "{\"x\":"}}]),
    json!([{"index": 0, "id": "a", "function": {"name": "ask", "arguments": "1}"}}]),
    json!([{"index": 1, "id": "b", "function": {"name": "send", "arguments": "{}"}}]),
])]
#[case::the_same_index(&[
    json!([{"index": 0, "id": "a", "function": {"name": "ask", "arguments": "{\"x\":1}"}}]),
    json!([{"index": 0, "id": "b", "function": {"name": "send", "arguments": "{}"}}]),
])]
#[case::all_at_once(&[json!([
    {"id": "a", "function": {"name": "ask", "arguments": "{\"x\":1}"}},
    {"id": "b", "function": {"name": "send", "arguments": "{}"}},
])])]
#[case::arguments_as_object(&[json!([
    {"index": 0, "id": "a", "function": {"name": "ask", "arguments": {"x": 1}}},
    {"index": 1, "id": "b", "function": {"name": "send", "arguments": {}}},
])])]
#[case::name_after_id(&[
    json!([{"index": 0, "id": "a", "function": {"arguments": null}}]),
    json!([{"index": 0, "function": {"arguments": "{\"x\":"}}]),
    json!([{"index": 0, "function": {"name": "ask", "arguments": "1}"}}]),
    json!([{"index": 1, "id": "b", "function": {"name": "send", "arguments": "{}"}}]),
])]
fn tool_calls_in_parts(#[case] parts: &[Value]) {
    let deltas: Vec<_> = parts.iter().map(|calls| json!({ "tool_calls": calls })).collect();
    let expected = [("a", "ask", "{\"x\":1}"), ("b", "send", "{}")];
    assert_eq!(
        calls(&deltas),
        expected.map(|(id, name, arguments)| (id.to_owned(), name.to_owned(), arguments.to_owned()))
    );
}

#[test]
fn tool_calls_without_ids() {
    let part = |name: &str| json!({ "tool_calls": [{ "function": { "name": name, "arguments": {} } }] });
    let calls = calls(&[part("ask"), part("ask")]);
    assert_eq!(calls.len(), 2);
    assert!(calls[0].0 != calls[1].0 && calls.iter().all(|(id, ..)| id.starts_with("call_")));
}

#[rstest]
#[case(json!({"reasoning_content": "hm", "content": null}), &[ChatEvent::Reasoning("hm".into())])]
#[case(json!({"reasoning": "hm"}), &[ChatEvent::Reasoning("hm".into())])]
#[case(json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]}),
    &[ChatEvent::Reasoning("hm".into()), ChatEvent::Text("a".into())])]
#[case(json!({"content": ""}), &[])]
#[case(json!({"content": 7, "tool_calls": null}), &[])]
fn texts(#[case] delta: Value, #[case] expected: &[ChatEvent]) {
    let events = read(&[delta]);
    assert_eq!(&events[1..events.len() - 1], expected);
    assert_eq!(events.last(), Some(&ChatEvent::Stop(StopReason::End)));
}

#[test]
fn a_refusal_is_text_and_a_reason() {
    let events = read(&[json!({"refusal": "I can't."})]);
    assert_eq!(
        events[1..],
        [ChatEvent::Text("I can't.".into()), ChatEvent::Stop(StopReason::Refused)]
    );
}

#[rstest]
#[case("stop", StopReason::End)]
#[case("eos", StopReason::End)]
#[case("length", StopReason::MaxTokens)]
#[case("tool_calls", StopReason::ToolCalls)]
#[case("content_filter", StopReason::Refused)]
fn reasons(#[case] reason: &str, #[case] expected: StopReason) {
    let mut out = Vec::new();
    let answer = json!({ "choices": [{ "finish_reason": reason, "message": { "content": "a" } }] });
    ChatDecoder::default().read_answer(&answer, &mut out).unwrap();
    assert_eq!(out.last(), Some(&ChatEvent::Stop(expected)));
}

#[test]
fn tokens_of_deepseek() {
    let mut out = Vec::new();
    let usage = json!({ "prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 8 });
    let data = json!({ "choices": [], "usage": usage }).to_string();
    ChatDecoder::default()
        .read_event(
            &SseEvent {
                name: String::new(),
                data,
            },
            &mut out,
        )
        .unwrap();
    assert_eq!(
        out[1],
        ChatEvent::Usage(TokenUsage {
            input: 9,
            output: 2,
            cached_input: 8
        })
    );
}
