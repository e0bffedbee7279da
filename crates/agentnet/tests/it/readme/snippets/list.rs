use agentnet::{BoxError, RegistryClient};

async fn run(nats_url: &str) -> Result<(), BoxError> {
    let registry = RegistryClient::connect(nats_url).await?;
    for agent in registry.list_online().await? {
        println!("{} @{}", agent.name, agent.username.unwrap_or_default());
    }
    Ok(())
}
