//! A message's journey as one trace, over processes of the real binary and a receiver that speaks OTLP.

use std::path::PathBuf;
use std::process::Stdio;

use agentnet_testkit::{Capture, RawClient, eventually};
use async_nats::HeaderMap;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as Outcome;
use rustix::process::Signal;
use tokio::process::Command;

use crate::harness::{Ran, Service, Up, WAIT_TIMEOUT, binary, echo, line, run, until};
use crate::otlp::{Collector, Span};

fn traced(url: &str, collector: &Collector, service: &str, words: &str) -> Command {
    let mut command = binary();
    command
        .args(["--nats-url", url])
        .args(words.split_whitespace())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
        .env("OTEL_SERVICE_NAME", service);
    command
}

async fn traced_echo(url: &str, collector: &Collector, options: &str) -> Service {
    let service = Service::spawn(traced(url, collector, "answerer", &format!("echo {options}")));
    service.says("is online as").await;
    service
}

async fn traced_line(url: &str, collector: &Collector, words: &str) -> Ran {
    run(traced(url, collector, "asker", words)).await
}

/// The one span of this program and name.
#[track_caller]
fn one<'a>(spans: &'a [Span], service: &str, name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.service == service && span.name == name);
    let first = found
        .next()
        .unwrap_or_else(|| panic!("no {name} of {service} in {spans:#?}"));
    assert!(found.next().is_none(), "two {name} of {service} in {spans:#?}");
    first
}

