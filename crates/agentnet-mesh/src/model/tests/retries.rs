//! The chain against a real server: retries, and the next model.

use std::collections::BTreeMap;
use std::time::Duration;

use rstest::rstest;
use serde_json::json;
use tokio::time::Instant;

use super::provider;
use super::server::{Script, ScriptedServer, Step};
use crate::config::{Api, ModelConfig, Provider};
use crate::model::{ChatMessage, ChatRequest, HttpClient, ModelChain, ModelErrorKind, collect};

const CHAT: &str = "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"ok\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn config(provider: &str) -> ModelConfig {
    ModelConfig {
        provider: provider.into(),
        name: format!("{provider}-m"),
        temperature: Some(0.5),
        max_tokens: 9,
        thinking: 0,
    }
}

fn chain(providers: &[(&str, Provider)]) -> ModelChain {
    let models: Vec<_> = providers.iter().map(|(name, _)| config(name)).collect();
    let providers: BTreeMap<_, _> = providers
        .iter()
        .map(|(name, it)| ((*name).to_owned(), it.clone()))
        .collect();
    ModelChain::new(&HttpClient::new().unwrap(), &providers, &models)
}

fn request() -> ChatRequest {
    ChatRequest {
        messages: vec![ChatMessage::User("Hi".into())],
        ..ChatRequest::default()
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn busy(status: u16) -> Script {
    Script::json(status, &json!({ "error": { "message": "busy" } })).header("retry-after-ms", "1")
}

#[rstest]
#[case::rate_limit(vec![busy(429), busy(429)])]
#[case::server_errors(vec![busy(500), busy(502), busy(529), busy(408)])]
#[case::cut_before_the_first_piece(vec![Script::sse("", 1).then(Step::Break)])]
#[case::cut_after_the_start(vec![
    Script::sse("data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n", 99)])]
#[case::malformed(vec![Script::sse("data: {{{\n\n", 99)])]
#[case::error_in_the_stream(vec![Script::sse("data: {\"error\":{\"message\":\"busy\",\"code\":503}}\n\n", 99)])]
#[tokio::test]
async fn a_failure_is_repaired(#[case] failures: Vec<Script>) {
    let attempts = failures.len() + 1;
    let server = ScriptedServer::start(failures.into_iter().chain([Script::sse(CHAT, 20)])).await;
    let chain = chain(&[("a", provider(Api::OpenAiChat, &server))]);
    let answer = chain.stream(&request(), soon()).await.unwrap();
    assert_eq!(
        (
            answer.provider.as_str(),
            answer.model.as_str(),
            answer.attempts as usize
        ),
        ("a", "a-m", attempts)
    );
    let (turn, ..) = collect(answer.stream).await.unwrap();
    assert_eq!(turn.text, "ok");
    let body = server.bodies().remove(0);
    assert_eq!(
        (&body["model"], &body["max_tokens"], &body["temperature"]),
        (&json!("a-m"), &json!(9), &json!(0.5))
    );
}

/// After the first piece a break is the caller's: a second answer would be told after half of the first.
#[tokio::test]
async fn a_break_after_the_first_piece_is_passed_on() {
    let start = "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";
    let server = ScriptedServer::start([Script::sse(start, 99).then(Step::Break), Script::sse(CHAT, 99)]).await;
    let answer = chain(&[("a", provider(Api::OpenAiChat, &server))])
        .stream(&request(), soon())
        .await
        .unwrap();
    assert_eq!(collect(answer.stream).await.unwrap_err().kind, ModelErrorKind::Connect);
    assert_eq!(server.received().len(), 1);
}

#[rstest]
#[case::server_error(vec![busy(503), busy(503)], 2)]
#[case::asks_for_an_hour(vec![Script::json(429, &json!({})).header("retry-after", "3600")], 1)]
#[case::wrong_key(vec![busy(401)], 1)]
#[case::no_such_model(vec![busy(404)], 1)]
#[tokio::test]
async fn the_next_model_takes_over(#[case] failures: Vec<Script>, #[case] expected: usize) {
    let first = ScriptedServer::start(failures).await;
    let second = ScriptedServer::start([Script::sse(CHAT, 99)]).await;
    let mut failing = provider(Api::AnthropicMessages, &first);
    failing.max_retries = 1;
    let chain = chain(&[("a", failing), ("b", provider(Api::OpenAiChat, &second))]);
    let answer = chain.stream(&request(), soon()).await.unwrap();
    assert_eq!(
        (answer.provider.as_str(), answer.attempts as usize),
        ("b", expected + 1)
    );
    assert_eq!(collect(answer.stream).await.unwrap().0.text, "ok");
    assert_eq!(first.received().len(), expected);
}

#[tokio::test]
async fn a_missing_key_is_skipped_and_named() {
    let server = ScriptedServer::start([Script::sse(CHAT, 99)]).await;
    let mut keyless = provider(Api::OpenAiChat, &server);
    keyless.api_key = Err("TEAM_KEY".into());
    let error = chain(&[("a", keyless.clone())])
        .stream(&request(), soon())
        .await
        .err()
        .unwrap();
    assert!(error.is_config_error());
    assert!(
        error.message.contains("a/a-m") && error.message.contains("TEAM_KEY"),
        "{error}"
    );
    let chain = chain(&[("a", keyless), ("b", provider(Api::OpenAiChat, &server))]);
    assert_eq!(chain.stream(&request(), soon()).await.unwrap().provider, "b");
}

#[rstest]
#[case::overflow("context_length_exceeded", ModelErrorKind::ContextOverflow)]
#[case::refusal("content_filter", ModelErrorKind::Refused)]
#[tokio::test]
async fn what_the_caller_has_to_act_on_is_no_reason_for_the_next_model(
    #[case] code: &str,
    #[case] kind: ModelErrorKind,
) {
    let script = Script::json(400, &json!({ "error": { "message": "no", "code": code } }));
    let server = ScriptedServer::start([script, Script::sse(CHAT, 99)]).await;
    let chain = chain(&[
        ("a", provider(Api::OpenAiChat, &server)),
        ("b", provider(Api::OpenAiChat, &server)),
    ]);
    assert_eq!(chain.stream(&request(), soon()).await.err().unwrap().kind, kind);
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn the_deadline_ends_a_stream() {
    let start = "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";
    let server = ScriptedServer::start([Script::sse(start, 99).then(Step::Hang)]).await;
    let chain = chain(&[("a", provider(Api::OpenAiChat, &server))]);
    let answer = chain
        .stream(&request(), Instant::now() + Duration::from_secs(2))
        .await
        .unwrap();
    assert_eq!(collect(answer.stream).await.unwrap_err().kind, ModelErrorKind::Timeout);
    server.wait_for_ends(1).await;
}

#[tokio::test]
async fn the_deadline_ends_a_call() {
    let server = ScriptedServer::start([Script::silent(), Script::sse(CHAT, 99)]).await;
    let chain = chain(&[
        ("a", provider(Api::OpenAiChat, &server)),
        ("b", provider(Api::OpenAiChat, &server)),
    ]);
    let error = chain
        .stream(&request(), Instant::now() + Duration::from_secs(1))
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, ModelErrorKind::Timeout);
    server.wait_for_ends(1).await;
    assert_eq!(server.received().len(), 1);
}
