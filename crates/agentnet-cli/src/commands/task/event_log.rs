//! The events of one task in order, as they come.

use std::time::Duration;

use agentnet::RegistryClient;
use agentnet_nats::Backoff;
use agentnet_protocol::rpc::{TaskEvent, TaskEventsRequest};

use crate::exit::Failure;
use crate::failures::registry_failure;
use crate::failures::task::named;
use crate::output::Output;

/// How long the registry holds a request while nothing happens. One that is lost with its registry is missed for this long.
const WAIT: Duration = Duration::from_secs(10);
/// How much longer than that its answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Events of one page.
const PAGE_SIZE: usize = 200;
/// Delays between requests while no registry answers.
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// Reads the events of a task, each once.
pub(super) struct EventLog {
    registry: RegistryClient,
    task_id: String,
    after: i64,
    is_at_end: bool,
    /// Whether an outage was noted.
    is_noted: bool,
    retry: Backoff,
}

impl EventLog {
    /// The events behind `after`.
    pub(super) fn new(registry: &RegistryClient, task_id: &str, after: i64) -> Self {
        Self {
            registry: registry.clone(),
            task_id: task_id.to_owned(),
            after,
            is_at_end: false,
            is_noted: false,
            retry: RETRY,
        }
    }

    /// The next events; waits for one. `None` when the task has ended and all were read. A registry that is away for a while is
    /// waited for.
    ///
    /// # Errors
    /// There is no such task, or it is not kept any more.
    pub(super) async fn next(&mut self, output: Output) -> Result<Option<Vec<TaskEvent>>, Failure> {
        while !self.is_at_end {
            let registry = self.registry.clone().with_timeout(WAIT + ANSWER_TIMEOUT);
            let request = TaskEventsRequest {
                task_id: self.task_id.clone(),
                after: self.after,
                limit: PAGE_SIZE,
                wait_ms: i64::try_from(WAIT.as_millis()).unwrap_or_default(),
            };
            match registry.call(&request).await {
                Ok(page) => {
                    self.retry = RETRY;
                    let events: Vec<TaskEvent> =
                        page.events.into_iter().filter(|event| event.seq > self.after).collect();
                    self.after = events.last().map_or(self.after, |last| last.seq);
                    self.is_at_end = page.terminal && self.after >= page.last;
                    if self.is_noted {
                        self.is_noted = false;
                        output.note("note: the registry answers again");
                    }
                    if !events.is_empty() {
                        return Ok(Some(events));
                    }
                }
                Err(error) if !error.is_transient() => {
                    return Err(named(registry_failure(&error), &self.task_id));
                }
                Err(error) => {
                    if !self.is_noted {
                        self.is_noted = true;
                        output.note(format!("note: {error}; waiting for it"));
                    }
                    tokio::time::sleep(self.retry.next_delay()).await;
                }
            }
        }
        Ok(None)
    }
}
