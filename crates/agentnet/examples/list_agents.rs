//! Lists who is online.
//!
//! ```text
//! cargo run --example list_agents
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use agentnet::{BoxError, DEFAULT_NATS_URL, RegistryClient};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = std::env::var("AGENTNET_NATS_URL").unwrap_or_else(|_| DEFAULT_NATS_URL.to_owned());
    let registry = RegistryClient::connect(&url).await?;
    for agent in registry.list_online().await? {
        println!("{}", agent.encode());
    }
    Ok(())
}
