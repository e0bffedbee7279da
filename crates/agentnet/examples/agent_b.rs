//! Agent B: answers what it is asked. Run it first, then `agent_a`.
//!
//! ```text
//! cargo run --example agent_b
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use agentnet::{AgentNode, BoxError, json};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let node = AgentNode::builder("agent_b")
        .name("Agent B")
        .username("agent_b")
        .capabilities(["summarize"])
        .metadata(json!({ "team": "demo" }))
        .nats_url_from_env()
        .on_message(|message, context| async move {
            let text = message.text().unwrap_or_else(|| message.payload().to_string());
            println!("agent_b <- {} from {}: {text}", message.kind, message.from_agent);
            if message.wants_reply() {
                context.reply(json!({ "text": format!("You said: {text}") })).await?;
            }
            Ok(())
        })
        .start()
        .await?;
    println!("agent_b is online as @{}", node.username().unwrap_or_default());
    node.run_until_stopped().await?;
    Ok(())
}