/// Ends an agent in order, so that its last spans are out.
async fn stop(mut agent: Service) {
    agent.signal(Signal::INT);
    agent.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_its_handling_and_its_reply_are_one_trace() {
    let (up, collector) = (Up::start().await, Collector::start().await);
    let client = RawClient::connect(&up.url).await.unwrap();
    let requests = Capture::subscribe(&client, "account.*.inbox").await.unwrap();
    let answerer = traced_echo(&up.url, &collector, "").await;
    traced_line(
        &up.url,
        &collector,
        "request --to-username echo --thread-id t1 {\"text\":\"hi\"}",
    )
    .await
    .ok();
    stop(answerer).await;
    let spans = collector.at_least(4).await;
    assert_eq!(spans.len(), 4, "{spans:#?}");

    let (request, process) = (one(&spans, "asker", "request"), one(&spans, "answerer", "process"));
    let (reply, receive) = (one(&spans, "answerer", "reply"), one(&spans, "asker", "receive"));
    assert_eq!(request.parent, "", "the journey begins there");
    assert_eq!(process.parent, request.id);
    assert_eq!(reply.parent, process.id);
    assert_eq!(receive.parent, reply.id);
    for span in &spans {
        assert_eq!(span.trace, request.trace, "{spans:#?}");
        assert_eq!(span.attribute("messaging.system"), "nats", "{span:?}");
        assert_eq!(span.attribute("messaging.message.conversation_id"), "t1", "{span:?}");
        assert_eq!(span.outcome, Outcome::Unset, "{span:?}");
    }
    assert_eq!(
        [request, process, reply, receive].map(|span| span.kind),
        [
            SpanKind::Client,
            SpanKind::Consumer,
            SpanKind::Producer,
            SpanKind::Consumer
        ]
    );
    for (sent, received) in [(request, process), (reply, receive)] {
        for name in [
            "messaging.message.id",
            "messaging.destination.name",
            "messaging.message.body.size",
            "agentnet.from_account_id",
            "agentnet.kind",
        ] {
            assert_ne!(sent.attribute(name), "", "{name} in {sent:?}");
            assert_eq!(sent.attribute(name), received.attribute(name), "{name}");
        }
    }
    assert_eq!(request.attribute("agentnet.kind"), "request");
    assert_eq!(reply.attribute("agentnet.kind"), "reply");
    assert_eq!(
        reply.attribute("agentnet.to_account_id"),
        request.attribute("agentnet.from_account_id")
    );
    assert!(request.start < process.start, "{spans:#?}");

    // The header on the wire is that of the W3C, with the span of the request.
    let sent = requests.messages();
    let header = sent[0]
        .headers
        .as_ref()
        .unwrap()
        .get("traceparent")
        .unwrap()
        .as_str()
        .to_owned();
    assert_eq!(header, format!("00-{}-{}-01", request.trace, request.id));

    // The history keeps both messages, without it.
    let words = "thread-messages --thread-id t1";
    let history = until(&up.url, words, |page| {
        page["messages"].as_array().is_some_and(|it| it.len() == 2)
    })
    .await;
    assert!(!history.to_string().contains("traceparent"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_is_traced_as_well_and_a_refusal_told() {
    // The registry knows which agents are absent once all agents had the time to say hello.
    let up = Up::start_with("--agent-ttl-seconds 2 --heartbeat-interval-seconds 1").await;
    let collector = Collector::start().await;
    let answerer = traced_echo(&up.url, &collector, "--conformance").await;
    traced_line(&up.url, &collector, "send --to-username echo {\"text\":\"hi\"}")
        .await
        .ok();
    let spans = collector.at_least(1).await;
    let send = one(&spans, "asker", "send").clone();
    // The receiver is offline: the registry answers, which exports no spans.
    let words = "request --to-account acct_nobody --timeout 2 {}";
    let refused = async || match line(&up.url, words).await {
        ran if ran.code == Some(2) => Ok(()),
        ran => Err(format!("{ran:?}")),
    };
    eventually(WAIT_TIMEOUT, refused).await.unwrap();
    traced_line(&up.url, &collector, words).await;
    stop(answerer).await;
    let spans = collector.at_least(4).await;
    let process = one(&spans, "answerer", "process");
    assert_eq!((&process.trace, &process.parent), (&send.trace, &send.id));
    assert_eq!(send.kind, SpanKind::Producer);
    let request = one(&spans, "asker", "request");
    assert_eq!(
        (request.outcome, request.why.as_str()),
        (Outcome::Error, "account_not_found")
    );
    assert_ne!(request.trace, send.trace);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_with_and_without_traces_understand_each_other() {
    let (up, collector) = (Up::start().await, Collector::start().await);
    let client = RawClient::connect(&up.url).await.unwrap();
    let wire = Capture::subscribe(&client, "account.*.inbox").await.unwrap();
    let replies = Capture::subscribe(&client, "agentnet.reply.>").await.unwrap();

    // An asker without traces: its journey begins at the receiver.
    let mut answerer = traced_echo(&up.url, &collector, "").await;
    line(&up.url, "request --to-username echo {\"text\":\"a\"}").await.ok();
    // A peer that writes nonsense into the header.
    let account = wire.messages()[0].subject.to_string();
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", "00-nonsense");
    let mut body: serde_json::Value = serde_json::from_slice(&wire.messages()[0].payload).unwrap();
    body["message_id"] = "another".into();
    let body = body.to_string();
    client
        .publish_with_headers(account, headers, body.into())
        .await
        .unwrap();
    for _ in 0..2 {
        answerer.next_line().await;
    }
    stop(answerer).await;
    let spans = collector.at_least(3).await;
    let handled: Vec<_> = spans.iter().filter(|span| span.name == "process").collect();
    assert_eq!(handled.len(), 2, "{spans:#?}");
    assert!(handled.iter().all(|span| span.parent.is_empty()), "{spans:#?}");
    let reply = one(&spans, "answerer", "reply");
    assert!(
        handled
            .iter()
            .any(|span| reply.parent == span.id && reply.trace == span.trace)
    );

    // A receiver without traces: the asker's stay its own.
    let plain = echo(&up.url, "--username plain").await;
    traced_line(&up.url, &collector, "request --to-username plain {\"text\":\"b\"}")
        .await
        .ok();
    let spans = collector.at_least(5).await;
    let receive = one(&spans, "asker", "receive");
    let request = one(&spans, "asker", "request");
    assert_eq!(receive.parent, request.id, "{spans:#?}");
    stop(plain).await;

    // Nothing is on the wire but what was asked for: neither by the asker of the first nor by the receiver of the second.
    let headers = |captured: &Capture| {
        captured
            .messages()
            .iter()
            .map(|it| it.headers.is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(headers(&wire), [false, true, true], "plain, the nonsense, traced");
    assert_eq!(headers(&replies), [true, false], "traced, plain");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_used_and_a_collector_that_is_gone_are_told() {
    let up = Up::start().await;
    let with = |name: &str, value: &str| {
        let mut command = binary();
        command.args(["--nats-url", &up.url, "list"]).env(name, value);
        command
    };
    let told = |ran: Ran, part: &str| {
        assert_eq!(ran.code, Some(0), "the command does its work: {ran:?}");
        assert!(ran.stderr.contains("WARN") && ran.stderr.contains(part), "{ran:?}");
    };
    let ran = run(with("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")).await;
    told(ran, "OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4317");
    let mut command = with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    told(run(command).await, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc");
    for name in [
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_BSP_SCHEDULE_DELAY",
    ] {
        let mut command = with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        command.env(name, "99999999999999");
        run(command).await.ok();
    }
    let mut command = with("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense");
    command.env("OTEL_SDK_DISABLED", "true");
    run(command).await.ok();

    // The collector is down: the message arrives, and the log reports that its span was not exported.
    let agent = echo(&up.url, "").await;
    let gone = Collector::start().await.endpoint.clone();
    let mut command = binary();
    command.args(["--nats-url", &up.url, "send", "--to-username", "echo", "{}"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", gone);
    let ran = tokio::time::timeout(WAIT_TIMEOUT, run(command)).await.unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("WARN") || ran.stderr.contains("ERROR"), "{ran:?}");
    drop(agent);
}

/// nats-py, as agents of the Python implementation use it.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_knows_no_headers_answers_a_traced_request() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join(".tools/python/bin/python");
    assert!(
        python.exists(),
        "the Python environment is missing: run `make python-peer`"
    );
    let (up, collector) = (Up::start().await, Collector::start().await);
    let mut peer = Command::new(python);
    peer.arg(root.join("spec/peers/agent.py"))
        .args(["serve", &up.url, "py"])
        .kill_on_drop(true)
        .stdin(Stdio::piped());
    let mut peer = Service::spawn(peer);
    while peer.next_json().await["event"] != "ready" {}
    let client = RawClient::connect(&up.url).await.unwrap();
    let wire = Capture::subscribe(&client, "account.*.inbox").await.unwrap();
    let words = "--json request --to-username py {\"text\":\"hi\"}";
    let reply = traced_line(&up.url, &collector, words).await.json();
    assert_eq!(reply["kind"], "reply", "{reply}");
    traced_line(&up.url, &collector, "send --to-username py {\"text\":\"hi\"}")
        .await
        .ok();
    let sent = wire.wait_until(|all| all.len() == 2, WAIT_TIMEOUT).await.unwrap();
    for message in sent {
        let headers = message.headers.unwrap();
        assert!(headers.get("traceparent").is_some(), "{headers:?}");
    }
}
