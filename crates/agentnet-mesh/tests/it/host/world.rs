//! A network for one test, a provider that repeats a word of the prompt, and a user.

use std::future::IntoFuture as _;
use std::path::Path;
use std::time::Duration;

use agentnet::{AgentNode, Message, ReplyStream};
use agentnet_mesh::config::{self, Mesh};
use agentnet_mesh::host::{Host, HostOptions};
use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_store::OpenOptions;
use agentnet_testkit::{NatsServer, TestDatabase};
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

/// The longest that a test waits for one thing before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// A question whose answer waits for [`World::release`].
pub(crate) const HOLD: &str = "hold it";

/// A network, a provider, and a user.
pub(crate) struct World {
    nats: NatsServer,
    _registry: RegistryHandle,
    _database: TestDatabase,
    pub(crate) provider: Provider,
    provider_url: String,
    pub(crate) user: AgentNode,
}

#[derive(Clone)]
pub(crate) struct Provider {
    /// Requests that came.
    pub(crate) asked: watch::Sender<usize>,
    /// Whether answers go out that are held back.
    released: watch::Sender<bool>,
}

/// Answers with the word of the prompt that begins with `PROMPT_`.
async fn answer(State(provider): State<Provider>, body: String) -> impl IntoResponse {
    provider.asked.send_modify(|count| *count += 1);
    if body.contains(HOLD) {
        provider
            .released
            .subscribe()
            .wait_for(|is_released| *is_released)
            .await
            .unwrap();
    }
    let word = body
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .find(|word| word.starts_with("PROMPT_"));
    let event = |value: Value| format!("data: {value}\n\n");
    let text = [
        event(json!({ "id": "c", "model": "m", "choices": [{ "index": 0, "delta": { "content": word } }] })),
        event(json!({ "id": "c", "model": "m", "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] })),
        event(
            json!({ "id": "c", "model": "m", "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 1 } }),
        ),
        "data: [DONE]\n\n".to_owned(),
    ];
    ([(CONTENT_TYPE, "text/event-stream")], text.concat())
}

impl World {
    pub(crate) async fn start() -> Self {
        let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
        let database = TestDatabase::start().await.unwrap();
        let store = agentnet_store::open(&database.url(), &OpenOptions::default())
            .await
            .unwrap();
        let config = RegistryConfig {
            nats_url: nats.url(),
            ..RegistryConfig::default()
        };
        let registry = Registry::start(config, store).await.unwrap();
        let provider = Provider {
            asked: watch::Sender::new(0),
            released: watch::Sender::new(false),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(provider.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        let user = AgentNode::builder("user")
            .username("user")
            .nats_url(nats.url())
            .ignore_environment();
        let user = user.start().await.unwrap();
        Self {
            nats,
            _registry: registry,
            _database: database,
            provider,
            provider_url,
            user,
        }
    }

    pub(crate) fn mesh(&self, agents: &str) -> Mesh {
        self.mesh_with(agents, "")
    }

    /// A mesh with more than agents.
    pub(crate) fn mesh_with(&self, agents: &str, more: &str) -> Mesh {
        let text = format!(
            "version: 1\nproviders:\n  local: {{ api: openai-chat, base_url: \"{}\", api_key: none }}\n  \
             keyed: {{ api: openai-chat, base_url: \"{}\", api_key: \"${{NO_SUCH_KEY}}\" }}\n{more}agents:\n{agents}",
            self.provider_url, self.provider_url
        );
        config::parse(&text, Path::new("mesh.yaml"), &|_: &str| None, &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn options(&self) -> HostOptions {
        HostOptions {
            nats_url: Some(self.nats.url()),
            dev_auth: Some(false),
            ..HostOptions::default()
        }
    }

    pub(crate) async fn host(&self, agents: &str) -> Host {
        Host::start(self.mesh(agents), self.options()).await.unwrap()
    }

    pub(crate) async fn ask(&self, agent: &str, text: &str) -> Message {
        self.user
            .request(agent, json!({ "text": text }))
            .timeout(DEADLINE)
            .await
            .unwrap()
    }

    pub(crate) async fn answer(&self, agent: &str) -> String {
        let reply = self.ask(agent, "well?").await;
        assert_eq!(reply.error_code(), None, "{}", reply.payload());
        reply.text().unwrap()
    }

    /// A question that the provider has, and does not answer yet.
    pub(crate) async fn held(&self, agent: &str) -> tokio::task::JoinHandle<Message> {
        let mut asked = self.provider.asked.subscribe();
        let before = *asked.borrow_and_update();
        let request = self.user.request(agent, json!({ "text": HOLD })).timeout(DEADLINE);
        let reply = tokio::spawn(async move { request.await.unwrap() });
        timeout(DEADLINE, asked.wait_for(|count| *count > before))
            .await
            .unwrap()
            .unwrap();
        reply
    }

    /// The same as a stream.
    pub(crate) async fn held_stream(&self, agent: &str) -> ReplyStream {
        let mut asked = self.provider.asked.subscribe();
        let before = *asked.borrow_and_update();
        let request = self.user.request_stream(agent, json!({ "text": HOLD, "stream": true }));
        let stream = request.timeout(DEADLINE).idle_timeout(DEADLINE).await.unwrap();
        timeout(DEADLINE, asked.wait_for(|count| *count > before))
            .await
            .unwrap()
            .unwrap();
        stream
    }

    pub(crate) fn release(&self) {
        self.provider.released.send_replace(true);
    }
}

pub(crate) fn agent(key: &str, prompt: &str, more: &str) -> String {
    format!("  - {{ key: {key}, prompt: {{ text: {prompt} }}, model: {{ provider: local, name: m }}{more} }}\n")
}
