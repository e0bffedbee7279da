use std::collections::BTreeSet;

use futures::StreamExt;
use rstest::rstest;
use serde_json::{Value, json};

use super::{MessagesDecoder, body};
use crate::model::dialect::{BodyOptions, Decoder};
use crate::model::sse::SseEvent;
use crate::model::{
    AssistantTurn, ChatEvent, ChatMessage, ChatRequest, StopReason, TokenUsage, ToolCall, ToolChoice, ToolResult,
    ToolSpec, TurnBuilder, collect,
};

fn turn(blocks: &[Value]) -> AssistantTurn {
    let call = ToolCall {
        id: "call:1".into(),
        name: "ask".into(),
        arguments: "{\"a\":1}".into(),
    };
    AssistantTurn {
        text: "b\n".into(),
        tool_calls: vec![call],
        blocks: blocks.to_vec(),
    }
}

fn request(turn: AssistantTurn) -> ChatRequest {
    let result = ToolResult {
        call_id: "call:1".into(),
        name: "ask".into(),
        content: "7".into(),
        is_error: true,
    };
    ChatRequest {
        model: "m".into(),
        system: "S".into(),
        messages: vec![
            ChatMessage::User("a".into()),
            ChatMessage::Assistant(turn),
            ChatMessage::ToolResults(vec![result]),
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

fn written(request: &ChatRequest, drops: &[&str], without_blocks: bool) -> Value {
    let drops: BTreeSet<String> = drops.iter().map(|name| (*name).to_owned()).collect();
    Value::Object(body(
        request,
        &BodyOptions {
            drops: &drops,
            without_blocks,
            is_openai: false,
        },
    ))
}

#[test]
fn a_body() {
    let expected = json!({
        "model": "m",
        "max_tokens": 50,
        "system": "S",
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "a" }] },
            { "role": "assistant", "content": [
                { "type": "text", "text": "b" },
                { "type": "tool_use", "id": "call_1", "name": "ask", "input": { "a": 1 } },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_1", "content": "7", "is_error": true },
                { "type": "text", "text": "c" },
            ] },
        ],
        "tools": [{ "name": "ask", "description": "Asks.", "input_schema": { "type": "object" } }],
        "tool_choice": { "type": "auto" },
        "temperature": 0.2,
        "stream": true,
    });
    assert_eq!(written(&request(turn(&[])), &[], false), expected);
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
        "max_tokens": 4096,
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "a" }] }],
        "stream": true,
    });
    assert_eq!(written(&request, &[], false), expected);
}

#[test]
fn no_tool_may_be_called() {
    let request = ChatRequest {
        tool_choice: ToolChoice::None,
        ..request(turn(&[]))
    };
    assert_eq!(written(&request, &[], false)["tool_choice"], json!({ "type": "none" }));
}

fn thoughts() -> Vec<Value> {
    vec![
        json!({ "type": "thinking", "thinking": "hm", "signature": "x" }),
        json!({ "type": "text", "text": "b\n" }),
        json!({ "type": "tool_use", "id": "call:1", "name": "ask", "input": { "a": 1 } }),
    ]
}

/// The blocks of an answer go back as they came if they are all of it; else at least its thinking does.
#[rstest]
#[case::whole(thoughts(), false, thoughts())]
#[case::only_thinking(thoughts()[..1].to_vec(), false, vec![
    thoughts().remove(0),
    json!({ "type": "text", "text": "b" }),
    json!({ "type": "tool_use", "id": "call_1", "name": "ask", "input": { "a": 1 } }),
])]
#[case::not_taken(thoughts(), true, vec![
    json!({ "type": "text", "text": "b" }),
    json!({ "type": "tool_use", "id": "call_1", "name": "ask", "input": { "a": 1 } }),
])]
#[case::of_another_api(vec![json!({ "type": "reasoning", "encrypted_content": "x" })], false, vec![
    json!({ "type": "text", "text": "b" }),
    json!({ "type": "tool_use", "id": "call_1", "name": "ask", "input": { "a": 1 } }),
])]
fn blocks_go_back(#[case] blocks: Vec<Value>, #[case] without_blocks: bool, #[case] expected: Vec<Value>) {
    let body = written(&request(turn(&blocks)), &[], without_blocks);
    assert_eq!(body["messages"][1]["content"], Value::Array(expected));
}

#[rstest]
#[case::after_thinking(thoughts(), 2_000, &[], json!({ "type": "enabled", "budget_tokens": 2_000 }), 2_050)]
#[case::least_budget(thoughts(), 1, &[], json!({ "type": "enabled", "budget_tokens": 1_024 }), 1_074)]
#[case::the_model_decides(thoughts(), 2_000, &["thinking.budget_tokens"], json!({ "type": "adaptive" }), 2_050)]
#[case::refused(thoughts(), 2_000, &["thinking"], Value::Null, 50)]
#[case::calls_without_thinking(vec![], 2_000, &[], Value::Null, 50)]
fn thinking_budget(
    #[case] blocks: Vec<Value>,
    #[case] thinking: u32,
    #[case] drops: &[&str],
    #[case] expected: Value,
    #[case] max_tokens: u32,
) {
    let body = written(
        &ChatRequest {
            thinking,
            ..request(turn(&blocks))
        },
        drops,
        false,
    );
    assert_eq!(body.get("thinking").cloned().unwrap_or_default(), expected);
    assert_eq!(body["max_tokens"], max_tokens);
    assert_eq!(
        body.get("temperature").is_none(),
        !expected.is_null(),
        "a thinking model takes no temperature"
    );
}

