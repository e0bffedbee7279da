//! Execution: the handler under its timeout, the circuit breaker, the final receipt.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use agentnet_protocol::{ReceiptStatus, Reject};
use futures::FutureExt;
use tokio::sync::mpsc;
use tracing::{Instrument as _, Span};

use crate::handler::{AnyHandler, Context, Message};
use crate::metrics::Metrics;
use crate::node::{AgentNode, Shared};
use crate::refuse::{acknowledge, refuse};
use crate::session::Live;
use crate::spans;

/// One of the node's workers.
#[derive(Clone)]
pub(crate) struct Worker {
    /// Weak: a worker must not keep a dropped node alive.
    pub(crate) node: Weak<Shared>,
    pub(crate) live: Arc<Live>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) handler: Arc<dyn AnyHandler>,
    pub(crate) timeout: Duration,
    /// Tells the intake what it may forget.
    pub(crate) failed: mpsc::Sender<Message>,
}

impl Worker {
    /// Handles messages until the backlog is closed and empty; once aborted, refuses what is left.
    pub(crate) async fn run(self, backlog: async_channel::Receiver<Message>) {
        while let Ok(message) = backlog.recv().await {
            self.live.inflight.fetch_add(1, Ordering::Relaxed);
            let span = spans::process(&message, message.origin());
            self.process(message, &span).instrument(span.clone()).await;
            self.live.inflight.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn process(&self, message: Message, span: &Span) {
        let outcome = if self.live.aborted.is_cancelled() {
            Err(Reject::ShuttingDown)
        } else {
            // Most handlers are done at once: then nobody has to be told that they are to be given up.
            tokio::select! {
                biased;
                outcome = self.work(&message) => outcome,
                () = self.live.aborted.cancelled() => Err(Reject::ShuttingDown),
            }
        };
        match outcome {
            Ok(()) => {
                self.metrics.processed.add_one();
                acknowledge(&self.live, &message, ReceiptStatus::Processed, None).await;
            }
            Err(reject) => {
                spans::failed(span, reject.code());
                // An error means that nothing more is taken in.
                let _ = self.failed.send(message.clone()).await;
                refuse(&self.live, &self.metrics, &message, message.reply_to(), &reject).await;
            }
        }
    }

    async fn work(&self, message: &Message) -> Result<(), Reject> {
        if self.live.circuit.is_open(self.live.monotonic()) {
            return Err(Reject::ServiceDegraded);
        }
        let Some(shared) = self.node.upgrade() else {
            return Err(Reject::ShuttingDown);
        };
        let context = Context::new(AgentNode::from_shared(shared), message.clone());
        let started = Instant::now();
        // Inside the block, so that a panic before the handler's first await is caught too.
        let handling = async { self.handler.handle(message.clone(), context).await };
        let handling = AssertUnwindSafe(handling).catch_unwind();
        let outcome = tokio::time::timeout(self.timeout, handling).await;
        self.metrics.handled(started.elapsed());
        let id = &message.message_id;
        let failure = match outcome {
            Ok(Ok(Ok(()))) => {
                self.live.circuit.succeeded();
                return Ok(());
            }
            Ok(Ok(Err(error))) => {
                tracing::error!(message_id = %id, %error, "handler failed");
                Reject::HandlerError
            }
            Ok(Err(_)) => {
                tracing::error!(message_id = %id, "handler panicked");
                Reject::HandlerError
            }
            Err(_) => {
                tracing::error!(message_id = %id, timeout = ?self.timeout, "handler timed out");
                Reject::Timeout
            }
        };
        self.live.circuit.failed(self.live.monotonic());
        Err(failure)
    }
}
