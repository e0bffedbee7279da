//! Responses that are no success, and what is learned from them.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::server::{Script, ScriptedServer};
use super::{KEY, ask, model, provider, read, request, text_of};
use crate::config::{Api, Secret};
use crate::model::{AssistantTurn, ChatMessage, ChatModel, ChatRequest, ModelErrorKind};

const CHAT: &str = "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"ok\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const MESSAGES: &str = concat!(
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"c\",\"model\":\"m\"}}\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"ok\"}}\n\n",
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
    "data: {\"type\":\"message_stop\"}\n\n",
);

fn refusal(message: &str, param: Option<&str>) -> Script {
    let error = json!({ "message": message, "type": "invalid_request_error", "param": param, "code": null });
    Script::json(400, &json!({ "error": error }))
}

#[rstest]
#[case(400, ModelErrorKind::InvalidRequest)]
#[case(401, ModelErrorKind::Auth)]
#[case(404, ModelErrorKind::InvalidRequest)]
#[case(429, ModelErrorKind::RateLimited)]
#[case(503, ModelErrorKind::Server)]
#[tokio::test]
async fn errors_show_no_secrets(#[case] status: u16, #[case] kind: ModelErrorKind) {
    let error = json!({ "error": { "message": format!("wrong key {KEY}, team secret-team") } });
    let server = ScriptedServer::start([Script::json(status, &error).header("retry-after", "7")]).await;
    let mut provider = provider(Api::OpenAiChat, &server);
    provider.headers.insert("x-team".into(), Secret::new("secret-team"));
    let error = ask(&provider).await.1.unwrap();
    assert_eq!((error.kind, error.status), (kind, Some(status)));
    assert!(error.message.ends_with("wrong key ***, team ***"), "{error}");
    assert_eq!(error.retry_after, kind.is_transient().then_some(Duration::from_secs(7)));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let script = Script::new(307, "text/plain").header("location", "http://127.0.0.1:1/v1/chat/completions");
    let server = ScriptedServer::start([script]).await;
    let error = ask(&provider(Api::OpenAiChat, &server)).await.1.unwrap();
    assert_eq!((error.kind, error.status), (ModelErrorKind::InvalidRequest, Some(307)));
    assert!(error.message.contains("base_url"), "{error}");
}

#[rstest]
#[case::page("text/html", "<html>")]
#[case::not_json("application/json", "{")]
#[case::no_answer("application/json", "{}")]
#[case::json_text("application/json; charset=utf-8", "\"hello\"")]
#[tokio::test]
async fn a_success_that_is_no_answer(
    #[values(Api::OpenAiChat, Api::OpenAiResponses, Api::AnthropicMessages)] api: Api,
    #[case] content_type: &str,
    #[case] body: &str,
) {
    let server = ScriptedServer::start([Script::new(200, content_type).pieces(body, 1)]).await;
    let error = ask(&provider(api, &server)).await.1.unwrap();
    assert_eq!(error.kind, ModelErrorKind::Malformed);
}

#[tokio::test]
async fn an_error_in_a_success() {
    let body = json!({ "error": { "message": "slow down", "type": "rate_limit_error" } });
    let server = ScriptedServer::start([Script::json(200, &body)]).await;
    let error = ask(&provider(Api::AnthropicMessages, &server)).await.1.unwrap();
    assert_eq!(error.kind, ModelErrorKind::RateLimited);
}

/// Two members are refused, one after the other; the next call leaves both out at once.
#[tokio::test]
async fn refused_members_are_left_out() {
    let server = ScriptedServer::start([
        refusal(
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
            Some("max_tokens"),
        ),
        refusal(
            "Unsupported value: 'temperature' does not support 0.2 with this model.",
            Some("temperature"),
        ),
        Script::sse(CHAT, 50),
        Script::sse(CHAT, 50),
    ])
    .await;
    let model = model(&provider(Api::OpenAiChat, &server));
    for _ in 0..2 {
        let (events, error) = read(model.stream(&request()).await.unwrap()).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(text_of(&events), "ok");
    }
    let sent = |body: &Value| ["max_tokens", "max_completion_tokens", "temperature"].map(|it| body.get(it).is_some());
    let sent: Vec<_> = server.bodies().iter().map(sent).collect();
    assert_eq!(
        sent,
        [
            [true, false, true],
            [false, true, true],
            [false, true, false],
            [false, true, false]
        ]
    );
}

/// A server that refuses the same member for ever gets an end.
#[tokio::test]
async fn a_refusal_that_cannot_be_followed() {
    let refusals = (0..20).map(|_| refusal("Unsupported parameter: 'temperature'", Some("temperature")));
    let server = ScriptedServer::start(refusals).await;
    let error = ask(&provider(Api::OpenAiChat, &server)).await.1.unwrap();
    assert_eq!(error.kind, ModelErrorKind::InvalidRequest);
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn members_that_the_configuration_drops() {
    let server = ScriptedServer::start([Script::sse(CHAT, 50)]).await;
    let mut provider = provider(Api::OpenAiChat, &server);
    provider.params_drop = vec!["temperature".into(), "stream_options".into(), "messages".into()];
    ask(&provider).await;
    let body = server.bodies().remove(0);
    let names: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["model", "messages", "stream", "max_tokens"]);
}

/// The blocks of another provider are refused: the call is made without them.
#[tokio::test]
async fn foreign_blocks_are_left_out() {
    let message = "messages.1.content.0: Invalid `signature` in `thinking` block";
    let server = ScriptedServer::start([refusal(message, None), Script::sse(MESSAGES, 50)]).await;
    let blocks = vec![
        json!({"type": "thinking", "thinking": "hm", "signature": "x"}),
        json!({"type": "text", "text": "a"}),
    ];
    let turn = AssistantTurn {
        text: "a".into(),
        tool_calls: Vec::new(),
        blocks,
    };
    let mut request: ChatRequest = request();
    request.messages.push(ChatMessage::Assistant(turn));
    request.messages.push(ChatMessage::User("b".into()));
    let model = model(&provider(Api::AnthropicMessages, &server));
    let (events, error) = read(model.stream(&request).await.unwrap()).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text_of(&events), "ok");
    let content = |body: &Value| body["messages"][1]["content"].as_array().map(Vec::len);
    assert_eq!(
        server.bodies().iter().map(content).collect::<Vec<_>>(),
        [Some(2), Some(1)]
    );
}
