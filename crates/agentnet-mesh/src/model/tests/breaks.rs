//! Streams that are cut, malformed, or that have an error in them.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use super::server::{Script, ScriptedServer, Step};
use super::{KEY, ask, provider, text_of};
use crate::config::Api;
use crate::model::{ChatEvent, ModelErrorKind, StopReason};

const CHAT_START: &str =
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n";
const CHAT_STOP: &str =
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const RESPONSES_START: &str = concat!(
    "data: {\"type\":\"response.created\",\"response\":{\"id\":\"c\",\"model\":\"m\"}}\n\n",
    "data: {\"type\":\"response.output_text.delta\",\"item_id\":\"i\",\"output_index\":0,\"delta\":\"Hel\"}\n\n",
);
const MESSAGES_START: &str = concat!(
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"c\",\"model\":\"m\",\"usage\":{\"input_tokens\":1}}}\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hel\"}}\n\n",
);

fn start_of(api: Api) -> &'static str {
    match api {
        Api::OpenAiChat => CHAT_START,
        Api::OpenAiResponses => RESPONSES_START,
        Api::AnthropicMessages => MESSAGES_START,
    }
}

#[rstest]
#[case::clean_end("", false)]
#[case::in_the_middle_of_an_event("data: {\"id\":\"c\",\"cho", false)]
#[case::broken_connection("", true)]
#[tokio::test]
async fn a_cut_stream(
    #[values(Api::OpenAiChat, Api::OpenAiResponses, Api::AnthropicMessages)] api: Api,
    #[case] rest: &str,
    #[case] is_broken: bool,
) {
    let mut script = Script::sse(format!("{}{rest}", start_of(api)), 40);
    if is_broken {
        script = script.then(Step::Break);
    }
    let server = ScriptedServer::start([script]).await;
    let (events, error) = ask(&provider(api, &server)).await;
    assert_eq!(text_of(&events), "Hel");
    assert_eq!(error.unwrap().kind, ModelErrorKind::Connect);
}

#[rstest]
#[case::no_json("data: {{{ not json\n\n")]
#[case::cut_json("data: {\"id\":\n\n")]
#[case::control_character("data: \u{0}\n\n")]
#[tokio::test]
async fn a_malformed_event(
    #[values(Api::OpenAiChat, Api::OpenAiResponses, Api::AnthropicMessages)] api: Api,
    #[case] event: &str,
) {
    let server = ScriptedServer::start([Script::sse(format!("{}{event}", start_of(api)), 1_000)]).await;
    let (events, error) = ask(&provider(api, &server)).await;
    assert_eq!(text_of(&events), "Hel");
    assert_eq!(error.unwrap().kind, ModelErrorKind::Malformed);
}

#[rstest]
#[case::chat_list(Api::OpenAiChat, "data: []\n\n")]
#[case::chat_number(Api::OpenAiChat, "data: 7\n\n")]
#[case::block_that_has_not_begun(
    Api::AnthropicMessages,
    "data: {\"type\":\"content_block_delta\",\"index\":7,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n"
)]
#[case::block_without_content(Api::AnthropicMessages, "data: {\"type\":\"content_block_start\",\"index\":1}\n\n")]
#[tokio::test]
async fn an_event_of_another_shape(#[case] api: Api, #[case] event: &str) {
    let server = ScriptedServer::start([Script::sse(format!("{}{event}", start_of(api)), 1_000)]).await;
    let (_, error) = ask(&provider(api, &server)).await;
    assert_eq!(error.unwrap().kind, ModelErrorKind::Malformed);
}

#[rstest]
#[case(Api::OpenAiChat, json!({"error": {"message": "busy sk-test-0123456789", "code": 503}}))]
#[case(Api::OpenAiChat, json!({"object": "error", "message": "busy sk-test-0123456789", "code": 500}))]
#[case(Api::OpenAiResponses, json!({"type": "error", "code": "server_error", "message": "busy sk-test-0123456789"}))]
#[case(Api::OpenAiResponses, json!({"type": "response.failed", "response": {
    "status": "failed", "error": {"code": "server_error", "message": "busy sk-test-0123456789"}}}))]
#[case(Api::AnthropicMessages, json!({"type": "error", "error": {
    "type": "overloaded_error", "message": "busy sk-test-0123456789"}}))]
#[tokio::test]
async fn an_error_inside_of_a_stream(#[case] api: Api, #[case] event: serde_json::Value) {
    let text = format!("{}event: error\ndata: {event}\n\n", start_of(api));
    let server = ScriptedServer::start([Script::sse(text, 64)]).await;
    let (events, error) = ask(&provider(api, &server)).await;
    assert_eq!(text_of(&events), "Hel");
    let error = error.unwrap();
    assert_eq!(error.kind, ModelErrorKind::Server);
    assert!(
        error.message.contains("busy") && !error.message.contains(KEY),
        "{error}"
    );
}

/// The answer is complete when its end is known: a break after it does no harm.
#[rstest]
#[case::ends(None)]
#[case::breaks(Some(Step::Break))]
#[tokio::test]
async fn a_break_after_the_end(#[case] step: Option<Step>) {
    let mut script = Script::sse(format!("{CHAT_START}{CHAT_STOP}"), 64);
    script = step.into_iter().fold(script, Script::then);
    let server = ScriptedServer::start([script]).await;
    let (events, error) = ask(&provider(Api::OpenAiChat, &server)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(events.last(), Some(&ChatEvent::Stop(StopReason::End)));
}

#[rstest]
#[case::after_a_piece(CHAT_START)]
#[case::before_the_first_piece("")]
#[tokio::test]
async fn nothing_for_too_long(#[case] start: &str) {
    let server = ScriptedServer::start([Script::sse(start, 1_000).then(Step::Hang)]).await;
    let mut provider = provider(Api::OpenAiChat, &server);
    provider.timeout = Duration::from_millis(200);
    let (_, error) = ask(&provider).await;
    assert_eq!(error.unwrap().kind, ModelErrorKind::Timeout);
}

#[tokio::test]
async fn no_answer_at_all() {
    let server = ScriptedServer::start([Script::silent()]).await;
    let mut provider = provider(Api::OpenAiChat, &server);
    provider.timeout = Duration::from_millis(200);
    let (_, error) = ask(&provider).await;
    assert_eq!(error.unwrap().kind, ModelErrorKind::Timeout);
}

/// A server that says why it stops, and then keeps the connection open without a word.
#[tokio::test]
async fn the_end_is_not_waited_for_long() {
    let script = Script::sse(format!("{CHAT_START}{CHAT_STOP}"), 1_000).then(Step::Hang);
    let server = ScriptedServer::start([script]).await;
    let mut provider = provider(Api::OpenAiChat, &server);
    provider.timeout = Duration::from_secs(2);
    let (events, error) = ask(&provider).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(events.last(), Some(&ChatEvent::Stop(StopReason::End)));
}

#[tokio::test]
async fn no_server() {
    let server = ScriptedServer::start([]).await;
    let mut provider = provider(Api::OpenAiChat, &server);
    // Nothing listens on port 1 of the loopback address.
    provider.base_url = "http://user:hidden@127.0.0.1:1/v1".into();
    let (_, error) = ask(&provider).await;
    let error = error.unwrap();
    assert_eq!((error.kind, error.status), (ModelErrorKind::Connect, None));
    assert!(
        error.message.starts_with("127.0.0.1:1 is not reached: ") && !error.message.contains("hidden"),
        "{error}"
    );
}
