//! What happens to a task, as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use agentnet_protocol::rpc::{TaskEvent, TaskEventsRequest};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use super::error::TaskError;
use super::patient::Patient;
use crate::registry::RegistryClient;

/// How long a registry holds a request for events.
const WAIT_MS: i64 = 10_000;
/// The shortest time between two requests that give nothing: a registry may hold none.
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// The events of a task in their order, each once: see [`TaskHandle::events`](crate::TaskHandle::events).
///
/// After an outage of the registry, its database or the connection of up to ten minutes it continues where it stopped; it ends
/// after the last event of a task that has ended, and after an error.
#[must_use = "a stream does nothing unless it is polled"]
pub struct TaskEvents(BoxStream<'static, Result<TaskEvent, TaskError>>);

impl TaskEvents {
    /// The events behind this number.
    pub(crate) fn after(registry: RegistryClient, task_id: String, after: i64) -> Self {
        let patient = Patient::new(registry);
        let pages = stream::unfold(EventPages::after(patient, task_id, after), |mut pages| async {
            let page = pages.next_page().await?;
            Some((page.map(|page| stream::iter(page).map(Ok)), pages))
        });
        // A stream of pages may not be polled behind its end; this one may.
        Self(pages.try_flatten().fuse().boxed())
    }

    /// Only an error.
    pub(super) fn failed(error: TaskError) -> Self {
        Self(stream::once(std::future::ready(Err(error))).boxed())
    }
}

impl RegistryClient {
    /// What happens to a task from the event behind this number on; 0 for all. See [`TaskHandle::events`](crate::TaskHandle::events).
    pub fn follow_task(&self, task_id: impl Into<String>, after: i64) -> TaskEvents {
        TaskEvents::after(self.clone(), task_id.into(), after)
    }
}

impl Stream for TaskEvents {
    type Item = Result<TaskEvent, TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl std::fmt::Debug for TaskEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskEvents").finish_non_exhaustive()
    }
}

/// Pages of events.
pub(super) struct EventPages {
    patient: Patient,
    task_id: String,
    after: i64,
    has_ended: bool,
}

impl EventPages {
    pub(super) fn after(patient: Patient, task_id: String, after: i64) -> Self {
        Self {
            patient,
            task_id,
            after,
            has_ended: false,
        }
    }

    /// The next events, at least one; `None` behind the last event of a task that has ended.
    pub(super) async fn next_page(&mut self) -> Option<Result<Vec<TaskEvent>, TaskError>> {
        while !self.has_ended {
            let asked = Instant::now();
            let request = TaskEventsRequest {
                task_id: self.task_id.clone(),
                after: self.after,
                wait_ms: WAIT_MS,
                ..TaskEventsRequest::default()
            };
            let reply = self.patient.task_events(&request).await;
            let reply = match reply {
                Ok(reply) => reply,
                Err(error) => {
                    self.has_ended = true;
                    return Some(Err(error));
                }
            };
            let mut events = reply.events;
            events.retain(|event| {
                let is_new = event.seq > self.after;
                self.after = self.after.max(event.seq);
                is_new
            });
            self.has_ended = reply.terminal && (events.is_empty() || self.after >= reply.last);
            if !events.is_empty() {
                return Some(Ok(events));
            }
            if !self.has_ended {
                tokio::time::sleep_until(asked + MIN_INTERVAL).await;
            }
        }
        None
    }
}
