use std::time::Duration;

use agentnet::{AgentWrapper, BoxError, json};

async fn run(nats_url: &str) -> Result<(), BoxError> {
    let wrapper = AgentWrapper::builder("demo_worker")
        .name("Demo Worker")
        .username("demo_worker")
        .nats_url(nats_url)
        .build()?;
    wrapper.receive(|message, context| async move {
        if message.wants_reply() {
            context.reply(json!({ "ok": true })).await?;
        }
        Ok(())
    });
    wrapper.connect().await?;
    let reply = wrapper
        .request(json!({ "text": "status?" }))
        .to_username("weather_bot")
        .timeout(Duration::from_secs(5))
        .await?;
    println!("{}", reply.payload());
    wrapper.close().await;
    Ok(())
}