fn read(events: &[Value]) -> Vec<ChatEvent> {
    let mut decoder = MessagesDecoder::default();
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

fn start(index: usize, block: &Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: usize, delta: &Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn stop(index: usize) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

fn ends(reason: &str) -> [Value; 2] {
    let delta = json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 9 } });
    [delta, json!({ "type": "message_stop" })]
}

/// Thinking with its signature, text, and two calls: all blocks are given out as they will go back.
#[tokio::test]
async fn thinking_text_and_calls() {
    let mut events = vec![
        json!({ "type": "message_start", "message": { "id": "1", "model": "m",
            "usage": { "input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 1 } } }),
        start(0, &json!({ "type": "thinking", "thinking": "", "signature": "" })),
        delta(0, &json!({ "type": "thinking_delta", "thinking": "h" })),
        delta(0, &json!({ "type": "thinking_delta", "thinking": "m" })),
        delta(0, &json!({ "type": "signature_delta", "signature": "x==" })),
        stop(0),
        start(1, &json!({ "type": "redacted_thinking", "data": "y" })),
        stop(1),
        start(2, &json!({ "type": "text", "text": "" })),
        delta(2, &json!({ "type": "text_delta", "text": "a" })),
        stop(2),
        start(
            3,
            &json!({ "type": "tool_use", "id": "t1", "name": "ask", "input": {} }),
        ),
        delta(3, &json!({ "type": "input_json_delta", "partial_json": "" })),
        delta(3, &json!({ "type": "input_json_delta", "partial_json": "{\"x\": " })),
        delta(3, &json!({ "type": "input_json_delta", "partial_json": "1}" })),
        stop(3),
        start(
            4,
            &json!({ "type": "tool_use", "id": "t2", "name": "list", "input": {} }),
        ),
        stop(4),
    ];
    events.extend(ends("tool_use"));
    let events = read(&events).into_iter().map(Ok);
    let (turn, usage, stop) = collect(futures::stream::iter(events).boxed()).await.unwrap();
    assert_eq!((turn.text.as_str(), stop), ("a", StopReason::ToolCalls));
    assert_eq!(
        usage,
        TokenUsage {
            input: 7,
            output: 9,
            cached_input: 2
        }
    );
    let calls: Vec<_> = turn
        .tool_calls
        .iter()
        .map(|call| (call.id.as_str(), call.arguments.as_str()))
        .collect();
    assert_eq!(calls, [("t1", "{\"x\": 1}"), ("t2", "")]);
    let blocks = json!([
        { "type": "thinking", "thinking": "hm", "signature": "x==" },
        { "type": "redacted_thinking", "data": "y" },
        { "type": "text", "text": "a" },
        { "type": "tool_use", "id": "t1", "name": "ask", "input": { "x": 1 } },
        { "type": "tool_use", "id": "t2", "name": "list", "input": {} },
    ]);
    assert_eq!(Value::Array(turn.blocks.clone()), blocks);
    let request = ChatRequest {
        messages: vec![ChatMessage::Assistant(turn)],
        ..ChatRequest::default()
    };
    assert_eq!(written(&request, &[], false)["messages"][1]["content"], blocks);
}

#[test]
fn without_thinking_there_are_no_blocks() {
    let mut events = vec![start(0, &json!({ "type": "text", "text": "a" })), stop(0)];
    events.extend(ends("end_turn"));
    assert!(!read(&events).iter().any(|event| matches!(event, ChatEvent::Block(_))));
}

/// Servers that send the arguments whole, at the start of the block.
#[test]
fn arguments_in_one_piece() {
    let mut events = vec![
        start(
            0,
            &json!({ "type": "tool_use", "id": "t", "name": "ask", "input": { "x": 1 } }),
        ),
        stop(0),
    ];
    events.extend(ends("end_turn"));
    let mut builder = TurnBuilder::new();
    read(&events).iter().for_each(|event| builder.push(event));
    assert_eq!(builder.stop(), Some(&StopReason::ToolCalls));
    assert_eq!(builder.finish().0.tool_calls[0].arguments, "{\"x\":1}");
}

#[rstest]
#[case("end_turn", StopReason::End)]
#[case("stop_sequence", StopReason::End)]
#[case("a_new_one", StopReason::End)]
#[case("max_tokens", StopReason::MaxTokens)]
#[case("model_context_window_exceeded", StopReason::MaxTokens)]
#[case("refusal", StopReason::Refused)]
#[case("pause_turn", StopReason::Paused)]
fn reasons(#[case] reason: &str, #[case] expected: StopReason) {
    assert_eq!(read(&ends(reason)).last(), Some(&ChatEvent::Stop(expected)));
}

/// The end of a message may repeat the tokens that were read, with or without those of the cache.
#[rstest]
#[case(json!({ "output_tokens": 9 }), TokenUsage { input: 17, output: 9, cached_input: 4 })]
#[case(json!({ "input_tokens": 10, "output_tokens": 9 }), TokenUsage { input: 17, output: 9, cached_input: 4 })]
#[case(json!({ "input_tokens": 20, "cache_read_input_tokens": 5, "output_tokens": 9 }),
    TokenUsage { input: 25, output: 9, cached_input: 5 })]
fn tokens(#[case] at_end: Value, #[case] expected: TokenUsage) {
    let at_start = json!({ "input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2 });
    let events = read(&[
        json!({ "type": "message_start", "message": { "id": "1", "model": "m", "usage": at_start } }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": at_end }),
        json!({ "type": "message_stop" }),
    ]);
    let mut builder = TurnBuilder::new();
    events.iter().for_each(|event| builder.push(event));
    assert_eq!(builder.usage(), expected);
}
