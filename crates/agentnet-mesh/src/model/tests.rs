//! Providers against a real HTTP server whose answers are scripted to the byte.

mod answers;
mod bounds;
mod breaks;
mod cancel;
mod pings;
mod raw_http;
mod rejections;
mod retries;
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use serde_json::json;

use self::server::ScriptedServer;
use crate::config::{Api, Provider, Secret};
use crate::model::provider::ProviderModel;
use crate::model::{ChatEvent, ChatMessage, ChatModel, ChatRequest, ChatStream, HttpClient, ModelError, ToolSpec};

/// The key that the tests use: no error may show it.
const KEY: &str = "sk-test-0123456789";

fn provider(api: Api, server: &ScriptedServer) -> Provider {
    Provider {
        api,
        base_url: server.url("/v1"),
        api_key: Ok(Secret::new(KEY)),
        timeout: Duration::from_secs(20),
        max_retries: 4,
        headers: BTreeMap::new(),
        params_drop: Vec::new(),
    }
}

fn model(provider: &Provider) -> ProviderModel {
    ProviderModel::new(&HttpClient::new().unwrap(), provider, "m").unwrap()
}

fn request() -> ChatRequest {
    ChatRequest {
        model: "m".into(),
        system: "Be short.".into(),
        messages: vec![ChatMessage::User("Hi".into())],
        max_tokens: Some(100),
        temperature: Some(0.2),
        ..ChatRequest::default()
    }
}

fn request_with_tool() -> ChatRequest {
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let tool = ToolSpec {
        name: "get_weather".into(),
        description: "Weather.".into(),
        parameters,
    };
    ChatRequest {
        tools: vec![tool].into(),
        ..request()
    }
}

/// All pieces of a stream, and the error that it ended with.
async fn read(mut stream: ChatStream) -> (Vec<ChatEvent>, Option<ModelError>) {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(error) => {
                assert!(stream.next().await.is_none(), "nothing comes after an error");
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

async fn ask(provider: &Provider) -> (Vec<ChatEvent>, Option<ModelError>) {
    match model(provider).stream(&request()).await {
        Ok(stream) => read(stream).await,
        Err(error) => (Vec::new(), Some(error)),
    }
}

fn text_of(events: &[ChatEvent]) -> String {
    let text = |event: &ChatEvent| match event {
        ChatEvent::Text(text) => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}
