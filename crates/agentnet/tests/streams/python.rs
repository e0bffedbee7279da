//! Streams from and to a Python program over nats-py (spec/peers/stream.py), which docs/STREAMING_PROTOCOL.md shows.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use agentnet::{StreamError, json};
use futures::StreamExt;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::net::DEADLINE;
use crate::realm::Realm;

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
