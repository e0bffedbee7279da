//! Agents that send and receive with all checks on: only the rate limits are raised.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentnet::{AgentNode, Limits, RawJson, json};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::closed_loop;
use crate::run::Run;
use crate::worker_process::{WorkerIo, WorkerTask};

/// Accepts every message and echoes the payload of requests. Reports the number of handled messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MessageReceiver {
    pub(crate) url: String,
    pub(crate) username: String,
    /// How long message ids are remembered.
    pub(crate) dedupe: Duration,
}

/// Sends messages or requests to the receiver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MessageSender {
    pub(crate) url: String,
    /// The receiver's username.
    pub(crate) receiver: String,
}

/// The measured operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// A message, measured until its receipt.
    Send,
    /// A request, measured until its reply.
    Request,
}

impl WorkerTask for MessageReceiver {
    const NAME: &'static str = "message_receiver";

    async fn run(self, io: &mut WorkerIo) -> Result<(), Failure> {
        let handled = Arc::new(AtomicU64::new(0));
        let count = handled.clone();
        let node = AgentNode::builder("bench_receiver")
            .username(self.username)
            .nats_url(self.url)
            .ignore_environment()
            .limits(raise_limits)
            .limits(|limits| limits.dedupe_ttl = self.dedupe)
            .on_message(move |message, context| {
                count.fetch_add(1, Ordering::Relaxed);
                async move {
                    if message.wants_reply() {
                        context.reply(message.payload().clone()).await?;
                    }
                    Ok(())
                }
            })
            .start()
            .await?;
        io.ready().await?;
        while let Some(()) = io.next_command().await? {
            io.reply(&handled.load(Ordering::Relaxed)).await?;
        }
        node.close().await;
        Ok(())
    }
}

impl WorkerTask for MessageSender {
    const NAME: &'static str = "message_sender";

    async fn run(self, io: &mut WorkerIo) -> Result<(), Failure> {
        let node = AgentNode::builder("bench_sender")
            .username(format!("sender_to_{}", self.receiver))
            .nats_url(self.url)
            .ignore_environment()
            .limits(raise_limits)
            .start()
            .await?;
        io.ready().await?;
        while let Some((kind, run)) = io.next_command::<(Operation, Run)>().await? {
            let body = payload(run.bytes);
            let (node, receiver) = (node.clone(), Arc::<str>::from(self.receiver.as_str()));
            let one = move || {
                let (node, receiver, body) = (node.clone(), receiver.clone(), body.clone());
                async move {
                    match kind {
                        Operation::Send => drop(node.send_to_username(&*receiver, body).await?),
                        Operation::Request => drop(node.request_username(&*receiver, body).await?),
                    }
                    Ok(())
                }
            };
            io.reply(&closed_loop::run(run, one).await?).await?;
        }
        node.close().await;
        Ok(())
    }
}

/// Raises the rate limits and the backlog. No check is turned off.
fn raise_limits(limits: &mut Limits) {
    limits.rate_limit_per_sender_per_sec = 1e9;
    limits.rate_limit_burst = u32::MAX;
    limits.max_pending = 4096;
}

/// A JSON payload of `bytes` bytes.
fn payload(bytes: usize) -> RawJson {
    let frame = r#"{"text":""}"#.len();
    RawJson::from(json!({ "text": "x".repeat(bytes.saturating_sub(frame)) }))
}
