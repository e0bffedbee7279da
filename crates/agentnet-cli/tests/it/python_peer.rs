//! A foreign agent in plain Python over nats-py (spec/peers/agent.py) on our registry, with our agents.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use agentnet::{AgentNode, SendError, json};
use serde_json::Value;
use tokio::process::Command;

use crate::harness::{Service, Up, until};

fn peer(arguments: &[&str]) -> Command {
    program("agent.py", arguments)
}

fn program(name: &str, arguments: &[&str]) -> Command {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join(".tools/python/bin/python");
    assert!(
        python.exists(),
        "the Python environment is missing: run `make python-peer`"
    );
    let mut command = Command::new(python);
    command
        .arg(root.join("spec/peers").join(name))
        .args(arguments)
        .kill_on_drop(true);
    command.stdin(Stdio::piped());
    command
}

async fn event(service: &mut Service, name: &str) -> Value {
    loop {
        let event = service.next_json().await;
        if event["event"] == name {
            return event;
        }
    }
}

/// The command line writes to a Python agent, asks it, and calls its capability.
#[tokio::test(flavor = "multi_thread")]
async fn our_agents_reach_a_python_agent() {
    let mut up = Up::start().await;
    let mut python = Service::spawn(peer(&["serve", &up.url, "py"]));
    event(&mut python, "ready").await;
    let node = AgentNode::builder("rust").nats_url(&up.url).start().await.unwrap();
    let payload = agentnet::RawJson::parse(r#"{"b":1,"a":123456789012345678901234567890,"f":1.0}"#).unwrap();
    node.send("@py", payload).thread("py_1").await.unwrap();
    let got = event(&mut python, "message").await;
    assert_eq!(got["envelope"]["kind"], "direct");
    assert_eq!(got["envelope"]["schema_version"], "1.1");
    let reply = node
        .request("@py", json!({ "text": "hi" }))
        .thread("py_1")
        .await
        .unwrap();
    assert_eq!(reply.text().as_deref(), Some("hé 😀"));
    assert_eq!(&*reply.kind, "reply");
    let reply = node
        .request_capability("python", json!({ "text": "cap" }))
        .thread("py_1")
        .await
        .unwrap();
    assert_eq!(reply.text().as_deref(), Some("hé 😀"));
    let listed = until(&up.url, "list", |reply| {
        reply["agents"].as_array().is_some_and(|all| all.len() == 2)
    })
    .await;
    assert!(
        listed["agents"]
            .as_array()
            .unwrap()
            .iter()
            .any(|agent| agent["metadata"]["n"] == json!(1.0))
    );
    let all = |reply: &Value| reply["messages"].as_array().is_some_and(|all| all.len() == 5);
    until(&up.url, "thread-messages --thread-id py_1", all).await;
    node.close().await;
    up.stop().await;
}

/// A Python agent writes to ours, asks it, calls its capability, and reads the thread back.
#[tokio::test(flavor = "multi_thread")]
async fn a_python_agent_reaches_ours() {
    let mut up = Up::start().await;
    let node = AgentNode::builder("rust")
        .username("rust")
        .capabilities(["rust"])
        .nats_url(&up.url)
        .on_message(|message, context| async move {
            if message.wants_reply() {
                context.reply(message.payload().clone()).await?;
            }
            Ok(())
        })
        .start()
        .await
        .unwrap();
    let mut python = Service::spawn(peer(&["talk", &up.url, "py", "rust", "py_2"]));
    let sent = event(&mut python, "sent").await;
    assert_eq!(sent["receipt"]["status"], "accepted");
    let reply = event(&mut python, "reply").await;
    assert_eq!(reply["envelope"]["payload"]["text"], "ping");
    let reply = event(&mut python, "capability_reply").await;
    assert_eq!(reply["envelope"]["payload"]["text"], "cap");
    let history = event(&mut python, "history").await;
    let messages = history["reply"]["messages"].as_array().unwrap().clone();
    assert_eq!(
        messages.len(),
        5,
        "the replies to `_INBOX` are remembered too: {messages:?}"
    );
    let first = &messages[4]["payload"];
    assert_eq!(
        first.to_string(),
        json!({ "b": 2, "a": 1.2345678901234568e22, "f": 1.5, "s": "hé 😀" }).to_string()
    );
    let status = event(&mut python, "status").await;
    assert_eq!(
        (&status["reply"]["message_count"], &status["reply"]["status"]),
        (&json!(5), &json!("ok"))
    );
    let search = event(&mut python, "search").await;
    assert_eq!(search["reply"]["results"][0]["online"], true);
    let list = event(&mut python, "list").await;
    assert_eq!(list["reply"]["agents"].as_array().unwrap().len(), 2);
    assert!(python.ended().await.success(), "{}", python.stderr());
    node.close().await;
    up.stop().await;
}

/// The TypeScript client of the Python implementation sends no receipts: requests work, a send that waits for a receipt fails.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_receipts_answers_requests() {
    let mut up = Up::start().await;
    let mut command = peer(&["serve", &up.url, "ts", "--typescript"]);
    command.stdout(Stdio::piped());
    let mut python = Service::spawn(command);
    event(&mut python, "ready").await;
    let node = AgentNode::builder("rust").nats_url(&up.url).start().await.unwrap();
    let reply = node
        .request("@ts", json!({ "text": "hi" }))
        .thread("ts_1")
        .await
        .unwrap();
    assert_eq!(reply.text().as_deref(), Some("hé 😀"));
    let short = Duration::from_millis(200);
    let error = node
        .send("@ts", json!({}))
        .retry_attempts(0)
        .receipt_timeout(short)
        .await
        .unwrap_err();
    assert!(matches!(error, SendError::AckTimeout { .. }), "{error}");
    node.send("@ts", json!({ "text": "one way" }))
        .thread("ts_1")
        .without_ack()
        .await
        .unwrap();
    let all = |reply: &Value| reply["messages"].as_array().is_some_and(|all| all.len() == 3);
    until(&up.url, "thread-messages --thread-id ts_1", all).await;
    node.close().await;
    up.stop().await;
}

/// A stream in the open form, of which a piece is lost: the text of its end is what counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_in_the_open_form_is_shown_whole() {
    let mut up = Up::start().await;
    let mut python = Service::spawn(program("stream.py", &["serve", &up.url, "py", "open"]));
    event(&mut python, "ready").await;
    let chat = "chat --to-username py --thread-id open_1";
    let ran = crate::harness::line_with_input(&up.url, chat, "roses are réd\n").await;
    assert_eq!(ran.ok(), "roses are réd\n");
    // The question, the start, two of three pieces, the end.
    let all = |reply: &Value| reply["messages"].as_array().is_some_and(|all| all.len() == 5);
    until(&up.url, "thread-messages --thread-id open_1", all).await;
    let history = "/thread open_1\n/history 1\n";
    let ran = crate::harness::line_with_input(&up.url, "chat --to-username py", history).await;
    assert!(ran.ok().contains("roses are réd"));
    let exported = crate::harness::line(&up.url, "export thread open_1").await.ok();
    assert!(exported.contains("\n> roses are réd\n\n\n```json\n"), "{exported}");
    up.stop().await;
}
