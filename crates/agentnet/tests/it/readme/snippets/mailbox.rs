use std::time::Duration;

use agentnet::{AgentSdk, BoxError, MailboxDelivery, Until, json};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

async fn run(nats_url: &str) -> Result<(), BoxError> {
    let sdk = AgentSdk::builder("planner").nats_url(nats_url).start().await?;

    let result = sdk.send_text("@night_shift", "read the logs").mailbox(WEEK).await?;
    match result.detail {
        Some(detail) => println!("queued: {detail}"),
        None => println!("delivered"),
    }

    // Until the handler has finished: it stays in the mailbox when the handling fails, and is handled again.
    let node = sdk.node();
    let backup = node.send("@night_shift", json!({ "text": "check the backup" }));
    let sent = backup
        .mailbox(WEEK)
        .until(Until::Processed)
        .processing_timeout(Duration::from_secs(1))
        .await?;
    if let MailboxDelivery::Queued { detail } = sent.delivery {
        println!("queued: {detail}");
    }
    sdk.stop().await;
    Ok(())
}
