//! One task: its handler, the report of its end, and the message about it.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use agentnet_nats::Backoff;
use agentnet_protocol::rpc::{ClaimedTask, RequestAuth, TaskFinishReply, TaskFinishRequest};
use agentnet_protocol::task::{TaskState, error};
use futures::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::caller::TaskCaller;
use super::context::TaskContext;
use super::error::code_and_detail;
use super::handler::AnyTaskHandler;
use super::heartbeats::Heartbeats;
use super::messages::Coordinator;
use super::work::{AttemptEnd, ClaimedWork, TaskFailure, shortened};
use crate::ids;
use crate::node::{AgentNode, Shared};
use crate::registry::error::RegistryError;
use crate::session::Session;

/// How long the end of a task is reported while no registry answers.
const FINISH_TIMEOUT: Duration = Duration::from_secs(600);
/// The same while the node leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(4);
/// The shortest and the longest pause before the end is reported again.
const RETRY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
/// How long a handler that has lost its lease may clean up before it is dropped.
const LOST_GRACE: Duration = Duration::from_secs(5);
/// Bytes of a refusal that the failure of its task shows.
const MAX_REFUSAL_BYTES: usize = 1024;

/// Runs the tasks of one session.
pub(super) struct TaskRunner {
    pub(super) session: Arc<Session>,
    /// Weak: a worker must not keep a dropped node alive.
    pub(super) node: Weak<Shared>,
    pub(super) handler: Arc<dyn AnyTaskHandler>,
    pub(super) heartbeats: Arc<Heartbeats>,
    pub(super) caller: TaskCaller,
}

/// Keeps the lease of an attempt until it is dropped.
struct KeptLease {
    heartbeats: Arc<Heartbeats>,
    attempt: Arc<Attempt>,
}

impl Drop for KeptLease {
    fn drop(&mut self) {
        self.heartbeats.remove(&self.attempt);
    }
}

impl TaskRunner {
    /// Does a task that was given at this time, by the registry's clock. The slot is free again when its end is reported.
    pub(super) async fn run(self: Arc<Self>, claimed: ClaimedTask, now: String, slot: OwnedSemaphorePermit) {
        let coordinator = Coordinator::of(&claimed.task, self.session.account_id());
        let attempt = Arc::new(Attempt::new(&claimed, &now));
        self.heartbeats.add(&attempt);
        let kept = KeptLease {
            heartbeats: self.heartbeats.clone(),
            attempt: attempt.clone(),
        };
        let end = self.handle(claimed, &attempt).await;
        let finished = self.finish(&attempt, end).await;
        drop(kept);
        drop(slot);
        let (Some((finish_id, end)), Some(coordinator)) = (finished, coordinator) else {
            return;
        };
        if let Some(shared) = self.node.upgrade() {
            let node = AgentNode::from_shared(shared);
            coordinator.tell(&node, &attempt, &finish_id, &end).await;
        }
    }

    /// Gives a task back that this session has no time for.
    pub(super) async fn release(&self, claimed: &ClaimedTask) {
        let attempt = Attempt::new(claimed, "");
        self.finish(&attempt, Err(TaskFailure::released()).into()).await;
    }

    async fn handle(&self, claimed: ClaimedTask, attempt: &Arc<Attempt>) -> AttemptEnd {
        let Some(shared) = self.node.upgrade() else {
            return Err(TaskFailure::released()).into();
        };
        let context = TaskContext::new(
            AgentNode::from_shared(shared),
            attempt.clone(),
            self.heartbeats.clone(),
            self.session.leaving.clone(),
        );
        let work = ClaimedWork::from(claimed);
        // Inside the block, so that a panic before the handler's first await is caught too.
        let handling = async { self.handler.handle(work, context).await };
        let handling = AssertUnwindSafe(handling).catch_unwind();
        let outcome = tokio::select! {
            biased;
            outcome = handling => outcome.unwrap_or_else(|_| {
                tracing::error!(task_id = attempt.task_id, "the handler of a task panicked");
                Err(TaskFailure::retryable("handler_panicked", "the handler panicked"))
            }),
            () = self.session.aborted.cancelled() => Err(TaskFailure::released()),
            // It only notes the loss.
            () = attempt.watch_lease() => Err(TaskFailure::released()),
            () = after(&attempt.lost, LOST_GRACE) => Err(TaskFailure::released()),
        };
        match outcome {
            // It stopped because of the lost lease: the task itself is wanted.
            Err(failure) if failure.state == TaskState::Canceled && attempt.lost.is_cancelled() => {
                Err(TaskFailure::released())
            }
            outcome => outcome,
        }
        .into()
    }

