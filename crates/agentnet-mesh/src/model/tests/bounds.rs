//! What never ends is ended here.

use rstest::rstest;
use serde_json::json;

use super::server::{Script, ScriptedServer, Step};
use super::{ask, provider};
use crate::config::Api;
use crate::model::ModelErrorKind;
use crate::model::sse::MAX_EVENT_BYTES;

const PIECE: usize = 256 << 10;

fn repeated(text: &str) -> Vec<u8> {
    text.repeat(PIECE / text.len()).into_bytes()
}

#[rstest]
#[case::line("data: ", "a")]
#[case::comment(": ", "a")]
#[case::lines_of_data("", "data: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n")]
#[tokio::test]
async fn an_endless_event(#[case] start: &str, #[case] text: &str) {
    let script = Script::sse(start, PIECE).then(Step::Forever(repeated(text)));
    let server = ScriptedServer::start([script]).await;
    let (events, error) = ask(&provider(Api::OpenAiChat, &server)).await;
    assert_eq!(events, []);
    assert_eq!(error.unwrap().kind, ModelErrorKind::Malformed);
    server.wait_for_ends(1).await;
}

#[rstest]
#[case::comments(": ", "keep-alive ")]
#[case::pings("data: {\"type\": \"ping\"}", "          ")]
#[tokio::test]
async fn an_endless_stream(#[case] text: &str, #[case] padding: &str) {
    let text = format!("{text}{}\n\n", padding.repeat(100));
    let server = ScriptedServer::start([Script::sse("", 1).then(Step::Forever(repeated(&text)))]).await;
    let (events, error) = ask(&provider(Api::AnthropicMessages, &server)).await;
    assert_eq!(events, []);
    assert_eq!(error.unwrap().kind, ModelErrorKind::Malformed);
    server.wait_for_ends(1).await;
}

#[tokio::test]
async fn endless_text_in_one_piece() {
    let script = Script::new(200, "application/json").then(Step::Forever(repeated("{\"a\":")));
    let server = ScriptedServer::start([script]).await;
    let (_, error) = ask(&provider(Api::OpenAiChat, &server)).await;
    assert_eq!(error.unwrap().kind, ModelErrorKind::Malformed);
    server.wait_for_ends(1).await;
}

#[tokio::test]
async fn an_endless_error() {
    let script = Script::new(500, "text/plain").then(Step::Forever(repeated("oops ")));
    let server = ScriptedServer::start([script]).await;
    let (_, error) = ask(&provider(Api::OpenAiChat, &server)).await;
    let error = error.unwrap();
    assert_eq!((error.kind, error.status), (ModelErrorKind::Server, Some(500)));
    assert!(error.message.chars().count() < 1_100);
    server.wait_for_ends(1).await;
}

#[tokio::test]
async fn too_many_tool_calls() {
    let calls: Vec<_> = (0..129)
        .map(|index| json!({ "index": index, "id": format!("call_{index}"), "function": { "name": "ask" } }))
        .collect();
    let chunk = json!({ "choices": [{ "delta": { "tool_calls": calls } }] });
    let server = ScriptedServer::start([Script::sse(format!("data: {chunk}\n\n"), PIECE)]).await;
    let (_, error) = ask(&provider(Api::OpenAiChat, &server)).await;
    assert_eq!(error.unwrap().kind, ModelErrorKind::Malformed);
}

/// An event just below the bound is read.
#[tokio::test]
async fn a_long_event() {
    let text = "a".repeat(MAX_EVENT_BYTES - 1_000);
    let chunk = json!({ "choices": [{ "delta": { "content": text }, "finish_reason": "stop" }] });
    let server = ScriptedServer::start([Script::sse(format!("data: {chunk}\n\ndata: [DONE]\n\n"), PIECE)]).await;
    let (events, error) = ask(&provider(Api::OpenAiChat, &server)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(super::text_of(&events).len(), text.len());
}
