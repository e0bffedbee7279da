//! Asking a provider whether it is there.

use rstest::rstest;
use serde_json::json;

use super::server::{Script, ScriptedServer};
use super::{KEY, provider};
use crate::config::Api;
use crate::model::{ModelErrorKind, ping};

fn refusal(status: u16) -> Script {
    Script::json(status, &json!({ "error": { "message": format!("no: {KEY}") } }))
}

#[rstest]
#[case::list(vec![Script::json(200, &json!({"data": []}))], None)]
#[case::wrong_key(vec![refusal(401)], Some(ModelErrorKind::Auth))]
#[case::overloaded(vec![refusal(529)], Some(ModelErrorKind::Server))]
#[case::no_list(vec![refusal(404), refusal(400)], None)]
#[case::no_list_and_wrong_key(vec![refusal(405), refusal(403)], Some(ModelErrorKind::Auth))]
#[case::wrong_address(vec![refusal(404), refusal(404)], Some(ModelErrorKind::InvalidRequest))]
#[tokio::test]
async fn providers(
    #[values(Api::OpenAiChat, Api::OpenAiResponses, Api::AnthropicMessages)] api: Api,
    #[case] scripts: Vec<Script>,
    #[case] expected: Option<ModelErrorKind>,
) {
    let asked = scripts.len();
    let server = ScriptedServer::start(scripts).await;
    let error = ping(&provider(api, &server)).await.err();
    assert_eq!(error.as_ref().map(|error| error.kind), expected);
    assert!(!error.is_some_and(|error| error.message.contains(KEY)));
    let received = server.received();
    assert_eq!(received.len(), asked);
    assert_eq!(
        (received[0].method.as_str(), received[0].path.as_str()),
        ("GET", "/v1/models")
    );
}

#[tokio::test]
async fn a_missing_key_is_named() {
    let server = ScriptedServer::start([]).await;
    let mut provider = provider(Api::OpenAiChat, &server);
    provider.api_key = Err("TEAM_KEY".into());
    let error = ping(&provider).await.unwrap_err();
    assert!(error.is_config_error());
    assert!(error.message.contains("TEAM_KEY"), "{error}");
    assert_eq!(server.received().len(), 0);
}
