use agentnet::{AgentSdk, BoxError, StreamExt};

async fn run(nats_url: &str) -> Result<(), BoxError> {
    // The side that answers, piece by piece, while it has a reader.
    let poet = AgentSdk::builder("poet").nats_url(nats_url).build()?;
    poet.receive(|_, context| async move {
        let stream = context.reply_stream().await?;
        for word in ["roses ", "are ", "red"] {
            stream.delta(word).await?;
        }
        stream.end().await?;
        Ok(())
    });
    poet.start().await?;

    // The side that asks. Dropping the answer early tells the poet to stop.
    let sdk = AgentSdk::builder("reader").nats_url(nats_url).start().await?;
    let mut answer = sdk.ask_stream("@poet", "a poem, please").await?;
    while let Some(delta) = answer.next().await {
        print!("{}", delta?.text().unwrap_or_default());
    }
    let whole = answer.finish().await?;
    assert_eq!(whole.text.as_deref(), Some("roses are red"));
    Ok(())
}
