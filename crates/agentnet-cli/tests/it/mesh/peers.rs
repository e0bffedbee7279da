//! Agents that ask one another: in one thread, never in a circle, never too deep.

use agentnet::json;
use serde_json::Value;

use crate::mesh::scripted::{Mesh, Setup, agent, calls, head, says, tool_results};

fn asks(agent: &str, text: &str) -> (&'static str, Value) {
    (
        "network_ask",
        json!({ "agent": agent, "text": text, "timeout_seconds": 30 }),
    )
}

/// A planner asks two peers at once; everything is in one thread, and each message names the one it follows.
#[tokio::test(flavor = "multi_thread")]
async fn two_peers_are_asked_in_the_same_thread() {
    let network = "    tools: [network.*]\n";
    let yaml = head("openai-chat")
        + "agents:\n"
        + &agent("planner", "You are the planner.", network)
        + &agent("left", "You are left.", "")
        + &agent("right", "You are right.", "");
    let mesh = Mesh::start(Setup {
        yaml,
        online: &["planner", "left", "right"],
        fixtures: json!([
            says(json!({ "systemMessage": "You are left." }), "Left says 1."),
            says(json!({ "systemMessage": "You are right." }), "Right says 2."),
            calls(
                json!({ "systemMessage": "You are the planner.", "hasToolResult": false }),
                &[asks("@left", "your number?"), asks("right", "your number?")]
            ),
            says(
                json!({ "systemMessage": "You are the planner.", "hasToolResult": true }),
                "1 and 2."
            ),
        ]),
        ..Setup::default()
    })
    .await;
    assert_eq!(mesh.answer("@planner", "peers_1", "add them").await, "1 and 2.");
    let requests = mesh.asked(4).await;
    assert_eq!(requests.len(), 4);
    let results = tool_results(&requests[3]);
    assert_eq!(results.len(), 2);
    for ((_, result), text) in results.iter().zip(["Left says 1.", "Right says 2."]) {
        assert_eq!(result["ok"], true, "{result}");
        assert!(result.to_string().contains(text), "{result}");
    }
    let messages = mesh.thread("peers_1", 6).await;
    assert_eq!(messages.len(), 6, "{messages:?}");
    let question = &messages[0]["message_id"];
    let asked: Vec<_> = messages
        .iter()
        .filter(|message| message["parent_message_id"] == *question)
        .collect();
    assert_eq!(asked.len(), 3, "two questions and the answer: {messages:?}");
    mesh.stop().await;
}

/// A peer that asks back gets `wait_cycle` at once, not a timeout.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_asks_back_is_told_of_the_circle() {
    let network = "    tools: [network.ask]\n";
    let yaml = head("openai-chat")
        + "agents:\n"
        + &agent("ping", "You are ping.", network)
        + &agent("pong", "You are pong.", network);
    let mesh = Mesh::start(Setup {
        yaml,
        online: &["ping", "pong"],
        fixtures: json!([
            calls(
                json!({ "systemMessage": "You are ping.", "hasToolResult": false }),
                &[asks("@pong", "well?")]
            ),
            says(
                json!({ "systemMessage": "You are ping.", "hasToolResult": true }),
                "pong could not say."
            ),
            calls(
                json!({ "systemMessage": "You are pong.", "hasToolResult": false }),
                &[asks("@ping", "you first"), asks("@pong", "me?")]
            ),
            says(
                json!({ "systemMessage": "You are pong.", "hasToolResult": true }),
                "I would have to ask you."
            ),
        ]),
        ..Setup::default()
    })
    .await;
    assert_eq!(
        mesh.answer("@ping", "circle_1", "ask around").await,
        "pong could not say."
    );
    let requests = mesh.asked(4).await;
    let told = tool_results(&requests[2]);
    assert_eq!(told.len(), 2);
    for (_, result) in told {
        assert_eq!(result["ok"], false, "{result}");
        assert_eq!(result["error"], "wait_cycle", "{result}");
    }
    // The question, ping's question, pong's answer, ping's answer.
    assert_eq!(mesh.thread("circle_1", 4).await.len(), 4);
    mesh.stop().await;
}

/// A chain that is longer than `max_hops` ends, and every agent of it answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_too_long_ends() {
    let more = "    tools: [network.ask]\n    limits: { max_hops: 1 }\n";
    let yaml = head("openai-chat")
        + "agents:\n"
        + &agent("first", "You are first.", more)
        + &agent("second", "You are second.", more)
        + &agent("third", "You are third.", more);
    let mesh = Mesh::start(Setup {
        yaml,
        online: &["first", "second", "third"],
        fixtures: json!([
            calls(
                json!({ "systemMessage": "You are first.", "hasToolResult": false }),
                &[asks("@second", "go on")]
            ),
            says(
                json!({ "systemMessage": "You are first.", "hasToolResult": true }),
                "Done."
            ),
            calls(
                json!({ "systemMessage": "You are second.", "hasToolResult": false }),
                &[asks("@third", "go on")]
            ),
            says(
                json!({ "systemMessage": "You are second.", "hasToolResult": true }),
                "Too far."
            ),
            says(json!({ "systemMessage": "You are third." }), "Never asked."),
        ]),
        ..Setup::default()
    })
    .await;
    assert_eq!(mesh.answer("@first", "hops_1", "go").await, "Done.");
    let requests = mesh.asked(4).await;
    assert_eq!(requests.len(), 4, "third has a model that was not asked");
    let told = tool_results(&requests[2]);
    assert_eq!(told[0].1["ok"], false);
    assert!(told[0].1.to_string().contains("hop_limit"), "{}", told[0].1);
    mesh.stop().await;
}

/// An agent that is offline, one that does not exist, and the other tools of the network.
#[tokio::test(flavor = "multi_thread")]
async fn the_network_can_be_looked_at() {
    let looks = [
        ("network_list_online", json!({ "limit": 10 })),
        ("network_get_profile", json!({ "agent": "@tester" })),
        ("network_thread", json!({ "limit": 10 })),
        ("network_search", json!({ "text": "needle" })),
        ("network_send", json!({ "agent": "@friend", "text": "by the way" })),
        asks("@nobody_at_all", "are you there?"),
    ];
    let yaml = head("openai-chat")
        + "agents:\n"
        + &agent("scout", "You look.", "    tools: [\"network.*\"]\n")
        + &agent("friend", "You listen.", "");
    let mesh = Mesh::start(Setup {
        yaml,
        online: &["scout", "friend"],
        fixtures: json!([
            calls(json!({ "hasToolResult": false }), &looks),
            says(json!({ "hasToolResult": true }), "Seen."),
        ]),
        ..Setup::default()
    })
    .await;
    assert_eq!(mesh.answer("@scout", "look_1", "find the needle").await, "Seen.");
    let requests = mesh.asked(2).await;
    let results = tool_results(&requests[1]);
    let parts = ["@tester", "tester", "look_1", "", "", "account_not_found"];
    for (((name, _), (_, result)), part) in looks.iter().zip(&results).zip(parts) {
        assert_eq!(result["ok"], !part.contains("account"), "{name}: {result}");
        assert!(
            result.to_string().contains(part.trim_start_matches('@')),
            "{name}: {result}"
        );
    }
    mesh.stop().await;
}
