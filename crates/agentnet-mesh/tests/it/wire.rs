//! What goes over the wire to providers: every request is one that the official SDKs could have sent, and recorded answers of
//! real servers are read as they were meant.
//!
//! The answers are in `fixtures/`: streams of llama.cpp's server and of aimock, and the same as the SDKs write them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::IntoFuture as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use agentnet_mesh::config::{Api, ModelConfig, Provider, Secret};
use agentnet_mesh::model::chain::{ModelChain, collect};
use agentnet_mesh::model::client::HttpClient;
use agentnet_mesh::model::{
    AssistantTurn, ChatMessage, ChatRequest, ModelError, StopReason, TokenUsage, ToolCall, ToolChoice, ToolResult,
    ToolSpec,
};
use axum::Router;
use axum::extract::State;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

const APIS: [(Api, &str); 3] = [
    (Api::OpenAiChat, "openai-chat"),
    (Api::OpenAiResponses, "openai-responses"),
    (Api::AnthropicMessages, "anthropic-messages"),
];

/// A provider that answers with a recorded stream, and keeps the bodies of the requests.
#[derive(Clone)]
struct Replay {
    answer: Arc<str>,
    bodies: Arc<Mutex<Vec<Value>>>,
}

async fn answer(State(replay): State<Replay>, body: String) -> ([(&'static str, &'static str); 1], String) {
    replay.bodies.lock().push(serde_json::from_str(&body).unwrap());
    ([("content-type", "text/event-stream")], replay.answer.to_string())
}

impl Replay {
    async fn start(answer_text: &str) -> (Self, String) {
        let replay = Self {
            answer: answer_text.into(),
            bodies: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(replay.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        (replay, url)
    }
}

fn chain(api: Api, url: &str, model: &ModelConfig) -> ModelChain {
    let provider = Provider {
        api,
        base_url: url.to_owned(),
        api_key: Ok(Secret::new("key")),
        timeout: Duration::from_secs(20),
        max_retries: 0,
        headers: BTreeMap::new(),
        params_drop: Vec::new(),
    };
    let providers = BTreeMap::from([("replay".to_owned(), provider)]);
    ModelChain::new(&HttpClient::new().unwrap(), &providers, std::slice::from_ref(model))
}

fn model(name: &str, thinking: u32) -> ModelConfig {
    ModelConfig {
        provider: "replay".to_owned(),
        name: name.to_owned(),
        temperature: (thinking == 0).then_some(0.2),
        max_tokens: 4_096,
        thinking,
    }
}

/// Sends a request, and gives the body that came and what was read from the answer.
async fn exchange(
    api: Api,
    model: &ModelConfig,
    request: &ChatRequest,
    answer_text: &str,
) -> (Value, Result<(AssistantTurn, TokenUsage, StopReason), ModelError>) {
    let (replay, url) = Replay::start(answer_text).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let result = match chain(api, &url, model).stream(request, deadline).await {
        Ok(answer) => collect(answer.stream).await,
        Err(error) => Err(error),
    };
    let body = replay.bodies.lock().first().cloned().expect("the provider was asked");
    (body, result)
}

fn tools() -> Arc<[ToolSpec]> {
    let spec = |name: &str, parameters: Value| ToolSpec {
        name: name.to_owned(),
        description: "Looks something up, \"exactly\".".to_owned(),
        parameters,
    };
    Arc::new([
        spec(
            "get_weather",
            json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] }),
        ),
        spec(
            "mcp__files__read_file",
            json!({ "type": "object", "additionalProperties": false, "properties": {} }),
        ),
    ])
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        name: "get_weather".to_owned(),
        arguments: arguments.to_owned(),
    }
}

fn result(id: &str, is_error: bool) -> ToolResult {
    ToolResult {
        call_id: id.to_owned(),
        name: "get_weather".to_owned(),
        content: json!({ "ok": !is_error, "result": "3 °C" }).to_string(),
        is_error,
    }
}

fn user(text: &str) -> ChatMessage {
    ChatMessage::User(text.to_owned())
}

