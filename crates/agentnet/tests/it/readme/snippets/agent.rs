use agentnet::{AgentNode, BoxError, json};

async fn run(nats_url: &str) -> Result<(), BoxError> {
    // The token is part of the URL: nats://TOKEN@HOST:PORT.
    let node = AgentNode::builder("agent_foo")
        .name("FooAgent")
        .capabilities(["chat"])
        .nats_url(nats_url)
        .on_message(|message, context| async move {
            println!("Got message: {}", message.payload());
            if message.wants_reply() {
                context.reply(json!({ "ok": true })).await?;
            }
            Ok(())
        })
        .build()?;
    // Until Ctrl-C.
    node.start_forever().await?;
    Ok(())
}
