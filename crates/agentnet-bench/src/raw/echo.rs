//! The responder of the raw benchmarks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentnet_testkit::RawClient;
use async_nats::{Client, Subject, Subscriber};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::worker_process::{WorkerIo, WorkerTask};

/// Bytes of a receipt.
const RECEIPT_BYTES: usize = 369;

/// The subjects of one sender and its responder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Subjects {
    pub(super) requests: String,
    pub(super) pings: String,
    pub(super) pongs: String,
    pub(super) messages: String,
    pub(super) own: String,
}

impl Subjects {
    pub(super) fn new(pair: &str) -> Self {
        Self {
            requests: format!("bench.{pair}.request"),
            pings: format!("bench.{pair}.ping"),
            pongs: format!("bench.{pair}.pong"),
            messages: format!("bench.{pair}.message"),
            own: format!("bench.{pair}.own"),
        }
    }
}

/// Answers requests, and pings with a pong to a fixed subject. Reports the number of answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RawResponder {
    pub(crate) url: String,
    pub(crate) subjects: Subjects,
}

impl WorkerTask for RawResponder {
    const NAME: &'static str = "raw_responder";

    async fn run(self, io: &mut WorkerIo) -> Result<(), Failure> {
        let client = RawClient::connect(&self.url).await?;
        let answered = Arc::new(AtomicU64::new(0));
        let requests = client.subscribe(self.subjects.requests).await?;
        let pings = client.subscribe(self.subjects.pings).await?;
        let messages = client.subscribe(self.subjects.messages).await?;
        client.flush().await?;
        let receipts = Subject::from(self.subjects.pongs.clone());
        tokio::spawn(acknowledge(client.clone(), messages, receipts, answered.clone()));
        tokio::spawn(answer(client.clone(), requests, None, answered.clone()));
        tokio::spawn(answer(
            client,
            pings,
            Some(self.subjects.pongs.into()),
            answered.clone(),
        ));
        io.ready().await?;
        while let Some(()) = io.next_command().await? {
            io.reply(&answered.load(Ordering::Relaxed)).await?;
        }
        Ok(())
    }
}

/// Answers to `pongs`, or else to the reply subject of the message.
async fn answer(client: Client, mut messages: Subscriber, pongs: Option<Subject>, answered: Arc<AtomicU64>) {
    while let Some(message) = messages.next().await {
        let Some(to) = pongs.clone().or(message.reply) else {
            continue;
        };
        answered.fetch_add(1, Ordering::Relaxed);
        if client.publish(to, message.payload).await.is_err() {
            return;
        }
    }
}

/// Answers twice, with as many bytes of the message as a receipt has.
async fn acknowledge(client: Client, mut messages: Subscriber, to: Subject, answered: Arc<AtomicU64>) {
    while let Some(message) = messages.next().await {
        let receipt = message.payload.slice(..message.payload.len().min(RECEIPT_BYTES));
        answered.fetch_add(1, Ordering::Relaxed);
        for receipt in [receipt.clone(), receipt] {
            if client.publish(to.clone(), receipt).await.is_err() {
                return;
            }
        }
    }
}
