//! A host that stops: the answers at hand, and a second signal.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use agentnet::{StreamError, json};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Service, WAIT_TIMEOUT};
use crate::mesh::limits::Silent;
use crate::mesh::scripted::{Mesh, Setup, agent, head, online, says};

/// An answer that is finished while the host stops is printed like every other.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_printed_while_the_host_stops() {
    const ANSWER: &str = "an answer of many pieces that takes some time";
    let mut slow = says(json!({}), ANSWER);
    slow["latency"] = json!(100);
    slow["chunkSize"] = json!(2);
    let mut mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("slow", "You take your time.", ""),
        online: &["slow"],
        fixtures: json!([slow]),
        ..Setup::default()
    })
    .await;
    let stopping = async {
        mesh.asked(1).await;
        mesh.host.signal(Signal::TERM);
    };
    let (answer, ()) = tokio::join!(mesh.answer("@slow", "stop_1", "now"), stopping);
    assert_eq!(answer, ANSWER);
    assert_eq!(mesh.host.ended().await.code(), Some(0), "{}", mesh.host.stderr());
    let printed = mesh.printed();
    let sent = printed.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["event"] == "send").then_some(line)
    });
    let sent: Vec<Value> = sent.collect();
    assert_eq!(sent.len(), 1, "{printed}");
    assert_eq!(
        (&sent[0]["thread"], &sent[0]["text"]),
        (&json!("stop_1"), &json!(ANSWER))
    );
    mesh.host = mesh.another_host();
    mesh.ready(2).await;
    mesh.stop().await;
}

/// A second signal does not wait for the answers at hand, and does not leave those who wait for them to their timeouts.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_running_streams() {
    let silent = Silent::start().await;
    let provider = "  silent: { api: openai-chat, base_url: \"${SILENT_URL}/v1\", api_key: x, timeout_seconds: 600 }\n";
    let patient = "  - { key: patient, prompt: { text: A. }, model: { provider: silent, name: m } }\n";
    let mut mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + provider + "agents:\n" + patient,
        online: &["patient"],
        fixtures: json!([]),
        environment: vec![("SILENT_URL", silent.url.clone())],
    })
    .await;
    let question = json!({ "text": "a poem", "stream": true });
    let request = mesh.asker.request_stream("@patient", question).timeout(WAIT_TIMEOUT);
    let stream = request.idle_timeout(WAIT_TIMEOUT).await.unwrap();
    silent.has_waiting(1).await;
    mesh.host.signal(Signal::TERM);
    mesh.host.says("stopping").await;
    mesh.host.signal(Signal::TERM);
    let error = stream.text().await.unwrap_err();
    assert!(
        matches!(&error, StreamError::Failed { code, .. } if code == "shutting_down"),
        "{error}"
    );
    assert_eq!(mesh.host.ended().await.code(), Some(0), "{}", mesh.host.stderr());
    mesh.host = mesh.another_host();
    mesh.ready(2).await;
    mesh.stop().await;
}

/// A program that starts a host and reads nothing of its output.
#[tokio::test(flavor = "multi_thread")]
async fn agents_answer_and_the_host_stops_while_nobody_reads_stdout() {
    let mut mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("unread", "You answer.", ""),
        online: &["unread"],
        fixtures: json!([says(json!({}), "an answer")]),
        ..Setup::default()
    })
    .await;
    mesh.host.signal(Signal::TERM);
    assert_eq!(mesh.host.ended().await.code(), Some(0), "{}", mesh.host.stderr());
    // Full from the beginning.
    let (mut stdout, _never_read) = UnixStream::pair().unwrap();
    stdout.set_nonblocking(true).unwrap();
    let full = loop {
        if let Err(error) = stdout.write(&[b' '; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    stdout.set_nonblocking(false).unwrap();
    let mut unread = Service::spawn_into(mesh.command("run"), File::from(OwnedFd::from(stdout)));
    online(&unread, &mesh.up.url, &["unread"]).await;
    assert_eq!(mesh.answer("@unread", "unread_1", "hello").await, "an answer");
    unread.signal(Signal::TERM);
    assert_eq!(unread.ended().await.code(), Some(0), "{}", unread.stderr());
    mesh.host = mesh.another_host();
    mesh.ready(2).await;
    mesh.stop().await;
}
