//! Questions about a task that outlast an outage of the registry.

use std::time::Duration;

use agentnet_nats::Backoff;
use agentnet_protocol::rpc::{MetricsRequest, TaskEventsReply, TaskEventsRequest, TaskReply};
use tokio::time::Instant;

use super::error::TaskError;
use crate::registry::RegistryClient;
use crate::registry::error::RegistryError;

/// The shortest and the longest pause after a request that failed.
const ERROR_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
/// How long a registry that does not answer, or whose database is away, is waited for.
const OUTAGE_TIMEOUT: Duration = Duration::from_secs(600);

/// Asks a registry, and asks again while that may help.
#[derive(Debug, Clone)]
pub(super) struct Patient {
    registry: RegistryClient,
    /// A registry of this network has answered a request about tasks: without an answer it is away, and does not lack them.
    keeps_tasks: bool,
}

impl Patient {
    pub(super) fn new(registry: RegistryClient) -> Self {
        Self {
            // It asks again by itself.
            registry: registry.fail_fast(),
            keeps_tasks: false,
        }
    }

    /// For a network whose registry is known to keep tasks.
    pub(super) fn known(mut self, keeps_tasks: bool) -> Self {
        self.keeps_tasks |= keeps_tasks;
        self
    }

    pub(super) async fn task_status(&mut self, task_id: &str) -> Result<TaskReply, TaskError> {
        let registry = self.registry.clone();
        self.ask(|| registry.task_status(task_id)).await
    }

    pub(super) async fn task_events(&mut self, request: &TaskEventsRequest) -> Result<TaskEventsReply, TaskError> {
        let registry = self.registry.clone();
        self.ask(|| registry.task_events(request.clone())).await
    }

    /// Asks until there is an answer that does not pass, for ten minutes.
    async fn ask<T, F>(&mut self, ask: impl Fn() -> F) -> Result<T, TaskError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        let mut backoff = ERROR_BACKOFF;
        let give_up = Instant::now() + OUTAGE_TIMEOUT;
        let mut has_registry = false;
        loop {
            let outcome = ask().await;
            self.keeps_tasks |= matches!(outcome, Ok(_) | Err(RegistryError::Refused(_)));
            let error = match outcome {
                Err(error) if error.is_transient() => error,
                outcome => return Ok(outcome?),
            };
            if matches!(error, RegistryError::NoRegistry { .. }) && !self.keeps_tasks {
                // It answered another request, and it does not begin with the requests about tasks last.
                if has_registry {
                    return Err(TaskError::Unsupported);
                }
                has_registry = self.has_registry().await;
            }
            if Instant::now() >= give_up {
                return Err(error.into());
            }
            tracing::debug!(%error, "asking again about a task");
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Whether a registry answers a request that every version knows.
    async fn has_registry(&self) -> bool {
        matches!(
            self.registry.call(&MetricsRequest).await,
            Ok(_) | Err(RegistryError::Refused(_) | RegistryError::Invalid { .. })
        )
    }
}
