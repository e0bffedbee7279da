//! Limits: a model that never ends, budgets, and askers that leave.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentnet::{AgentSdk, StreamExt as _, json};
use agentnet_testkit::eventually;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::WAIT_TIMEOUT;
use crate::mesh::scripted::{Mesh, Setup, agent, calls, head, says};

const ECHO: &str = r#"
tools:
  echo_text:
    description: Repeats a text.
    parameters: { type: object, properties: { text: { type: string } } }
    shell: { argv: [echo, "{text}"] }
agents:
"#;

/// The model calls a tool in every step, also when it may not: the reply names the limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_never_ends_is_stopped() {
    let more = "    tools: [echo_text]\n    limits: { max_steps: 3 }\n";
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + ECHO + &agent("busy", "You work.", more),
        online: &["busy"],
        fixtures: json!([calls(json!({}), &[("echo_text", json!({ "text": "again" }))])]),
        ..Setup::default()
    })
    .await;
    let reply = mesh.ask("@busy", "steps_1", "work").await;
    assert_eq!(
        reply.error_code().as_deref(),
        Some("limit_reached"),
        "{}",
        reply.payload()
    );
    let requests = mesh.asked(3).await;
    assert!(requests.len() <= 4, "{}", requests.len());
    let last = requests.last().unwrap();
    assert_ne!(last["tool_choice"], "auto", "{last}");
    mesh.stop().await;
}

/// At the limit the model is asked once more, without tools, and what it says is the answer.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_the_model_has_the_last_word() {
    let more = "    tools: [echo_text]\n    limits: { max_steps: 2 }\n";
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + ECHO + &agent("busy", "You work.", more),
        online: &["busy"],
        fixtures: json!([
            says(json!({ "turnIndex": 2 }), "As far as I came."),
            calls(json!({}), &[("echo_text", json!({ "text": "again" }))]),
        ]),
        ..Setup::default()
    })
    .await;
    assert_eq!(mesh.answer("@busy", "steps_2", "work").await, "As far as I came.");
    mesh.stop().await;
}

/// Tokens of a day: the message that finds them used up is refused, and so is every one after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_a_day_is_kept_over_a_restart() {
    let more = "    limits: { tokens_per_day: 100 }\n";
    let mut answer = says(json!({}), "Costly.");
    answer["response"]["usage"] = json!({ "prompt_tokens": 90, "completion_tokens": 30, "total_tokens": 120 });
    let mut mesh = Mesh::start(Setup {
        yaml: head("openai-chat")
            + "prices: { scripted: { input: 10, output: 100 } }\nagents:\n"
            + &agent("spender", "You spend.", more),
        online: &["spender"],
        fixtures: json!([answer]),
        ..Setup::default()
    })
    .await;
    let reply = mesh.ask("@spender", "budget_1", "go").await;
    let payload: Value = reply.json().unwrap();
    assert_eq!(
        (&payload["usage"]["input"], &payload["usage"]["output"]),
        (&json!(90), &json!(30)),
        "{payload}"
    );
    // 90 · 10 $ + 30 · 100 $ per million.
    assert!(
        (payload["usage"]["usd"].as_f64().unwrap() - 0.0039).abs() < 1e-9,
        "{payload}"
    );
    let reply = mesh.ask("@spender", "budget_2", "go").await;
    assert_eq!(
        reply.error_code().as_deref(),
        Some("budget_exceeded"),
        "{}",
        reply.payload()
    );
    mesh.host.signal(rustix::process::Signal::TERM);
    mesh.host.ended().await;
    mesh.host = mesh.another_host();
    mesh.ready(2).await;
    let reply = mesh.ask("@spender", "budget_3", "go").await;
    let told = mesh.host.stderr();
    assert_eq!(
        reply.error_code().as_deref(),
        Some("budget_exceeded"),
        "{}: {told}",
        reply.payload()
    );
    assert_eq!(mesh.provider.requests().await.unwrap().len(), 1);
    let report = std::process::Command::new(env!("CARGO_BIN_EXE_agentnet"))
        .args(["mesh", "usage", "--by", "agent", "--json", "--data-dir"])
        .arg(mesh.folder.path().join("data"))
        .output()
        .unwrap();
    let report = String::from_utf8(report.stdout).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error} in {report}"));
    assert!(
        report.to_string().contains("spender") && report.to_string().contains("90"),
        "{report}"
    );
    mesh.stop().await;
}

