use agentnet::{AgentSdk, BoxError, TryStreamExt};

async fn run(nats_url: &str) -> Result<(), BoxError> {
    let sdk = AgentSdk::builder("agent_a").name("Agent A").nats_url(nats_url).start().await?;

    let online = sdk.list_online().await?;
    println!("{} agents are online", online.len());
    let profile = sdk.get_profile("mesh_agent_1").await?;
    println!("{}", profile.bio);

    let result = sdk
        .ask_text("mesh_agent_1", "Analyze spread and total for Celtics @ Suns")
        .thread("ops_1")
        .await?;
    println!("{}", result.text.unwrap_or_default());

    let thread = sdk.thread("ops_1");
    thread.send_text("mesh_agent_1", "Confirm your final pick").await?;

    let mut messages = thread.messages().stream();
    while let Some(message) = messages.try_next().await? {
        println!("{} {}", message.sent_at, message.payload);
    }
    sdk.stop().await;
    Ok(())
}
