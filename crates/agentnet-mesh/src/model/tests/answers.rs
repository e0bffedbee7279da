//! Whole answers of the three APIs, in one piece and byte by byte.

use rstest::rstest;
use serde_json::{Value, json};

use super::server::{Script, ScriptedServer};
use super::{KEY, ask, model, provider, read, request_with_tool, text_of};
use crate::config::{Api, Secret};
use crate::model::{ChatEvent, ChatModel, StopReason, TokenUsage, TurnBuilder, collect};

const CHAT: &str = concat!(
    r#"data: {"id":"c1","object":"chat.completion.chunk","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c1","model":"m-1","choices":[{"index":0,"delta":{"content":"Zoë"},"finish_reason":null}]}"#,
    "\n\n: keep-alive\n\n",
    r#"data: {"id":"c1","model":"m-1","choices":[{"index":0,"delta":{"content":" 😀"},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c1","model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"id":"c1","model":"m-1","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}},"timings":{"x":1}}"#,
    "\n\ndata: [DONE]\n\n",
);

const RESPONSES: &str = concat!(
    "event: response.created\n",
    r#"data: {"type":"response.created","response":{"id":"c1","model":"m-1","status":"in_progress"}}"#,
    "\n\nevent: response.output_item.added\n",
    r#"data: {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"msg_1","content":[]}}"#,
    "\n\nevent: response.output_text.delta\n",
    r#"data: {"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"Zoë"}"#,
    "\n\nevent: response.output_text.delta\n",
    r#"data: {"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":" 😀"}"#,
    "\n\nevent: response.output_item.done\n",
    r#"data: {"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"msg_1","content":[{"type":"output_text","text":"Zoë 😀"}]}}"#,
    "\n\nevent: response.completed\n",
    r#"data: {"type":"response.completed","response":{"id":"c1","model":"m-1","status":"completed","error":null,"incomplete_details":null,"usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,"total_tokens":17}}}"#,
    "\n\n",
);

const MESSAGES: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"c1","type":"message","role":"assistant","model":"m-1","content":[],"stop_reason":null,"usage":{"input_tokens":5,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}}}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Zoë"}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" 😀"}}"#,
    "\n\nevent: content_block_stop\n",
    r#"data: {"type":"content_block_stop","index":0}"#,
    "\n\nevent: message_delta\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}"#,
    "\n\nevent: message_stop\n",
    r#"data: {"type":"message_stop"}"#,
    "\n\n",
);

fn stream_of(api: Api) -> &'static str {
    match api {
        Api::OpenAiChat => CHAT,
        Api::OpenAiResponses => RESPONSES,
        Api::AnthropicMessages => MESSAGES,
    }
}

fn whole_of(api: Api) -> Value {
    match api {
        Api::OpenAiChat => json!({
            "id": "c1", "object": "chat.completion", "model": "m-1",
            "choices": [{ "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": "Zoë 😀", "refusal": null } }],
            "usage": { "prompt_tokens": 12, "completion_tokens": 5, "prompt_tokens_details": { "cached_tokens": 4 } },
        }),
        Api::OpenAiResponses => json!({
            "id": "c1", "object": "response", "model": "m-1", "status": "completed", "error": null,
            "output": [{ "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{ "type": "output_text", "text": "Zoë 😀", "annotations": [] }] }],
            "usage": { "input_tokens": 12, "output_tokens": 5, "input_tokens_details": { "cached_tokens": 4 } },
        }),
        Api::AnthropicMessages => json!({
            "id": "c1", "type": "message", "role": "assistant", "model": "m-1",
            "content": [{ "type": "text", "text": "Zoë 😀" }], "stop_reason": "end_turn",
            "usage": { "input_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4,
                "output_tokens": 5 },
        }),
    }
}

fn check(events: &[ChatEvent]) {
    assert_eq!(
        events.first(),
        Some(&ChatEvent::Started {
            id: "c1".into(),
            model: "m-1".into()
        })
    );
    assert_eq!(text_of(events), "Zoë 😀");
    let mut builder = TurnBuilder::new();
    events.iter().for_each(|event| builder.push(event));
    assert_eq!(
        builder.usage(),
        TokenUsage {
            input: 12,
            output: 5,
            cached_input: 4
        }
    );
    assert_eq!(events.last(), Some(&ChatEvent::Stop(StopReason::End)));
}

#[rstest]
#[tokio::test]
async fn an_answer_in_pieces(
    #[values(Api::OpenAiChat, Api::OpenAiResponses, Api::AnthropicMessages)] api: Api,
    #[values(1, 7, 100_000)] size: usize,
    #[values("\n", "\r\n", "\r")] line_end: &str,
) {
    let text = stream_of(api).replace('\n', line_end);
    let server = ScriptedServer::start([Script::sse(text, size)]).await;
    let (events, error) = ask(&provider(api, &server)).await;
    assert!(error.is_none(), "{error:?}");
    check(&events);
}

#[rstest]
#[tokio::test]
async fn an_answer_in_one_piece(#[values(Api::OpenAiChat, Api::OpenAiResponses, Api::AnthropicMessages)] api: Api) {
    let server = ScriptedServer::start([Script::json(200, &whole_of(api))]).await;
    let (events, error) = ask(&provider(api, &server)).await;
    assert!(error.is_none(), "{error:?}");
    check(&events);
}

/// Servers that end without `[DONE]`, without a blank line, or that never close the connection.
#[rstest]
#[case::no_done(Api::OpenAiChat, "data: [DONE]\n\n", "")]
#[case::no_blank_line(Api::OpenAiChat, "[DONE]\n\n", "[DONE]")]
#[case::done_after_responses(Api::OpenAiResponses, "\n\n", "\n\ndata: [DONE]\n\n")]
#[case::no_last_blank_line(Api::AnthropicMessages, "\"message_stop\"}\n\n", "\"message_stop\"}")]
#[case::no_message_stop(
    Api::AnthropicMessages,
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ""
)]
#[tokio::test]
async fn other_ends(#[case] api: Api, #[case] end: &str, #[case] other: &str) {
    let text = format!("{}{other}", stream_of(api).strip_suffix(end).unwrap());
    let server = ScriptedServer::start([Script::sse(text, 50)]).await;
    let (events, error) = ask(&provider(api, &server)).await;
    assert!(error.is_none(), "{error:?}");
    check(&events);
}

