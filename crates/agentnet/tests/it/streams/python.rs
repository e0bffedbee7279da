//! Streams from and to a Python program over nats-py (spec/peers/stream.py), which docs/STREAMING_PROTOCOL.md shows.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use agentnet::{AgentSdk, StreamError, Until, json};
use futures::StreamExt;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::net::{DEADLINE, agent, generous};
use crate::realm::Realm;
use crate::streams::inboxes::{assembling, until_complete};

struct Python {
    lines: Lines<BufReader<ChildStdout>>,
    _stdin: ChildStdin,
    _child: Child,
}

impl Python {
    fn run(arguments: &[&str]) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let python = root.join(".tools/python/bin/python");
        assert!(
            python.exists(),
            "the Python environment is missing: run `make python-peer`"
        );
        let mut child = Command::new(python)
            .arg(root.join("spec/peers/stream.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            _stdin: child.stdin.take().unwrap(),
            _child: child,
        }
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await.unwrap();
        serde_json::from_str(&line.unwrap().expect("a line")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_our_streams_and_cancels_them() {
    let realm = Realm::start().await;
    let (told, mut cancelled) = mpsc::channel(1);
    let bob = realm
        .agent("bob")
        .on_message(move |message, context| {
            let told = told.clone();
            async move {
                let stream = context.reply_stream().await?;
                stream.delta("roses ").await?;
                stream.delta("are réd").await?;
                if message.text().as_deref() == Some("poem") {
                    return Ok(stream.end_with(json!({ "words": 3 })).await?);
                }
                context.cancelled().await;
                told.send(()).await?;
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let account = bob.account_id().unwrap();
    let mut python = Python::run(&["read", &realm.nats.url(), &account, "poem"]);
    assert_eq!(
        python.next().await,
        json!({ "event": "delta", "seq": 1, "delta": "roses " })
    );
    assert_eq!(
        python.next().await,
        json!({ "event": "delta", "seq": 2, "delta": "are réd" })
    );
    assert_eq!(python.next().await, json!({ "event": "end", "result": { "words": 3 } }));

    let mut python = Python::run(&["read", &realm.nats.url(), &account, "for ever", "2"]);
    for event in ["delta", "delta", "cancelled"] {
        assert_eq!(python.next().await["event"], event);
    }
    tokio::time::timeout(DEADLINE, cancelled.recv()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn we_read_pythons_streams_and_cancel_them() {
    let realm = Realm::start().await;
    let mut python = Python::run(&["serve", &realm.nats.url(), "py"]);
    assert_eq!(python.next().await["event"], "ready");
    let alice = realm.agent("alice").start().await.unwrap();
    let ask = |text: &str| alice.request_stream("@py", json!({ "text": text })).timeout(DEADLINE);
    let whole = ask("roses are réd").await.unwrap().finish().await.unwrap();
    assert_eq!((whole.text.as_str(), whole.deltas), ("roses are réd", 3));
    assert_eq!(
        whole.result.unwrap().deserialize::<Value>().unwrap(),
        json!({ "frames": 5 })
    );

    let mut stream = ask("roses ...").await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text().as_deref(), Some("roses "));
    drop(stream);
    assert_eq!(python.next().await["event"], "cancelled");

    // Killed in the middle.
    let request = ask("roses ...").idle_timeout(Duration::from_secs(3));
    let mut stream = request.await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(python);
    let error = tokio::time::timeout(DEADLINE, stream.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, StreamError::Idle { last_seq: 1, .. }), "{error}");
}

/// A program that writes as those of the original do: no number at the start, the whole text at the end, a piece lost.
#[tokio::test(flavor = "multi_thread")]
async fn streams_in_the_open_form_are_read_whole() {
    let realm = Realm::start().await;
    let mut python = Python::run(&["serve", &realm.nats.url(), "py", "open"]);
    assert_eq!(python.next().await["event"], "ready");
    let (bob, assembler) = assembling(agent(&realm.nats.url(), "bob").limits(generous)).await;
    let request = bob
        .request_stream("@py", json!({ "text": "roses are réd" }))
        .timeout(DEADLINE);
    let whole = request.await.unwrap().finish().await.unwrap();
    assert_eq!((whole.text.as_str(), whole.deltas), ("roses are réd", 2));
    assert_eq!(whole.metadata.unwrap().get(), r#"{"model": "m"}"#);

    let account = bob.account_id().unwrap();
    let mut teller = Python::run(&["tell", &realm.nats.url(), &account, "violets are blue"]);
    assert_eq!(teller.next().await["event"], "told");
    assert_eq!(until_complete(&assembler).await, "violets are blue");
}

/// What a reader of the original shows of our streams: of a sender that numbers by itself, and of the four calls.
#[tokio::test(flavor = "multi_thread")]
async fn our_streams_are_shown_whole_by_a_reader_of_the_open_form() {
    let realm = Realm::start().await;
    let mut python = Python::run(&["collect", &realm.nats.url(), "py"]);
    assert_eq!(python.next().await["event"], "ready");
    let alice = realm.agent("alice").start().await.unwrap();
    let shown = |stream_id: &str, metadata: Value| {
        json!({ "event": "whole", "stream_id": stream_id, "joined": "roses are réd", "text": "roses are réd",
            "role": "assistant", "content_type": "text/plain", "metadata": metadata, "started": true, "finished": true })
    };
    let stream = alice.send_stream("@py").thread("t").metadata(json!({ "model": "m" }));
    let stream = stream.await.unwrap();
    let stream_id = stream.stream_id().to_owned();
    for piece in ["roses ", "are ", "réd"] {
        stream.delta(piece).await.unwrap();
    }
    // What no reader takes is refused here, and the stream goes on.
    assert_eq!(stream.delta_json(json!(null)).await, Err(StreamError::NullPiece));
    stream.end().await.unwrap();
    assert_eq!(python.next().await, shown(&stream_id, json!({ "model": "m" })));

    let thread = AgentSdk::from(alice).thread("t");
    let started = thread.send_stream_start("@py", " s1 ").await.unwrap();
    let payload: Value = started.data.unwrap().deserialize().unwrap();
    assert_eq!((payload.get("seq"), &payload["stream_id"]), (None, &json!("s1")));
    for (piece, seq) in [("are ", 2), ("roses ", 1), ("are ", 2), ("réd", 3)] {
        thread.send_stream_delta("@py", "s1", piece, seq).await.unwrap();
    }
    let ended = thread
        .send_stream_end("@py", "s1", 4)
        .text("roses are réd")
        .until(Until::Accepted);
    let ended = ended.await.unwrap();
    assert_eq!(thread.parent(), Some(ended.message_id));
    assert_eq!(python.next().await, shown("s1", json!({})));

    thread.send_stream_error("@py", "s2", "out_of_ink", 0).await.unwrap();
    let failed = json!({ "event": "failed", "code": "out_of_ink", "seq": 0, "finished": true });
    assert_eq!(python.next().await, failed);
    let error = thread.send_stream_start("@py", "  ").await.unwrap_err();
    assert!(error.to_string().contains("stream_id"), "{error}");
}
