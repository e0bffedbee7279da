//! Taking tasks while handlers are free (PROTOCOL.md section 22.4).
//!
//! One request at a time is held by the registry until there is a task. A node that leaves waits on for its reply, until the
//! registry knows of the goodbye: a task that comes meanwhile is given back, and is not lost until its lease is over.
//!
//! Each request has an id, and keeps it until tasks have come: what a lost reply has given is given again.

use std::sync::Arc;
use std::time::Duration;

use agentnet_nats::Backoff;
use agentnet_protocol::rpc::{RequestAuth, TaskClaimReply, TaskClaimRequest};
use agentnet_protocol::task::{MAX_CLAIM, error};
use futures::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::caller::TaskCaller;
use super::error::code_and_detail;
use super::run::TaskRunner;
use super::superseded;
use super::worker_state::WorkerState;
use crate::ids;
use crate::registry::error::RegistryError;
use crate::session::Session;

/// How long a registry holds a request for tasks.
const WAIT_MS: i64 = 10_000;
/// How long its reply is waited for.
const CLAIM_TIMEOUT: Duration = Duration::from_millis(WAIT_MS as u64 + 5_000);
/// The shortest and the longest pause after a request that failed, or that a registry did not hold.
const ERROR_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// A registry that answers sooner without a task holds no requests now.
const HELD_TIME: Duration = Duration::from_secs(1);

/// Takes the tasks of one session.
pub(super) struct ClaimLoop {
    pub(super) session: Arc<Session>,
    pub(super) worker: Arc<WorkerState>,
    pub(super) runner: Arc<TaskRunner>,
    pub(super) caller: TaskCaller,
    pub(super) capabilities: Vec<String>,
    /// How many tasks it takes in all.
    pub(super) max_tasks: usize,
    /// One for each handler that may run.
    pub(super) slots: Arc<Semaphore>,
    pub(super) work: TaskTracker,
}

impl ClaimLoop {
    /// Takes tasks until the node leaves, or has had as many as it may.
    pub(super) async fn run(self) {
        let mut left = self.max_tasks;
        let mut backoff = ERROR_BACKOFF;
        let mut was_answered = false;
        let mut claim_id = ids::nonce();
        while left > 0
            && let Some(slots) = self.free_slots(left).await
        {
            let asked = Instant::now();
            let Some(reply) = self.claim(slots.len(), &claim_id).await else {
                return;
            };
            match reply {
                Ok(reply) => {
                    if !reply.tasks.is_empty() {
                        claim_id = ids::nonce();
                        left -= reply.tasks.len().min(slots.len());
                    }
                    was_answered = true;
                    self.worker.set_supported(true);
                    let is_held = !reply.tasks.is_empty() || asked.elapsed() >= HELD_TIME;
                    self.begin(reply, slots).await;
                    if is_held {
                        backoff.reset();
                        continue;
                    }
                }
                Err(error) => {
                    drop(slots);
                    self.failed(&error, was_answered);
                }
            }
            self.pause(backoff.next_delay()).await;
        }
    }

    /// Waits until a handler is free, and takes all that are, at most `max`; `None` once the node leaves.
    async fn free_slots(&self, max: usize) -> Option<Vec<OwnedSemaphorePermit>> {
        let session = &*self.session;
        let ready = async {
            // A request that the client sends later takes tasks for a reply that is not waited for any more.
            session.publisher.connected().await;
            self.slots.clone().acquire_owned().await.ok()
        };
        let mut slots = vec![session.leaving.run_until_cancelled(ready).await??];
        while slots.len() < MAX_CLAIM.min(max)
            && let Ok(slot) = self.slots.clone().try_acquire_owned()
        {
            slots.push(slot);
        }
        Some(slots)
    }

    /// Asks for tasks; `None` if none comes before the end of the session. A reply may be lost with the connection: on a new one the
    /// request is made again.
    async fn claim(&self, max: usize, claim_id: &str) -> Option<Result<TaskClaimReply, RegistryError>> {
        let request = TaskClaimRequest {
            account_id: self.caller.account_id.clone(),
            session_tag: self.caller.session_tag.clone(),
            capabilities: self.capabilities.clone(),
            task_id: None,
            max: i64::try_from(max).unwrap_or(1),
            wait_ms: WAIT_MS,
            claim_id: Some(claim_id.to_owned()),
            auth: RequestAuth::default(),
        };
        let caller = self.caller.clone().with_timeout(CLAIM_TIMEOUT);
        loop {
            tokio::select! {
                biased;
                reply = caller.call(request.clone()) => return Some(reply),
                () = self.worker.until_late() => return None,
                () = self.reconnected() => {}
            }
        }
    }

    /// Begins with tasks, or gives them back where the node leaves.
    async fn begin(&self, reply: TaskClaimReply, slots: Vec<OwnedSemaphorePermit>) {
        // A node that closes waits for work: it must not take this for none.
        let _begins = self.work.token();
        let mut tasks = reply.tasks;
        // No more than were asked for.
        tasks.truncate(slots.len());
        if self.session.leaving.is_cancelled() {
            join_all(tasks.iter().map(|task| self.runner.release(task))).await;
            return;
        }
        superseded::drop_assignments(&self.session, &tasks, &self.work);
        for (task, slot) in tasks.into_iter().zip(slots) {
            let running = self.runner.clone().run(task, reply.generated_at.clone(), slot);
            self.session.subscriptions.spawn(&self.work, running);
        }
    }

    fn failed(&self, error: &RegistryError, was_answered: bool) {
        let is_unsupported = match error {
            RegistryError::Refused(text) => code_and_detail(text).0 == error::DISABLED,
            // The subject of this call has no subscribers, where a registry has answered the registration.
            RegistryError::NoRegistry { .. } => !was_answered,
            _ => false,
        };
        if is_unsupported && self.worker.is_supported() {
            self.worker.set_supported(false);
            tracing::warn!(%error, "the registry of this network keeps no tasks: messages about tasks go to the handler of messages");
        } else {
            tracing::debug!(%error, "tasks cannot be claimed");
        }
    }

    /// Waits for a while, or until something may have changed.
    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.reconnected() => {}
            () = self.worker.told() => {}
            () = self.session.leaving.cancelled() => {}
        }
    }

    /// Returns when there is a new connection.
    async fn reconnected(&self) {
        let mut connections = self.session.publisher.connections.subscribe();
        // The event of the first connection may come after the connection.
        let known = 1.max(*connections.borrow());
        if connections.wait_for(|times| *times > known).await.is_err() {
            // The client has ended.
            std::future::pending::<()>().await;
        }
    }
}
