//! What an operator sees: spans in the trace of the message, counters, and the log of messages.

use std::time::Duration;

use agentnet::json;
use agentnet_testkit::eventually;
use serde_json::Value;

use crate::harness::{WAIT_TIMEOUT, binary, run};
use crate::mesh::recorder::get;
use crate::mesh::scripted::{Mesh, Setup, agent, calls, head, says};
use crate::otlp::{Collector, Span};

const ECHO: &str = r#"
tools:
  echo_text:
    description: Repeats a text.
    parameters: { type: object, properties: { text: { type: string } } }
    shell: { argv: [echo, "{text}"] }
agents:
"#;

fn find<'a>(spans: &'a [Span], operation: &str) -> Vec<&'a Span> {
    let is_it = |span: &&Span| span.attribute("gen_ai.operation.name") == operation;
    spans.iter().filter(is_it).collect()
}

/// The calls of the model and of the tool are spans below the span of the message, with the names that OpenTelemetry gives them.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_models_and_tools_are_in_the_trace_of_the_message() {
    let collector = Collector::start().await;
    let mut answer = says(json!({ "hasToolResult": true }), "Done.");
    answer["response"]["usage"] = json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 });
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + ECHO + &agent("worker", "You work.", "    tools: [echo_text]\n"),
        online: &["worker"],
        fixtures: json!([
            calls(
                json!({ "hasToolResult": false }),
                &[("echo_text", json!({ "text": "x" }))]
            ),
            answer
        ]),
        environment: vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.clone()),
            ("OTEL_SERVICE_NAME", "host".to_owned()),
        ],
    })
    .await;
    let mut asking = binary();
    asking
        .args([
            "--nats-url",
            &mesh.up.url,
            "request",
            "--to-username",
            "worker",
            "--timeout",
            "60",
            r#"{"text":"go"}"#,
        ])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
        .env("OTEL_SERVICE_NAME", "asker");
    assert!(run(asking).await.ok().contains("Done."));
    let look = async || {
        let spans = collector.spans();
        let counts = (find(&spans, "chat").len(), find(&spans, "execute_tool").len());
        if counts == (2, 1) {
            Ok(spans)
        } else {
            Err(format!("{counts:?} in {spans:#?}"))
        }
    };
    let spans = eventually(WAIT_TIMEOUT, look).await.unwrap();
    let request = spans
        .iter()
        .find(|span| span.service == "asker" && span.name == "request")
        .unwrap();
    for span in find(&spans, "chat").into_iter().chain(find(&spans, "execute_tool")) {
        assert_eq!(
            (span.service.as_str(), &span.trace),
            ("host", &request.trace),
            "{span:#?}"
        );
    }
    let models = find(&spans, "chat");
    assert!(
        models
            .iter()
            .all(|span| span.attribute("gen_ai.request.model") == "scripted"),
        "{models:#?}"
    );
    assert!(
        models
            .iter()
            .any(|span| span.attribute("gen_ai.usage.input_tokens") == "7"),
        "{models:#?}"
    );
    assert_eq!(
        find(&spans, "execute_tool")[0].attribute("gen_ai.tool.name"),
        "echo_text"
    );
    mesh.stop().await;
}

/// The counters on the page of Prometheus, and each message in the log.
#[tokio::test(flavor = "multi_thread")]
async fn messages_are_counted_and_logged() {
    let mut answer = says(json!({}), "Done.");
    answer["response"]["usage"] = json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 });
    let mut mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("worker", "You work.", ""),
        online: &["worker"],
        fixtures: json!([answer]),
        ..Setup::default()
    })
    .await;
    mesh.host.signal(rustix::process::Signal::TERM);
    mesh.host.ended().await;
    let mut command = mesh.command("run");
    command.args(["--metrics-addr", "127.0.0.1:0"]);
    mesh.host = crate::harness::Service::spawn(command);
    let ready: Value = mesh.host.next_json().await;
    assert_eq!(ready["event"], "ready", "{ready}");
    assert_eq!(ready["agents"][0]["username"], "worker", "{ready}");
    let page = ready["metrics_url"].as_str().unwrap().to_owned();
    mesh.answer("@worker", "metrics_1", "go").await;
    for event in ["recv", "send"] {
        let line = tokio::time::timeout(Duration::from_secs(30), mesh.host.next_json())
            .await
            .unwrap();
        assert_eq!(
            (&line["event"], &line["thread"]),
            (&json!(event), &json!("metrics_1")),
            "{line}"
        );
    }
    let text = get(&page).await;
    for line in [
        r#"agentnet_mesh_tokens_total{agent="worker",model="scripted",kind="input"} 7"#,
        r#"agentnet_mesh_tokens_total{agent="worker",model="scripted",kind="output"} 3"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    mesh.stop().await;
}
