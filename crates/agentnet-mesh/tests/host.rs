//! A host on a real nats-server and a real registry; its provider is a web server that repeats a word of the prompt.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::future::IntoFuture as _;
use std::path::Path;
use std::time::Duration;

use agentnet::{AgentNode, Message};
use agentnet_mesh::config::{self, Mesh};
use agentnet_mesh::host::{Host, HostError, HostEvent, HostOptions};
use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_store::OpenOptions;
use agentnet_testkit::{NatsServer, TestDatabase};
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// The longest that a test waits for one thing before it fails.
const DEADLINE: Duration = Duration::from_secs(30);
/// A question whose answer waits for [`World::release`].
const HOLD: &str = "hold it";

/// A network, a provider, and a user.
struct World {
    nats: NatsServer,
    _registry: RegistryHandle,
    _database: TestDatabase,
    provider: Provider,
    provider_url: String,
    user: AgentNode,
}

#[derive(Clone)]
struct Provider {
    /// Requests that came.
    asked: watch::Sender<usize>,
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
    async fn start() -> Self {
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

    fn mesh(&self, agents: &str) -> Mesh {
        let text = format!(
            "version: 1\nproviders:\n  local: {{ api: openai-chat, base_url: \"{}\", api_key: none }}\n  \
             keyed: {{ api: openai-chat, base_url: \"{}\", api_key: \"${{NO_SUCH_KEY}}\" }}\nagents:\n{agents}",
            self.provider_url, self.provider_url
        );
        config::parse(&text, Path::new("mesh.yaml"), &|_: &str| None, &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    fn options(&self) -> HostOptions {
        HostOptions {
            nats_url: Some(self.nats.url()),
            dev_auth: Some(false),
            ..HostOptions::default()
        }
    }

    async fn host(&self, agents: &str) -> Host {
        Host::start(self.mesh(agents), self.options()).await.unwrap()
    }

    async fn ask(&self, agent: &str, text: &str) -> Message {
        self.user
            .request(agent, json!({ "text": text }))
            .timeout(DEADLINE)
            .await
            .unwrap()
    }

    async fn answer(&self, agent: &str) -> String {
        let reply = self.ask(agent, "well?").await;
        assert_eq!(reply.error_code(), None, "{}", reply.payload());
        reply.text().unwrap()
    }

    /// A question that the provider has, and does not answer yet.
    async fn held(&self, agent: &str) -> tokio::task::JoinHandle<Message> {
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

    fn release(&self) {
        self.provider.released.send_replace(true);
    }
}

fn agent(key: &str, prompt: &str, more: &str) -> String {
    format!("  - {{ key: {key}, prompt: {{ text: {prompt} }}, model: {{ provider: local, name: m }}{more} }}\n")
}

async fn session(host: &Host, key: &str) -> Option<String> {
    host.node(key).await?.session_tag()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_what_differs_and_nothing_else() {
    let world = World::start().await;
    let file = |prompt: &str| agent("turn", prompt, "") + &agent("stay", "PROMPT_STAY", "");
    let host = world.host(&file("PROMPT_OLD")).await;
    let sessions = (session(&host, "turn").await, session(&host, "stay").await);
    let held = world.held("@turn").await;
    let report = host.reload(world.mesh(&file("PROMPT_NEW"))).await.unwrap();
    assert_eq!(
        (report.changed, report.kept),
        (vec!["turn".to_owned()], vec!["stay".to_owned()])
    );
    assert_eq!(world.answer("@turn").await, "PROMPT_NEW");
    assert_eq!(world.answer("@stay").await, "PROMPT_STAY");
    assert_eq!(
        (session(&host, "turn").await, session(&host, "stay").await),
        sessions,
        "nobody has joined anew"
    );
    world.release();
    assert_eq!(held.await.unwrap().text().as_deref(), Some("PROMPT_OLD"));
    let report = host.reload(world.mesh(&file("PROMPT_NEW"))).await.unwrap();
    assert!(report.is_unchanged(), "{report}");
    assert!(
        host.metrics()
            .encode()
            .contains("agentnet_mesh_reloads_total{ok=\"true\"} 2")
    );
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_another_identity_joins_anew_and_drops_no_request() {
    let world = World::start().await;
    let host = world.host(&agent("turn", "PROMPT_OLD", "")).await;
    let before = session(&host, "turn").await;
    let held = world.held("@turn").await;
    let file = agent("turn", "PROMPT_NEW", ", name: Turned, capabilities: [turning]");
    let report = host.reload(world.mesh(&file)).await.unwrap();
    assert_eq!(report.rejoined, ["turn"]);
    assert_ne!(session(&host, "turn").await, before);
    // Also where the session before takes the message: the server may not have ended its subscriptions yet.
    for _ in 0..20 {
        assert_eq!(world.answer("@turn").await, "PROMPT_NEW");
    }
    world.release();
    assert_eq!(held.await.unwrap().text().as_deref(), Some("PROMPT_OLD"));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_come_and_go() {
    let world = World::start().await;
    let both = agent("first", "PROMPT_FIRST", "") + &agent("second", "PROMPT_SECOND", "");
    let host = world.host(&both).await;
    let held = world.held("@first").await;
    let other = agent("third", "PROMPT_THIRD", "") + &agent("second", "PROMPT_SECOND", "");
    let report = host.reload(world.mesh(&other)).await.unwrap();
    assert_eq!(
        (report.added, report.removed),
        (vec!["third".to_owned()], vec!["first".to_owned()])
    );
    let keys: Vec<String> = host.agents().await.into_iter().map(|agent| agent.key).collect();
    assert_eq!(keys, ["third", "second"], "in the order of the file");
    assert_eq!(world.answer("@third").await, "PROMPT_THIRD");
    world.release();
    assert_eq!(
        held.await.unwrap().text().as_deref(),
        Some("PROMPT_FIRST"),
        "what it had accepted is answered"
    );
    host.close().await;
    let online = world.user.list_online().await.unwrap();
    assert_eq!(
        online.iter().filter(|agent| agent.agent_id != "user").count(),
        0,
        "{online:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_finished_is_refused() {
    let world = World::start().await;
    let options = HostOptions {
        drain_timeout: Duration::from_millis(50),
        ..world.options()
    };
    let host = Host::start(world.mesh(&agent("turn", "PROMPT_OLD", "")), options)
        .await
        .unwrap();
    let held = world.held("@turn").await;
    timeout(DEADLINE, host.close()).await.unwrap();
    let reply = held.await.unwrap();
    assert_eq!(
        reply.error_code().as_deref(),
        Some("shutting_down"),
        "{}",
        reply.payload()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_its_key_says_so() {
    let world = World::start().await;
    let file = "  - { key: turn, prompt: { text: PROMPT_OLD }, model: { provider: keyed, name: m } }\n";
    let host = world.host(file).await;
    assert_eq!(host.agents().await[0].missing, ["NO_SUCH_KEY"]);
    let online = world.user.list_online().await.unwrap();
    let turn = online.iter().find(|agent| agent.agent_id == "turn").unwrap();
    let metadata: Value = turn.metadata.deserialize().unwrap();
    assert_eq!(metadata["mesh"]["state"], "degraded");
    let reply = world.ask("@turn", "well?").await;
    assert_eq!(
        reply.error_code().as_deref(),
        Some("config_error"),
        "{}",
        reply.payload()
    );
    assert!(reply.payload().get().contains("NO_SUCH_KEY"), "{}", reply.payload());
    // With a key it joins anew, as ready.
    let report = host.reload(world.mesh(&agent("turn", "PROMPT_OLD", ""))).await.unwrap();
    assert_eq!(report.rejoined, ["turn"]);
    assert_eq!(world.answer("@turn").await, "PROMPT_OLD");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_selected_agents_run() {
    let world = World::start().await;
    let both = agent("first", "PROMPT_FIRST", "") + &agent("second", "PROMPT_SECOND", "");
    let select = |keys: &[&str]| HostOptions {
        only: keys.iter().map(ToString::to_string).collect(),
        ..world.options()
    };
    let refused = Host::start(world.mesh(&both), select(&["second", "third"]))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, HostError::UnknownAgents { unknown, .. } if unknown == &["third"]),
        "{refused}"
    );
    let host = Host::start(world.mesh(&both), select(&["second"])).await.unwrap();
    assert_eq!(host.agents().await.len(), 1);
    let refused = host
        .reload(world.mesh(&agent("first", "PROMPT_FIRST", "")))
        .await
        .unwrap_err();
    assert!(matches!(refused, HostError::NoAgents), "{refused}");
    assert_eq!(world.answer("@second").await, "PROMPT_SECOND");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_join_ends_the_start() {
    let world = World::start().await;
    let file = agent("first", "PROMPT_FIRST", "") + &agent("second", "PROMPT_SECOND", "");
    // A key that cannot be a file stands for whatever an agent may lack.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("second.json")).unwrap();
    let key_dir = Some(folder.path().to_owned());
    let options = HostOptions {
        dev_auth: Some(true),
        key_dir,
        ..world.options()
    };
    let refused = Host::start(world.mesh(&file), options).await.unwrap_err();
    assert!(
        matches!(&refused, HostError::Start { agent, .. } if agent == "second"),
        "{refused}"
    );
    let online = world.user.list_online().await.unwrap();
    assert_eq!(online.len(), 1, "nobody is left: {online:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_of_messages_and_the_ledger_keeps_tokens() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (events, mut happened) = mpsc::channel(8);
    let options = HostOptions {
        events: Some(events),
        data_dir: Some(folder.path().to_owned()),
        ..world.options()
    };
    let host = Host::start(world.mesh(&agent("turn", "PROMPT_OLD", "")), options)
        .await
        .unwrap();
    world.answer("@turn").await;
    let first = timeout(DEADLINE, happened.recv()).await.unwrap().unwrap();
    assert!(
        matches!(&first, HostEvent::Received { agent, .. } if &**agent == "turn"),
        "{first:?}"
    );
    let second = timeout(DEADLINE, happened.recv()).await.unwrap().unwrap();
    assert!(
        matches!(&second, HostEvent::Answered { text, .. } if text == "PROMPT_OLD"),
        "{second:?}"
    );
    assert_eq!(host.ledger().used_today("turn").tokens, 10);
    host.close().await;
    let kept = std::fs::read_to_string(folder.path().join("mesh/usage.jsonl")).unwrap();
    assert!(kept.contains(r#""agent":"turn""#) && kept.ends_with('\n'), "{kept}");
}
