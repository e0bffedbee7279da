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

use crate::context::Context;
use crate::handler::AnyHandler;
use crate::inbox::notice::Notice;
use crate::mailbox::handling::Duplicate;
use crate::message::Message;
use crate::node::{AgentNode, Shared};
use crate::reject::{self, acknowledge};
use crate::session::Session;
use crate::spans;
use crate::stream::StreamError;

/// The node's workers: tasks that start when a message waits, up to a limit, and end when none does. An idle agent has none.
#[derive(Clone)]
pub(crate) struct Workers {
    pub(crate) worker: Worker,
    pub(crate) backlog: async_channel::Receiver<Message>,
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) limit: usize,
    pub(crate) tasks: TaskTracker,
}

impl Workers {
    /// Starts one more worker for the backlog, unless the limit is reached.
    pub(crate) fn wake(&self) {
        if self.enter() {
            let ended = self.worker.session.ended.clone();
            let work = self.clone().run().with_cancellation_token_owned(ended);
            self.tasks.spawn(work.map(drop));
        }
    }

    /// Handles messages until none is left; once aborted, rejects them.
    async fn run(self) {
        loop {
            while let Ok(message) = self.backlog.try_recv() {
                self.worker.run(message).await;
            }
            self.running.fetch_sub(1, Ordering::SeqCst);
            // A message is queued before `wake` counts the workers: either that call or this check sees the other.
            if self.backlog.is_empty() || !self.enter() {
                return;
            }
        }
    }

    /// Counts one more running worker, if the limit allows it.
    fn enter(&self) -> bool {
        self.running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |running| {
                (running < self.limit).then_some(running + 1)
            })
            .is_ok()
    }
}

/// Handles one message.
#[derive(Clone)]
pub(crate) struct Worker {
    /// Weak: a worker must not keep a dropped node alive.
    pub(crate) node: Weak<Shared>,
    pub(crate) session: Arc<Session>,
    pub(crate) handler: Arc<dyn AnyHandler>,
    pub(crate) timeout: Duration,
    /// The intake forgets the messages whose handling failed.
    pub(crate) notices: mpsc::Sender<Notice>,
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
        self.session.inflight.fetch_add(1, Ordering::Relaxed);
        let span = spans::process(&message, message.origin());
        self.process(message, &span).instrument(span.clone()).await;
        self.session.inflight.fetch_sub(1, Ordering::Relaxed);
    }

    async fn process(&self, message: Message, span: &Span) {
        let outcome = if self.session.aborted.is_cancelled() {
            Err(Reject::ShuttingDown)
        } else {
            // Biased: most handlers end at once, and then `aborted` need not be polled.
            tokio::select! {
                biased;
                outcome = self.work(&message) => outcome,
                () = self.session.aborted.cancelled() => Err(Reject::ShuttingDown),
            }
        };
        match outcome {
            Ok(()) => {
                self.session.metrics.processed.add_one();
                acknowledge(&self.session, &message, ReceiptStatus::Processed, None).await;
                if let Some(lease) = message.lease() {
                    lease.processed();
                }
                if let Some(handling) = message.handling() {
                    Box::pin(self.processed(handling.end(Ok(())))).await;
                }
            }
            Err(reject) => {
                spans::failed(span, reject.code());
                // An error means that the intake has ended.
                let _ = self.notices.send(Notice::Failed(message.clone())).await;
                if let Some(handling) = message.handling() {
                    for duplicate in handling.end(Err(reject.clone())) {
                        if let Some(lease) = duplicate.message.lease() {
                            lease.earlier_failed(&duplicate.reject, &reject);
                        }
                    }
                }
                if message.lease().is_some_and(|lease| lease.rejected(&reject)) {
                    return;
                }
                Box::pin(reject::reject(&self.session, &message, message.reply_to(), &reject)).await;
            }
        }
    }

    /// Ends the leases of messages whose earlier copy, or the message with their idempotency key, was processed.
    async fn processed(&self, duplicates: Vec<Duplicate<Message>>) {
        for Duplicate { message, reject } in duplicates {
            // The sender of the same message has the receipts of the earlier copy.
            if reject == Reject::DuplicateKey {
                reject::reject(&self.session, &message, message.reply_to(), &reject).await;
            }
            if let Some(lease) = message.lease() {
                lease.processed();
            }
        }
    }

    async fn work(&self, message: &Message) -> Result<(), Reject> {
        if self.session.circuit.is_open(self.session.monotonic()) {
            return Err(Reject::ServiceDegraded);
        }
        if let Some(tasks) = &self.session.task_worker
            && tasks.takes(&self.session, message).await
        {
            return Ok(());
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
        self.session.metrics.handled(started.elapsed());
        let id = &message.message_id;
        let failure = match outcome {
            Ok(Ok(Ok(()))) => {
                self.session.circuit.succeeded();
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
        self.session.circuit.failed(self.session.monotonic());
        Err(failure)
    }
}