/// A provider that never answers, and counts who waits.
pub struct Silent {
    pub url: String,
    waiting: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

struct Leaving(Arc<AtomicUsize>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Silent {
    pub async fn start() -> Self {
        let (waiting, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (waiting.clone(), asked.clone());
        let app = axum::Router::new().fallback(move |_body: String| {
            let (waiting, asked) = counters.clone();
            async move {
                waiting.fetch_add(1, Ordering::SeqCst);
                asked.fetch_add(1, Ordering::SeqCst);
                // Dropped with the connection.
                let _leaving = Leaving(waiting);
                std::future::pending::<()>().await;
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { url, waiting, asked }
    }

    pub async fn has_waiting(&self, count: usize) {
        let look = async || match self.waiting.load(Ordering::SeqCst) {
            found if found == count => Ok(()),
            found => Err(format!(
                "{found} requests wait, not {count}, of {}",
                self.asked.load(Ordering::SeqCst)
            )),
        };
        eventually(WAIT_TIMEOUT, look).await.unwrap();
    }
}

/// An asker that leaves its stream, and a message that takes too long: the HTTP request ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_request_to_the_model_ends_with_its_asker() {
    let silent = Silent::start().await;
    let hanging = "  silent: { api: openai-chat, base_url: \"${SILENT_URL}/v1\", api_key: x, timeout_seconds: 600 }\n";
    let patient = "  - { key: patient, prompt: { text: A. }, model: { provider: silent, name: m } }\n";
    let brief =
        "  - { key: brief, prompt: { text: A. }, model: { provider: silent, name: m }, limits: { max_seconds: 1 } }\n";
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + hanging + "agents:\n" + patient + brief,
        online: &["patient", "brief"],
        fixtures: json!([]),
        environment: vec![("SILENT_URL", silent.url.clone())],
    })
    .await;
    let sdk = AgentSdk::builder("reader")
        .username("reader")
        .nats_url(&mesh.up.url)
        .build()
        .unwrap();
    sdk.start().await.unwrap();
    let answer = sdk
        .ask_json_stream("@patient", json!({ "text": "a poem", "stream": true }))
        .await
        .unwrap();
    silent.has_waiting(1).await;
    drop(answer);
    silent.has_waiting(0).await;
    let reply = mesh.ask("@brief", "seconds_1", "quick").await;
    assert!(reply.error_code().is_some(), "{}", reply.payload());
    silent.has_waiting(0).await;
    assert!(silent.asked.load(Ordering::SeqCst) >= 2);
    sdk.stop().await;
    mesh.stop().await;
}

/// A streamed answer comes in pieces, with all three APIs, and its end is the whole text.
#[rstest::rstest]
#[case("openai-chat")]
#[case("openai-responses")]
#[case("anthropic-messages")]
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_streamed(#[case] api: &str) {
    const POEM: &str = "roses are réd, and violets are blue";
    let mut poem = says(json!({}), POEM);
    poem["chunkSize"] = json!(4);
    poem["latency"] = json!(60);
    let mesh = Mesh::start(Setup {
        yaml: head(api) + "agents:\n" + &agent("poet", "You write.", ""),
        online: &["poet"],
        fixtures: json!([poem]),
        ..Setup::default()
    })
    .await;
    let sdk = AgentSdk::builder("reader")
        .username("reader")
        .nats_url(&mesh.up.url)
        .build()
        .unwrap();
    sdk.start().await.unwrap();
    let asking = sdk.ask_json_stream("@poet", json!({ "text": "a poem", "stream": true }));
    let mut answer = asking.timeout(Duration::from_secs(30)).await.unwrap();
    let mut pieces = Vec::new();
    while let Some(delta) = answer.next().await {
        pieces.extend(delta.unwrap().text().map(std::borrow::Cow::into_owned));
    }
    let whole = answer.finish().await.unwrap();
    assert!(pieces.len() > 2, "{pieces:?}");
    assert_eq!(pieces.concat(), POEM);
    assert_eq!(whole.text.as_deref(), Some(POEM));
    sdk.stop().await;
    mesh.stop().await;
}
