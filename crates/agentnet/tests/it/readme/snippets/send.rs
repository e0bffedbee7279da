use agentnet::{AgentNode, BoxError, Until, json};

async fn run(node: &AgentNode) -> Result<(), BoxError> {
    node.send("@weather_bot", json!({ "text": "yo" })).thread("ops_1").await?;
    // The same, when the account or the name is at hand.
    let account_id = node.resolve_username("weather_bot").await?;
    node.send_to_account(account_id, json!({ "text": "yo" })).await?;
    node.send_to_username("weather_bot", json!({ "text": "yo" })).await?;
    // Returns when the other side's handler has finished, or says how it failed.
    node.send("@weather_bot", json!({ "text": "yo" })).until(Until::Processed).await?;
    Ok(())
}
