use agentnet::{AgentSdk, BlobStorage, BoxError};

async fn run(nats_url: &str) -> Result<(), BoxError> {
    // In the network's object store, so that agents on other hosts can read it. Without this line: a local directory.
    let sdk = AgentSdk::builder("painter")
        .nats_url(nats_url)
        .blob_storage(BlobStorage::NatsObject)
        .start()
        .await?;
    let blob = sdk.put_blob_file("/tmp/chart.png").await?;
    sdk.send_blob_ref("@vision_agent", &blob).thread("media_ops_1").await?;

    // What the other side does with the message's payload.
    let bytes = sdk.get_blob_bytes(&blob).await?;
    println!("{} of {} bytes, {}", bytes.len(), blob.size, blob.mime_type);
    Ok(())
}
