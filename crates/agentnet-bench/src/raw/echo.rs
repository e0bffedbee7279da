//! The other side of raw pings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentnet_testkit::RawClient;
use async_nats::Client;
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::role::Stage;

pub(super) const REQUESTS: &str = "bench.request";
pub(super) const PINGS: &str = "bench.ping";
pub(super) const PONGS: &str = "bench.pong";

/// Answers requests, and pings with a pong to a fixed subject. Tells how many it answered when it is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Responder {
    pub(crate) url: String,
}

impl Responder {
    pub(crate) async fn play(self, stage: &mut Stage) -> Result<(), Failure> {
        let client = RawClient::connect(&self.url).await?;
        let answered = Arc::new(AtomicU64::new(0));
        let requests = client.subscribe(REQUESTS).await?;
        let pings = client.subscribe(PINGS).await?;
        client.flush().await?;
        tokio::spawn(answer(client.clone(), requests, answered.clone()));
        tokio::spawn(answer(client, pings, answered.clone()));
        stage.ready().await?;
        while let Some(()) = stage.next().await? {
            stage.answer(&answered.load(Ordering::Relaxed)).await?;
        }
        Ok(())
    }
}

async fn answer(client: Client, mut messages: async_nats::Subscriber, answered: Arc<AtomicU64>) {
    while let Some(message) = messages.next().await {
        let to = message.reply.unwrap_or_else(|| PONGS.into());
        answered.fetch_add(1, Ordering::Relaxed);
        if client.publish(to, message.payload).await.is_err() {
            return;
        }
    }
}
