//! What an agent remembers: the thread, also after a crash, and the checkpoints that keep it short.

use std::collections::HashSet;

use agentnet::json;
use agentnet_testkit::eventually;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::WAIT_TIMEOUT;
use crate::mesh::scripted::{Mesh, Setup, agent, head, online, says};

/// SIGKILL, a new host, and the conversation goes on where it was: it is in the registry, not in the host.
#[tokio::test(flavor = "multi_thread")]
async fn the_conversation_survives_a_kill() {
    let mut mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("memo", "You remember.", ""),
        online: &["memo"],
        fixtures: json!([
            says(json!({ "userMessage": "first" }), "Noted: the first."),
            says(json!({ "userMessage": "second" }), "And the second."),
        ]),
        ..Setup::default()
    })
    .await;
    assert_eq!(
        mesh.answer("@memo", "kill_1", "the first thing").await,
        "Noted: the first."
    );
    mesh.thread("kill_1", 2).await;
    mesh.host.signal(Signal::KILL);
    mesh.host.ended().await;
    mesh.host = mesh.another_host();
    // The killed session still counts as online, so this waits for the host itself.
    let look = async || {
        let request = mesh
            .asker
            .request("@memo", json!({ "text": "second" }))
            .thread("kill_1");
        match request.await {
            Ok(reply) if reply.error_code().is_none() => Ok(reply),
            other => Err(format!("{other:?}")),
        }
    };
    let reply = eventually(WAIT_TIMEOUT, look).await.unwrap();
    assert_eq!(reply.text().as_deref(), Some("And the second."));
    let requests = mesh.provider.requests().await.unwrap();
    let messages = requests.last().unwrap()["messages"].as_array().unwrap().clone();
    let roles: Vec<&str> = messages.iter().filter_map(|message| message["role"].as_str()).collect();
    assert_eq!(roles.first(), Some(&"system"));
    assert_eq!(roles.last(), Some(&"user"));
    let spoken: Vec<String> = messages[1..3]
        .iter()
        .map(|message| message["content"].to_string())
        .collect();
    assert_eq!(&roles[1..3], ["user", "assistant"], "{messages:?}");
    assert!(
        spoken[0].contains("@tester") && spoken[0].contains("the first thing"),
        "{spoken:?}"
    );
    assert!(spoken[1].contains("Noted: the first."), "{spoken:?}");
    mesh.stop().await;
}

fn checkpoints(messages: &[Value]) -> Vec<&Value> {
    let is_checkpoint = |message: &&Value| message["payload"]["type"] == "checkpoint";
    messages.iter().filter(is_checkpoint).collect()
}

/// A thread of 60 messages, 24 to keep: one checkpoint over 1 to 36, though two hosts run the same agent; the next answer
/// builds on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_thread_gets_one_checkpoint() {
    let more = "    memory: { max_messages: 100, max_tokens: 50000, keep_tail: 24, compaction: { at_tokens: 600 } }\n";
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("memo", "You remember.", more),
        online: &["memo"],
        fixtures: json!([
            says(
                json!({ "userMessage": "question", "systemMessage": "You remember." }),
                "Answered."
            ),
            says(json!({}), "They counted to fifty-nine."),
        ]),
        ..Setup::default()
    })
    .await;
    let second = mesh.another_host();
    mesh.ready(2).await;
    for number in 1..60 {
        let text = format!("fact number {number}, which is told so that it may be kept");
        mesh.asker
            .send("@memo", json!({ "text": text }))
            .thread("long_1")
            .await
            .unwrap();
    }
    mesh.thread("long_1", 59).await;
    assert_eq!(mesh.answer("@memo", "long_1", "question").await, "Answered.");
    let look = async || {
        let messages = mesh.thread("long_1", 62).await;
        match checkpoints(&messages).first() {
            Some(&checkpoint) => Ok(checkpoint.clone()),
            None => Err("no checkpoint"),
        }
    };
    let checkpoint = eventually(WAIT_TIMEOUT, look).await.unwrap();
    let payload = &checkpoint["payload"];
    assert_eq!(checkpoint["kind"], "system");
    assert_eq!(
        (
            &payload["covers_start"],
            &payload["covers_end"],
            &payload["keep_tail_messages"]
        ),
        (&json!(1), &json!(36), &json!(24)),
        "{payload}"
    );
    assert_eq!(payload["summary_version"], "v1");
    assert!(payload["summary"].as_str().unwrap().contains("fifty-nine"), "{payload}");
    // More answers, by either host.
    for _ in 0..4 {
        mesh.answer("@memo", "long_1", "question").await;
    }
    let messages = mesh.thread("long_1", 70).await;
    let ends: Vec<i64> = checkpoints(&messages)
        .iter()
        .filter_map(|checkpoint| checkpoint["payload"]["covers_end"].as_i64())
        .collect();
    let different: HashSet<&i64> = ends.iter().collect();
    assert_eq!(different.len(), ends.len(), "one checkpoint for each end: {ends:?}");
    let requests = mesh.provider.requests().await.unwrap();
    let last = requests
        .iter()
        .rfind(|request| request.to_string().contains("You remember."))
        .unwrap();
    let text = last.to_string();
    assert!(text.contains("They counted to fifty-nine."), "{text}");
    assert!(!text.contains("fact number 1,"), "{text}");
    drop(second);
    mesh.stop().await;
}

/// A model that cannot summarize: the checkpoint is an extract.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_summary_the_checkpoint_is_an_extract() {
    let more = "    memory: { max_messages: 100, keep_tail: 2, compaction: { at_tokens: 100 } }\n";
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("memo", "You remember.", more),
        online: &["memo"],
        fixtures: json!([
            says(json!({ "systemMessage": "You remember." }), "Answered."),
            { "match": {}, "response": { "error": { "message": "no", "type": "invalid_request_error" }, "status": 400 } },
        ]),
        ..Setup::default()
    })
    .await;
    for number in 0..4 {
        let text = format!(
            "question {number}, and more words: {}",
            "all of them fill the memory. ".repeat(5)
        );
        mesh.answer("@memo", "extract_1", &text).await;
        // What is not stored yet does not count.
        mesh.thread("extract_1", 2 * (number + 1)).await;
    }
    let look = async || {
        let messages = mesh.thread("extract_1", 8).await;
        match checkpoints(&messages).first() {
            Some(&checkpoint) => Ok(checkpoint.clone()),
            None => Err(format!(
                "no checkpoint in {messages:#?}; stderr: {}",
                mesh.host.stderr()
            )),
        }
    };
    let checkpoint = eventually(WAIT_TIMEOUT, look).await.unwrap();
    let summary = checkpoint["payload"]["summary"].as_str().unwrap();
    assert!(summary.contains("question 0"), "{summary}");
    online(&mesh.host, &mesh.up.url, &["memo"]).await;
    mesh.stop().await;
}
