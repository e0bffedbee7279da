//! An RPC worker: adds numbers for callers of the capability `add`. Run as many as you like; each call reaches one.
//!
//! ```text
//! cargo run --example rpc_worker
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use agentnet::{AgentNode, BoxError, json};

#[derive(serde::Deserialize)]
struct Add {
    a: i64,
    b: i64,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let node = AgentNode::builder("rpc_worker")
        .name("RPC Worker")
        .capabilities(["add"])
        .nats_url_from_env()
        .on_message(|message, context| async move {
            let Add { a, b } = message.json()?;
            context.reply(json!({ "sum": a + b })).await?;
            Ok(())
        })
        .start()
        .await?;
    println!("rpc_worker is online as @{}", node.username().unwrap_or_default());
    node.run_until_stopped().await?;
    Ok(())
}
