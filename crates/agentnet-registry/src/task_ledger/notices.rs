//! Tells everyone concerned what happens to tasks, after the store has it: events for coordinator and worker (PROTOCOL.md section
//! 22.5), metrics, the requests that wait here, and the other registries, where requests wait too (section 22.4).

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::subject;
use agentnet_protocol::task::TaskState;
use agentnet_store::model::{StoredTaskEvent, Task, TaskTarget};
use async_nats::Client;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::claim_waiters::{ClaimWaiters, Wanted};
use super::snapshot::{published_event, short_event};
use super::withdrawals::Withdrawals;
use crate::clock::Now;
use crate::mailbox::waiters::Waiters;
use crate::metrics::Metrics;
use crate::tasks::{Phase, TaskSet};

/// The subject on which registries wake each other: a task may be claimed, or has a new event.
pub(crate) const SUBJECT: &str = "agentnet.registry.tasks";
/// Tasks that wait for the time of their next attempt, with a wake of the workers then; those of further ones, and of tasks that
/// wait longer, ask the store again after a while.
const MAX_DELAYED: usize = 1_024;
const MAX_WAKE_DELAY: Duration = Duration::from_secs(60);

/// Publishes events, and wakes what waits.
#[derive(Debug)]
pub(crate) struct TaskNotices {
    client: Client,
    metrics: Arc<Metrics>,
    tasks: TaskSet,
    delayed: Arc<Semaphore>,
    pub(super) withdrawals: Withdrawals,
    /// Names this registry in its wake-ups, which it gets back.
    id: String,
    /// Requests for tasks.
    pub(crate) claims: Arc<ClaimWaiters>,
    /// Requests for events, by the id of the task.
    pub(crate) events: Arc<Waiters>,
}

impl TaskNotices {
    pub(crate) fn new(client: Client, metrics: Arc<Metrics>, tasks: TaskSet) -> Self {
        Self {
            client,
            metrics,
            tasks,
            delayed: Arc::new(Semaphore::new(MAX_DELAYED)),
            withdrawals: Withdrawals::default(),
            id: format!("{:016x}", rand::random::<u64>()),
            claims: Arc::default(),
            events: Arc::default(),
        }
    }

    /// A task was created or changed.
    pub(crate) async fn changed(self: &Arc<Self>, task: &Task, events: &[StoredTaskEvent]) {
        if events.is_empty() {
            return;
        }
        for event in events {
            self.metrics.tasks.happened(&event.kind);
            self.publish(task, event).await;
        }
        self.withdrawals.changed(task, events);
        self.events.wake(&task.task_id);
        let micros = task.not_before.micros_since(Now::read().time);
        match (task.state == TaskState::Submitted, u64::try_from(micros)) {
            (false, _) => self.announce(&task.task_id, None).await,
            (true, Err(_) | Ok(0)) => self.claimable(&task.task_id, &task.target).await,
            (true, Ok(micros)) => {
                self.announce(&task.task_id, None).await;
                self.claimable_later(task, Duration::from_micros(micros));
            }
        }
    }

    /// A task may be claimed now: wakes a worker here, and one at every other registry. The store gives it to one of them.
    async fn claimable(&self, task_id: &str, target: &TaskTarget) {
        self.wake_workers(Some(target), task_id);
        self.announce(task_id, Some(target)).await;
    }

    /// The same when the time of its next attempt has come.
    fn claimable_later(self: &Arc<Self>, task: &Task, delay: Duration) {
        // Tasks that wait for days must not take the places of those that are tried again soon.
        if delay > MAX_WAKE_DELAY {
            return;
        }
        let Ok(place) = Arc::clone(&self.delayed).try_acquire_owned() else {
            return;
        };
        let (notices, task_id, target) = (Arc::clone(self), task.task_id.clone(), task.target.clone());
        self.tasks.spawn(Phase::Background, async move {
            let _place = place;
            tokio::time::sleep(delay).await;
            notices.claimable(&task_id, &target).await;
        });
    }

    fn wake_workers(&self, target: Option<&TaskTarget>, task_id: &str) {
        if let Some(target) = target {
            self.claims.wake(&Wanted::from(target));
        }
        self.claims.wake(&Wanted::Task(task_id.to_owned()));
    }

    /// Another registry has changed a task. What it says only makes requests ask the store again.
    pub(super) fn changed_elsewhere(&self, from: &str, target: Option<&TaskTarget>, task_id: &str) {
        if from == self.id {
            return;
        }
        self.events.wake(task_id);
        self.wake_workers(target, task_id);
    }

    /// Tells the other registries.
    async fn announce(&self, task_id: &str, target: Option<&TaskTarget>) {
        let mut out = ObjectWriter::with_capacity(160);
        match target {
            Some(TaskTarget::Account(account_id)) => out.text("account_id", account_id),
            Some(TaskTarget::Capability(capability)) => out.text("capability", capability),
            None => &mut out,
        };
        out.text("task_id", task_id).text("from", &self.id);
        let published = self.client.publish(SUBJECT, out.finish().into()).await;
        if let Err(error) = published {
            tracing::debug!(%error, "other registries could not be told of a task");
        }
    }

    /// Publishes an event for the coordinator, and for the worker.
    async fn publish(&self, task: &Task, event: &StoredTaskEvent) {
        let event = published_event(event);
        let mut body = event.encode();
        if body.len() > self.client.max_payload() {
            // Who needs all of it asks for it.
            body = short_event(&event).encode();
        }
        let body = Bytes::from(body);
        for account_id in concerned(task) {
            let published = self.client.publish(subject::task_events(account_id), body.clone());
            if let Err(error) = published.await {
                tracing::debug!(%error, "a task event could not be sent");
            }
        }
    }
}

/// The accounts that a task concerns, each once: its coordinator, the one that is to do it, the one that does it.
fn concerned(task: &Task) -> Vec<&str> {
    let target = match &task.target {
        TaskTarget::Account(account_id) => Some(account_id.as_str()),
        TaskTarget::Capability(_) => None,
    };
    let mut accounts = vec![task.coordinator_account_id.as_str()];
    for account_id in [target, task.worker_account_id.as_deref()].into_iter().flatten() {
        if !accounts.contains(&account_id) {
            accounts.push(account_id);
        }
    }
    accounts.retain(|account_id| subject::routable_account(account_id));
    accounts
}

impl From<&TaskTarget> for Wanted {
    fn from(target: &TaskTarget) -> Self {
        match target {
            TaskTarget::Account(account_id) => Self::Account(account_id.clone()),
            TaskTarget::Capability(capability) => Self::Capability(capability.clone()),
        }
    }
}