    /// Reports the end of an attempt, again and again while no registry answers. Returns the id of the report and the end that
    /// the registry has noted, if the attempt was the last one.
    async fn finish(&self, attempt: &Attempt, end: AttemptEnd) -> Option<(String, AttemptEnd)> {
        attempt.finishing();
        if attempt.is_refused() {
            return None;
        }
        let reporting = async {
            match self.report(attempt, &end).await {
                Err(refusal) => {
                    // Such as a value that is too large for this registry.
                    tracing::error!(
                        task_id = attempt.task_id,
                        refusal,
                        "the registry refuses the end of a task"
                    );
                    let refused: AttemptEnd = Err(TaskFailure::failed("task_end_refused", refusal)).into();
                    let reported = self.report(attempt, &refused).await.ok().flatten();
                    reported.map(|(finish_id, reply)| (finish_id, reply, refused))
                }
                Ok(reported) => reported.map(|(finish_id, reply)| (finish_id, reply, end)),
            }
        };
        let reported = tokio::select! {
            biased;
            reported = reporting => reported,
            () = tokio::time::sleep(FINISH_TIMEOUT) => timed_out(attempt),
            () = after(&self.session.leaving, LEAVE_TIMEOUT) => timed_out(attempt),
        };
        let (finish_id, reply, end) = reported?;
        let is_last = reply.state != TaskState::Submitted.as_str();
        is_last.then_some((finish_id, end))
    }

    /// Reports the end of an attempt until a registry has noted it, or says that the attempt does not count any more; else what
    /// it refuses. What heartbeats are told meanwhile does not count: the registry may have noted the end, and its reply be lost.
    async fn report(&self, attempt: &Attempt, end: &AttemptEnd) -> Result<Option<(String, TaskFinishReply)>, String> {
        let finish_id = ids::message_id(ids::now()).to_string();
        let request = self.finish_request(attempt, end, &finish_id);
        let mut backoff = RETRY_BACKOFF;
        loop {
            match self.caller.call(request.clone()).await {
                Ok(reply) => return Ok(Some((finish_id, reply))),
                Err(RegistryError::Refused(text)) => match code_and_detail(&text).0 {
                    error::FAILED => tracing::debug!(text, "the end of a task is reported again"),
                    error::LEASE_LOST | error::FINISHED | "not_found" => {
                        tracing::warn!(
                            task_id = attempt.task_id,
                            text,
                            "the end of a task does not count any more"
                        );
                        attempt.refused();
                        return Ok(None);
                    }
                    _ => return Err(shortened(text, MAX_REFUSAL_BYTES)),
                },
                Err(error) => tracing::debug!(%error, "the end of a task is reported again"),
            }
            self.pause(backoff.next_delay()).await;
        }
    }

    fn finish_request(&self, attempt: &Attempt, end: &AttemptEnd, finish_id: &str) -> TaskFinishRequest {
        let failure = end.failure.as_ref();
        TaskFinishRequest {
            account_id: self.caller.account_id.clone(),
            session_tag: self.caller.session_tag.clone(),
            task_id: attempt.task_id.clone(),
            attempt: attempt.number,
            lease: attempt.lease.clone(),
            finish_id: finish_id.to_owned(),
            state: end.state(),
            result: end.output.result.clone(),
            text: end.text().map(str::to_owned),
            code: failure.and_then(|failure| failure.code.clone()),
            detail: failure.and_then(|failure| failure.detail.clone()),
            retryable: failure.is_some_and(|failure| failure.is_retryable),
            auth: RequestAuth::default(),
        }
    }

    /// Waits for a while, or until there is a new connection.
    async fn pause(&self, pause: Duration) {
        let mut connections = self.session.publisher.connections.subscribe();
        connections.borrow_and_update();
        // Without a sender there is no connection any more.
        let _ = tokio::time::timeout(pause, async {
            if connections.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
        .await;
    }
}

/// The end of a task could not be reported.
fn timed_out<T>(attempt: &Attempt) -> Option<T> {
    tracing::error!(
        task_id = attempt.task_id,
        attempt = attempt.number,
        "no registry has noted the end of a task: when its lease is over, it is tried again or fails"
    );
    None
}

/// Returns so long after this has happened, or from now on if it has.
async fn after(happened: &CancellationToken, grace: Duration) {
    happened.cancelled().await;
    tokio::time::sleep(grace).await;
}
