//! An RPC client: calls the capability `add` of whichever worker is there.
//!
//! ```text
//! cargo run --example rpc_client -- 2 40
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use agentnet::{AgentNode, BoxError, json};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<i64>());
    let (a, b) = (
        numbers.next().transpose()?.unwrap_or(2),
        numbers.next().transpose()?.unwrap_or(40),
    );
    let node = AgentNode::builder("rpc_client")
        .name("RPC Client")
        .nats_url_from_env()
        .start()
        .await?;
    let reply = node.request_capability("add", json!({ "a": a, "b": b })).await?;
    println!("{}", reply.payload());
    node.close().await;
    Ok(())
}
