//! Agents that send and receive with all checks on: only the rate limits are raised.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentnet::protocol::signature::SigningKey;
use agentnet::{AgentBuilder, AgentNode, Limits, RawJson, json};
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
    /// Whether it signs and checks signatures.
    pub(crate) signs: bool,
}

/// Sends messages or requests to the receiver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MessageSender {
    pub(crate) url: String,
    /// The receiver's username.
    pub(crate) receiver: String,
    /// Whether it signs and checks signatures.
    pub(crate) signs: bool,
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
        let node = identified(AgentNode::builder("bench_receiver"), self.signs)
            .username(self.username)
            .nats_url(self.url)
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
        let node = identified(AgentNode::builder("bench_sender"), self.signs)
            .username(sender_to(&self.receiver))
            .nats_url(self.url)
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

/// The username of the agent that sends to this receiver.
pub(crate) fn sender_to(receiver: &str) -> String {
    format!("sender_to_{receiver}")
}

/// Without settings of the environment; one that signs has a new key.
fn identified(node: AgentBuilder, signs: bool) -> AgentBuilder {
    let node = node.ignore_environment();
    match signs {
        true => node.signing_key(SigningKey::from_seed(&rand::random())),
        false => node,
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