/// Conversations of every shape that the loop makes.
fn conversations() -> Vec<(&'static str, ChatRequest)> {
    let plain = ChatRequest {
        system: "You help.".to_owned(),
        messages: vec![user("@ada: hé 😀")],
        ..ChatRequest::default()
    };
    let turn = |text: &str, calls: Vec<ToolCall>| {
        ChatMessage::Assistant(AssistantTurn {
            text: text.to_owned(),
            tool_calls: calls,
            blocks: Vec::new(),
        })
    };
    let with = |messages: Vec<ChatMessage>| ChatRequest {
        messages,
        tools: tools(),
        ..plain.clone()
    };
    let mut without_system = plain.clone();
    without_system.system = String::new();
    let parallel = vec![
        call("call_1", r#"{"city":"Oslo"}"#),
        call("call_2", r#"{"city":"Bergen"}"#),
    ];
    let results = ChatMessage::ToolResults(vec![result("call_1", false), result("call_2", true)]);
    let mut last = with(vec![user("weather"), turn("", parallel.clone()), results.clone()]);
    last.tool_choice = ToolChoice::None;
    vec![
        ("plain", plain.clone()),
        ("without a system prompt", without_system),
        ("with tools", with(vec![user("weather?")])),
        (
            "a conversation",
            with(vec![
                user("a"),
                turn("b", vec![]),
                user("c"),
                user("d"),
                turn("e", vec![]),
                user("f"),
            ]),
        ),
        (
            "begins with the assistant",
            with(vec![turn("hello", vec![]), user("hi")]),
        ),
        (
            "results of parallel calls",
            with(vec![user("weather"), turn("I look.", parallel), results]),
        ),
        (
            "arguments that are empty or no JSON",
            with(vec![
                user("weather"),
                turn("", vec![call("call_3", ""), call("call_4", "{\"city\":")]),
                ChatMessage::ToolResults(vec![result("call_3", true), result("call_4", true)]),
                user("and now?"),
            ]),
        ),
        ("the last word", last),
        (
            "an empty answer before",
            with(vec![user("a"), turn("", vec![]), user("b")]),
        ),
    ]
}

fn folder(api: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(api)
}

/// The recorded streams of an API: name and text.
fn recordings(api: &str) -> Vec<(String, String)> {
    let mut found: Vec<_> = std::fs::read_dir(folder(api))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sse"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no recordings of {api}");
    found
}

/// What was read from an answer, as the file beside the recording has it.
fn described(read: &Result<(AssistantTurn, TokenUsage, StopReason), ModelError>) -> Value {
    match read {
        Ok((turn, usage, stop)) => json!({
            "text": turn.text,
            "tool_calls": turn.tool_calls.iter().map(|call| json!({
                "id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            })).collect::<Vec<_>>(),
            "blocks": turn.blocks,
            "usage": { "input": usage.input, "output": usage.output, "cached_input": usage.cached_input },
            "stop": format!("{stop:?}"),
        }),
        Err(error) => json!({ "error": format!("{:?}", error.kind), "message": error.message }),
    }
}

/// Every recording is read as its `.json` says. `AGENTNET_WRITE_FIXTURES=1` writes those files, for somebody to read.
#[tokio::test(flavor = "multi_thread")]
async fn recorded_answers_are_read() {
    for (api, name) in APIS {
        for (recording, text) in recordings(name) {
            let (_, request) = conversations().swap_remove(2);
            let (_, read) = exchange(api, &model("recorded", 0), &request, &text).await;
            let found = described(&read);
            let path = folder(name).join(format!("{recording}.json"));
            if std::env::var_os("AGENTNET_WRITE_FIXTURES").is_some() {
                std::fs::write(&path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
            }
            let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let expected: Value = serde_json::from_str(&expected).unwrap();
            assert_eq!(found, expected, "{name}/{recording}");
        }
    }
}

/// Every body validates against the SDKs' own types: those of all conversations, with models of different demands, and those
/// that send a recorded answer back with results.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_those_of_the_official_sdks() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/llm-sdks/bin/python");
    assert!(python.exists(), "the SDKs are missing: run `make llm-sdks`");
    let mut lines = String::new();
    let mut add = |case: &str, api: &str, body: &Value| {
        writeln!(lines, "{}", json!({ "case": case, "api": api, "body": body })).unwrap();
    };
    for (api, name) in APIS {
        for (case, request) in conversations() {
            for model in [
                model("gpt-4.1-mini", 0),
                model("gpt-5-mini", 0),
                model("claude-sonnet-4-6", 2_048),
            ] {
                let (body, _) = exchange(api, &model, &request, "").await;
                assert_eq!(body["stream"], true, "{case}: {body}");
                assert_eq!(body["model"], model.name.as_str(), "{case}: {body}");
                add(case, name, &body);
            }
        }
        for (recording, text) in recordings(name) {
            let (_, mut request) = conversations().swap_remove(2);
            let (_, read) = exchange(api, &model("recorded", 2_048), &request, &text).await;
            let Ok((turn, _, _)) = read else { continue };
            let results: Vec<_> = turn.tool_calls.iter().map(|call| result(&call.id, false)).collect();
            request.messages.push(ChatMessage::Assistant(turn));
            request.messages.push(if results.is_empty() {
                user("go on")
            } else {
                ChatMessage::ToolResults(results)
            });
            let (body, _) = exchange(api, &model("recorded", 2_048), &request, "").await;
            add(&recording, name, &body);
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/check_requests.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
