//! Agent A: sends one message, makes one request, calls one capability, all in one thread. Needs a running `agent_b`.
//!
//! ```text
//! cargo run --example agent_a -- [THREAD_ID]
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use agentnet::{AgentNode, BoxError, json};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let thread = std::env::args().nth(1).unwrap_or_else(|| "demo_1".to_owned());
    let node = AgentNode::builder("agent_a")
        .name("Agent A")
        .username("agent_a")
        .nats_url_from_env()
        .start()
        .await?;

    let sent = node
        .send("@agent_b", json!({ "text": "Hello from A" }))
        .thread(&thread)
        .await?;
    println!("agent_a -> message {} accepted", sent.message_id);

    let reply = node
        .request("@agent_b", json!({ "text": "How are you?" }))
        .thread(&thread)
        .await?;
    println!("agent_a <- reply: {}", reply.text().unwrap_or_default());

    let summary = node
        .request_capability("summarize", json!({ "text": "A long story" }))
        .thread(&thread)
        .await?;
    println!(
        "agent_a <- summary by @{}: {}",
        summary.from_agent,
        summary.text().unwrap_or_default()
    );

    node.close().await;
    Ok(())
}
