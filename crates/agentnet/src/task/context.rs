//! What a handler of tasks can do besides its work.

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::json::ascii;
use agentnet_protocol::limits::MAX_NAME_BYTES;
use agentnet_protocol::rpc::TaskProgress;
use agentnet_protocol::task::{MAX_CHECKPOINT_BYTES, MAX_TEXT_BYTES, error};
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::error::TaskError;
use super::heartbeats::Heartbeats;
use super::work::shortened;
use crate::message_options::IntoPayload;
use crate::node::AgentNode;

/// How long a report of progress waits for the registry. It is sent on with the next heartbeats.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// What a handler of tasks can do besides its work. Cloning gives another handle to the same attempt.
#[derive(Debug, Clone)]
pub struct TaskContext {
    node: AgentNode,
    attempt: Arc<Attempt>,
    heartbeats: Arc<Heartbeats>,
    closing: CancellationToken,
}

impl TaskContext {
    pub(super) fn new(
        node: AgentNode,
        attempt: Arc<Attempt>,
        heartbeats: Arc<Heartbeats>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            node,
            attempt,
            heartbeats,
            closing,
        }
    }

    /// Id of the task.
    #[must_use]
    pub fn task_id(&self) -> &str {
        &self.attempt.task_id
    }

    /// The node that does the task, to send others with, or to have parts of the task done by them.
    #[must_use]
    pub fn node(&self) -> &AgentNode {
        &self.node
    }

    /// Says how far the work is: percent (0 to 100, or `None`) and a sentence, of which 64 KiB are kept. While no registry
    /// answers it returns after two seconds, and the last progress is reported later.
    ///
    /// # Errors
    /// [`TaskError::LeaseLost`]; [`TaskError::Refused`] where the registry does not take it, and the work goes on.
    pub async fn progress(&self, percent: impl Into<Option<u8>>, text: impl Into<String>) -> Result<(), TaskError> {
        let text = text.into();
        self.report(TaskProgress {
            text: Some(text).filter(|text| !text.is_empty()),
            percent: percent.into().map(|percent| i64::from(percent.min(100))),
            phase: None,
        })
        .await
    }

    /// As [`progress`](Self::progress), with every member.
    ///
    /// # Errors
    /// As [`progress`](Self::progress).
    pub async fn report(&self, mut progress: TaskProgress) -> Result<(), TaskError> {
        self.check_lease()?;
        progress.text = progress.text.map(|text| shortened(text, MAX_TEXT_BYTES));
        progress.phase = progress.phase.map(|phase| shortened(phase, MAX_NAME_BYTES));
        let reported = self.attempt.report(Some(progress), None);
        self.heartbeats.wake();
        tokio::select! {
            biased;
            reported = reported => reported.unwrap_or_else(|_| Err(self.lost())),
            () = self.attempt.lost.cancelled() => Err(self.lost()),
            () = tokio::time::sleep(PROGRESS_TIMEOUT) => Ok(()),
        }
    }

    /// Leaves something for the next attempt: any JSON of at most 64 KiB, in the place of what was left before. Returns when it
    /// is stored.
    ///
    /// # Errors
    /// [`TaskError::LeaseLost`], also where no registry answers until the lease is over; [`TaskError::Invalid`] where it is too
    /// large; [`TaskError::Refused`] where the registry does not take it. In the last two cases the work goes on, and the next
    /// attempt gets what was left before.
    pub async fn checkpoint(&self, checkpoint: impl IntoPayload) -> Result<(), TaskError> {
        self.check_lease()?;
        let checkpoint = checkpoint.into_payload()?;
        let size = ascii(checkpoint.get()).len();
        if size > MAX_CHECKPOINT_BYTES {
            return Err(TaskError::Invalid(format!(
                "{}: the checkpoint has {size} bytes, and at most {MAX_CHECKPOINT_BYTES} are kept: put it into a blob",
                error::TOO_LARGE
            )));
        }
        let reported = self.attempt.report(None, Some(checkpoint));
        self.heartbeats.wake();
        tokio::select! {
            biased;
            reported = reported => reported.unwrap_or_else(|_| Err(self.lost())),
            () = self.attempt.lost.cancelled() => Err(self.lost()),
        }
    }

    /// Returns when the work is to stop: the task was cancelled, or the lease is lost. In the first case the handler has
    /// 30 s, unless the registry is set otherwise, to return [`TaskFailure::canceled`](crate::TaskFailure::canceled), or what
    /// came of the task nevertheless.
    pub async fn cancelled(&self) {
        self.attempt.cancelled.cancelled().await;
    }

    /// Whether the work is to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.attempt.cancelled.is_cancelled()
    }

    /// Returns when the lease is lost: another worker may have the task, and what this handler returns does not count. It is
    /// dropped five seconds later.
    pub async fn lease_lost(&self) {
        self.attempt.lost.cancelled().await;
    }

    /// Whether the lease is lost.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        self.attempt.lost.is_cancelled()
    }

    /// Returns when the node begins to close. A handler that is not ready within [`drain_timeout`](crate::Limits::drain_timeout)
    /// is dropped then, and its task given back; one that cannot be ready may leave a [`checkpoint`](Self::checkpoint) and
    /// return [`TaskFailure::released`](crate::TaskFailure::released).
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Fails where the lease is lost.
    fn check_lease(&self) -> Result<(), TaskError> {
        match self.attempt.lost.is_cancelled() {
            true => Err(self.lost()),
            false => Ok(()),
        }
    }

    fn lost(&self) -> TaskError {
        TaskError::LeaseLost {
            task_id: self.attempt.task_id.clone(),
        }
    }
}
