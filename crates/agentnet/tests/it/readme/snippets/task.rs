use std::time::Duration;

use agentnet::{AgentNode, BoxError, StreamExt, TaskFailure, json};

async fn run(nats_url: &str) -> Result<(), BoxError> {
    let worker = AgentNode::builder("builder")
        .capabilities(["build"])
        .task_concurrency(2)
        .on_task(|task, context| async move {
            context.progress(10, format!("building {}", task.text())).await?;
            context.checkpoint(json!({ "step": 1 })).await?; // the next attempt would get it
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(1)) => Ok(json!({ "files": 3 })),
                () = context.cancelled() => Err(TaskFailure::canceled()),
            }
        })
        .nats_url(nats_url)
        .start()
        .await?;

    let lead = AgentNode::builder("lead").nats_url(nats_url).start().await?;
    let task = lead
        .task("capability:build")
        .title("nightly")
        .text("main")
        .retries(2)
        .deadline(Duration::from_secs(3600))
        .key("nightly-12")
        .start()
        .await?;
    let mut events = task.events();
    while let Some(event) = events.next().await {
        let event = event?;
        println!("{} {}", event.r#type, event.text.unwrap_or_default());
    }
    let outcome = task.result().await?;
    println!("{}: {:?}", outcome.state, outcome.result);
    lead.close().await;
    worker.close().await;
    Ok(())
}
