//! Execution: the handler under its timeout, the circuit breaker, the final receipt.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use agentnet_protocol::{ReceiptStatus, Reject};
use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::future::FutureExt as _;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use crate::handler::{AnyHandler, Context, Message};
use crate::metrics::Metrics;
use crate::node::{AgentNode, Shared};
use crate::refuse::{acknowledge, refuse};
use crate::session::Live;
use crate::spans;
use crate::stream::StreamError;

/// The node's workers: tasks that come when there is something to do, at most so many at a time, and go when there is not.
/// An idle agent has none.
#[derive(Clone)]
pub(crate) struct Workers {
    pub(crate) worker: Worker,
    pub(crate) backlog: async_channel::Receiver<Message>,
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) at_most: usize,
    pub(crate) tasks: TaskTracker,
}

impl Workers {
    /// Sees to it that somebody handles what was put into the backlog.
    pub(crate) fn call(&self) {
        if self.enter() {
            let ended = self.worker.live.ended.clone();
            let work = self.clone().run().with_cancellation_token_owned(ended);
            self.tasks.spawn(work.map(drop));
        }
    }

    /// Handles messages until none is left; once aborted, refuses them.
    async fn run(self) {
        loop {
            while let Ok(message) = self.backlog.try_recv() {
                self.worker.run(message).await;
            }
            self.running.fetch_sub(1, Ordering::SeqCst);
            // Whoever puts a message in looks for a free place after it: one of the two sees the other.
            if self.backlog.is_empty() || !self.enter() {
                return;
            }
        }
    }

    /// Takes a place among those at work, if there is one.
    fn enter(&self) -> bool {
        self.running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |running| {
                (running < self.at_most).then_some(running + 1)
            })
            .is_ok()
    }
}

/// What handles one message.
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

/// Whether a handler failed because the reader of its stream has stopped reading.
fn is_cancelled(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(StreamError::Cancelled)) {
            return true;
        }
        next = error.source();
    }
    false
}

impl Worker {
    async fn run(&self, message: Message) {
        self.live.inflight.fetch_add(1, Ordering::Relaxed);
        let span = spans::process(&message, message.origin());
        self.process(message, &span).instrument(span.clone()).await;
        self.live.inflight.fetch_sub(1, Ordering::Relaxed);
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
                Box::pin(refuse(&self.live, &self.metrics, &message, message.reply_to(), &reject)).await;
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
            // Its reader has stopped reading: that is no failure of the handler.
            Ok(Ok(Err(error))) if is_cancelled(&*error) => {
                tracing::debug!(message_id = %id, "handler ended because its stream is read no more");
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
