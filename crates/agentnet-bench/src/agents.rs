//! Agents that send and receive, with all their checks: only how many messages a second they take is raised.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentnet::{AgentNode, Limits, RawJson, json};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::role::Stage;
use crate::run::Run;
use crate::tasks;

/// Takes every message in, and answers those that ask for an answer with their payload. Tells how many it handled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) username: String,
    /// How long ids are remembered.
    pub(crate) dedupe: Duration,
}

/// Runs what it is asked to, towards the receiver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sender {
    pub(crate) url: String,
    /// The receiver's username.
    pub(crate) receiver: String,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A message, until its receipt.
    Send,
    /// A request, until its reply.
    Request,
}

impl Receiver {
    pub(crate) async fn play(self, stage: &mut Stage) -> Result<(), Failure> {
        let handled = Arc::new(AtomicU64::new(0));
        let count = handled.clone();
        let node = AgentNode::builder("bench_receiver")
            .username(self.username)
            .nats_url(self.url)
            .ignore_environment()
            .limits(open)
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
        stage.ready().await?;
        while let Some(()) = stage.next().await? {
            stage.answer(&handled.load(Ordering::Relaxed)).await?;
        }
        node.close().await;
        Ok(())
    }
}

impl Sender {
    pub(crate) async fn play(self, stage: &mut Stage) -> Result<(), Failure> {
        let node = AgentNode::builder("bench_sender")
            .username(format!("sender_to_{}", self.receiver))
            .nats_url(self.url)
            .ignore_environment()
            .limits(open)
            .start()
            .await?;
        stage.ready().await?;
        while let Some((kind, run)) = stage.next::<(Kind, Run)>().await? {
            let body = payload(run.bytes);
            let (node, receiver) = (node.clone(), Arc::<str>::from(self.receiver.as_str()));
            let one = move || {
                let (node, receiver, body) = (node.clone(), receiver.clone(), body.clone());
                async move {
                    match kind {
                        Kind::Send => drop(node.send_to_username(&*receiver, body).await?),
                        Kind::Request => drop(node.request_username(&*receiver, body).await?),
                    }
                    Ok(())
                }
            };
            stage.answer(&tasks::run(run, one).await?).await?;
        }
        node.close().await;
        Ok(())
    }
}

/// More messages at once than an agent takes by default. Nothing is turned off.
fn open(limits: &mut Limits) {
    limits.rate_limit_per_sender_per_sec = 1e9;
    limits.rate_limit_burst = u32::MAX;
    limits.max_pending = 4096;
}

/// A JSON payload of so many bytes.
fn payload(bytes: usize) -> RawJson {
    let frame = r#"{"text":""}"#.len();
    RawJson::from(json!({ "text": "x".repeat(bytes.saturating_sub(frame)) }))
}