#[rstest]
#[case(
    Api::OpenAiChat,
    "/v1/chat/completions",
    "authorization",
    "Bearer sk-test-0123456789"
)]
#[case(Api::OpenAiResponses, "/v1/responses", "authorization", "Bearer sk-test-0123456789")]
#[case(Api::AnthropicMessages, "/v1/messages", "x-api-key", KEY)]
#[tokio::test]
async fn what_is_sent(#[case] api: Api, #[case] path: &str, #[case] header: &str, #[case] value: &str) {
    let server = ScriptedServer::start([Script::sse(stream_of(api), 1_000)]).await;
    let mut provider = provider(api, &server);
    provider.headers.insert("X-Team".into(), Secret::new("blue"));
    ask(&provider).await;
    let received = server.received().remove(0);
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", path));
    assert_eq!(received.headers[header], value);
    assert_eq!(received.headers["x-team"], "blue");
    assert_eq!(received.headers["content-type"], "application/json");
    assert_eq!(
        received.headers.contains_key("anthropic-version"),
        api == Api::AnthropicMessages
    );
    assert_eq!(received.body["stream"], true);
}

/// The connection is used again after an answer that was read to its end.
#[tokio::test]
async fn tool_calls_of_two_turns() {
    let call = concat!(
        r#"data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"get_weather","arguments":""}}]}}]}"#,
        "\n\n",
        r#"data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}}]}"#,
        "\n\n",
        r#"data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Oslo\"}"}}]}}]}"#,
        "\n\n",
        r#"data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        "\n\ndata: [DONE]\n\n",
    );
    let server = ScriptedServer::start([Script::sse(call, 30), Script::sse(CHAT, 30)]).await;
    let model = model(&provider(Api::OpenAiChat, &server));
    let mut request = request_with_tool();
    let (turn, _, stop) = collect(model.stream(&request).await.unwrap()).await.unwrap();
    assert_eq!(stop, StopReason::ToolCalls);
    let call = turn.tool_calls[0].clone();
    assert_eq!(
        (call.name.as_str(), call.arguments.as_str()),
        ("get_weather", r#"{"city":"Oslo"}"#)
    );
    let result = crate::model::ToolResult {
        call_id: call.id,
        name: call.name,
        content: r#"{"ok":true,"result":3}"#.into(),
        is_error: false,
    };
    request.messages.push(crate::model::ChatMessage::Assistant(turn));
    request
        .messages
        .push(crate::model::ChatMessage::ToolResults(vec![result]));
    let (events, error) = read(model.stream(&request).await.unwrap()).await;
    assert!(error.is_none());
    check(&events);
    let messages = &server.bodies()[1]["messages"];
    assert_eq!(
        messages[2]["tool_calls"][0]["function"]["arguments"],
        r#"{"city":"Oslo"}"#
    );
    assert_eq!(
        messages[3],
        json!({"role": "tool", "tool_call_id": "call_1", "content": r#"{"ok":true,"result":3}"#})
    );
}
