//! Dropping a call ends its HTTP request.

use futures::StreamExt;
use rstest::rstest;

use super::server::{Script, ScriptedServer, Step};
use super::{model, provider, request};
use crate::config::Api;
use crate::model::{ChatEvent, ChatModel};

#[tokio::test]
async fn a_dropped_stream_ends_the_request() {
    let text = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let server = ScriptedServer::start([Script::sse(text, 1_000).then(Step::Hang)]).await;
    let model = model(&provider(Api::OpenAiChat, &server));
    let mut stream = model.stream(&request()).await.unwrap();
    while let Some(event) = stream.next().await {
        if matches!(event.unwrap(), ChatEvent::Text(_)) {
            break;
        }
    }
    drop(stream);
    server.wait_for_ends(1).await;
}

#[rstest]
#[case::before_the_head(Script::silent())]
#[case::in_an_error(Script::new(500, "text/plain").then(Step::Hang))]
#[tokio::test]
async fn a_dropped_call_ends_the_request(#[case] script: Script) {
    let server = ScriptedServer::start([script]).await;
    let model = model(&provider(Api::AnthropicMessages, &server));
    let request = request();
    {
        let mut calling = std::pin::pin!(model.stream(&request));
        // Until the request has arrived.
        loop {
            assert!(futures::poll!(&mut calling).is_pending());
            if !server.received().is_empty() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    server.wait_for_ends(1).await;
}
