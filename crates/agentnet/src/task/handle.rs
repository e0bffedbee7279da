//! A task that was asked for: how it stands, and what its coordinator may do.

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::RawJson;
use agentnet_protocol::rpc::{
    RequestAuth, TaskCancelRequest, TaskCreateReply, TaskEvent, TaskEventsRequest, TaskInputRequest, TaskRetryRequest,
    TaskSnapshot,
};
use agentnet_protocol::task::TaskState;

use super::caller::TaskCaller;
use super::error::TaskError;
use super::events::{EventPages, TaskEvents};
use super::messages::{Assignment, BY_MESSAGES, Notice};
use super::patient::Patient;
use crate::message_options::IntoPayload;
use crate::node::AgentNode;
use crate::registry::RegistryClient;
use crate::send::error::SendError;

/// The pause before a task is looked at again whose events have ended, and that goes on nevertheless.
const ASK_AGAIN_INTERVAL: Duration = Duration::from_millis(200);

/// A task: see [`AgentNode::task`] and [`AgentNode::task_handle`]. Cloning gives another handle to the same task; dropping it
/// changes nothing about the task.
#[derive(Debug, Clone)]
pub struct TaskHandle {
    node: AgentNode,
    id: Arc<str>,
    created: bool,
    snapshot: Option<Arc<TaskSnapshot>>,
    not_told: Option<Arc<SendError>>,
    /// What the task was made with, for a worker that is told of it again.
    assignment: Option<Arc<Assignment>>,
}

impl TaskHandle {
    pub(super) fn of(node: AgentNode, task_id: String) -> Self {
        Self {
            node,
            id: task_id.into(),
            created: false,
            snapshot: None,
            not_told: None,
            assignment: None,
        }
    }

    pub(super) fn started(
        node: AgentNode,
        reply: TaskCreateReply,
        assignment: Assignment,
        not_told: Option<SendError>,
    ) -> Self {
        Self {
            node,
            id: reply.task.task_id.as_str().into(),
            created: reply.created,
            snapshot: Some(Arc::new(reply.task)),
            not_told: not_told.map(Arc::new),
            assignment: Some(Arc::new(assignment)),
        }
    }

    /// Id of the task.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether [`NewTask::start`](crate::NewTask::start) has made it; otherwise a task with its id or key was there before.
    #[must_use]
    pub fn created(&self) -> bool {
        self.created
    }

    /// The task as it was when [`NewTask::start`](crate::NewTask::start) returned; absent in a handle that was made from an id.
    #[must_use]
    pub fn snapshot(&self) -> Option<&TaskSnapshot> {
        self.snapshot.as_deref()
    }

    /// Why the account that is to do it could not be notified: a message could be neither delivered nor kept for it. The task
    /// still waits for a session of the account that claims tasks.
    #[must_use]
    pub fn not_told(&self) -> Option<&SendError> {
        self.not_told.as_deref()
    }

    /// The task as it is now.
    ///
    /// # Errors
    /// [`TaskError`], `not_found` among them.
    pub async fn status(&self) -> Result<TaskSnapshot, TaskError> {
        Ok(self.registry()?.task_status(&self.id).await?.task)
    }

    /// Cancels the task and its parts. A task without a worker ends at once; otherwise the worker is asked to stop, and has 30 s
    /// for it, unless the registry is set otherwise. A worker that works by messages gets a message, which waits in its mailbox
    /// where need be; workers of the parts get none.
    ///
    /// # Errors
    /// [`TaskError`], such as `task_not_cancelable` for a task that has ended.
    pub async fn cancel(&self, reason: impl Into<String>) -> Result<TaskSnapshot, TaskError> {
        self.request_cancel(reason.into(), false).await
    }

    /// As [`cancel`](Self::cancel), but its parts go on.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    pub async fn cancel_keeping_parts(&self, reason: impl Into<String>) -> Result<TaskSnapshot, TaskError> {
        self.request_cancel(reason.into(), true).await
    }

    async fn request_cancel(&self, reason: String, keep_children: bool) -> Result<TaskSnapshot, TaskError> {
        let caller = self.caller()?;
        let request = TaskCancelRequest {
            account_id: caller.account_id.clone(),
            session_tag: caller.session_tag.clone(),
            task_id: self.id.to_string(),
            reason: Some(reason.clone()).filter(|reason| !reason.is_empty()),
            keep_children,
            auth: RequestAuth::default(),
        };
        let task = caller.call(request).await?.task;
        self.tell(&task, Notice::Canceled { reason }).await;
        Ok(task)
    }

    /// Answers a worker that waits (`input_required` or `auth_required`): any worker may continue the task, and gets the answer
    /// as [`ClaimedWork::input`](crate::ClaimedWork::input). A worker that works by messages gets it in a message, which waits
    /// in its mailbox where need be.
    ///
    /// # Errors
    /// [`TaskError`], such as `task_needs_no_input` if the worker does not wait.
    pub async fn input(&self, payload: impl IntoPayload) -> Result<TaskSnapshot, TaskError> {
        let payload = payload.into_payload()?;
        let caller = self.caller()?;
        let request = TaskInputRequest {
            account_id: caller.account_id.clone(),
            session_tag: caller.session_tag.clone(),
            task_id: self.id.to_string(),
            payload: Some(payload.clone()),
            auth: RequestAuth::default(),
        };
        let task = caller.call(request).await?.task;
        self.tell(&task, Notice::Answered { input: payload }).await;
        Ok(task)
    }

    /// Asks for another attempt of a task that failed. A worker that works by messages gets another message; it has the
    /// payload only from the handle that [`NewTask::start`](crate::NewTask::start) has returned.
    ///
    /// # Errors
    /// [`TaskError`], such as `task_not_retriable` for a task that has not failed.
    pub async fn retry(&self) -> Result<TaskSnapshot, TaskError> {
        let caller = self.caller()?;
        let request = TaskRetryRequest {
            account_id: caller.account_id.clone(),
            session_tag: caller.session_tag.clone(),
            task_id: self.id.to_string(),
            not_before: None,
            auth: RequestAuth::default(),
        };
        let task = caller.call(request).await?.task;
        self.tell(&task, Notice::Retried).await;
        Ok(task)
    }

    /// Tells the worker of the task, if it works by messages. The registry has noted the change already.
    async fn tell(&self, task: &TaskSnapshot, notice: Notice) {
        if task.delivery.as_deref() != Some(BY_MESSAGES) {
            return;
        }
        let assignment = self.assignment.as_deref();
        if let Err(error) = Box::pin(notice.tell(&self.node, task, assignment)).await {
            tracing::warn!(task_id = task.task_id, %error, "the task is changed, but its worker could not be notified");
        }
    }

    /// All events of the task from its creation on, and those that come, until it ends.
    pub fn events(&self) -> TaskEvents {
        self.events_after(0)
    }

    /// As [`events`](Self::events), behind the event of this number.
    pub fn events_after(&self, seq: i64) -> TaskEvents {
        match self.registry() {
            Ok(registry) => TaskEvents::after(registry, self.id.to_string(), seq),
            Err(error) => TaskEvents::failed(error),
        }
    }

    /// Waits until the task has ended. A task whose worker waits for an [`input`](Self::input) has not:
    /// [`settled`](Self::settled) returns then too. It waits also while the registry or its database is away, for ten minutes.
    ///
    /// # Errors
    /// [`TaskError`]. That the task failed is none: [`TaskOutcome::state`] says so.
    pub async fn result(&self) -> Result<TaskOutcome, TaskError> {
        self.until(TaskState::is_terminal).await
    }

    /// As [`result`](Self::result), and returns also when the worker waits for an [`input`](Self::input).
    ///
    /// # Errors
    /// As [`result`](Self::result).
    pub async fn settled(&self) -> Result<TaskOutcome, TaskError> {
        self.until(|state| state.is_terminal() || state.is_blocked()).await
    }

    async fn until(&self, is_reached: impl Fn(TaskState) -> bool) -> Result<TaskOutcome, TaskError> {
        let mut patient = Patient::new(self.registry()?).known(self.snapshot.is_some());
        loop {
            let reply = patient.task_status(&self.id).await?;
            let state = TaskOutcome::state_of(&reply.task)?;
            if is_reached(state) {
                let finished = self.last_end(&mut patient, &reply.task).await?;
                return Ok(TaskOutcome::new(reply.task, state, finished));
            }
            let mut pages = EventPages::after(patient.clone(), self.id.to_string(), reply.task.event_count);
            match pages.next_page().await {
                Some(page) => drop(page?),
                None => tokio::time::sleep(ASK_AGAIN_INTERVAL).await,
            }
        }
    }

    /// The event that ended the task, or since which its worker waits.
    async fn last_end(&self, patient: &mut Patient, task: &TaskSnapshot) -> Result<Option<TaskEvent>, TaskError> {
        let is_end = |event: &TaskEvent| matches!(event.r#type.as_str(), "finished" | "blocked");
        if let Some(latest) = task.latest_event.clone().filter(is_end) {
            return Ok(Some(latest));
        }
        let request = TaskEventsRequest {
            task_id: self.id.to_string(),
            after: (task.event_count - LAST_EVENTS).max(0),
            ..TaskEventsRequest::default()
        };
        let reply = patient.task_events(&request).await?;
        Ok(reply.events.into_iter().rfind(is_end))
    }

    fn caller(&self) -> Result<TaskCaller, TaskError> {
        Ok(TaskCaller::of(&*self.node.session()?))
    }

    fn registry(&self) -> Result<RegistryClient, TaskError> {
        Ok(self.node.registry()?)
    }
}

/// How many events are searched for the one that ended the task: late reports come behind it.
const LAST_EVENTS: i64 = 100;

/// How a task has ended, or why its worker waits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskOutcome {
    /// Id of the task.
    pub task_id: String,
    /// Where it stands.
    pub state: TaskState,
    /// What came of it.
    pub result: Option<RawJson>,
    /// What the worker says: the result in words, or what it waits for.
    pub text: Option<String>,
    /// Why it failed: a code, such as `worker_lost`, `deadline_exceeded`, or the worker's own.
    pub code: Option<String>,
    /// Why it failed.
    pub detail: Option<String>,
}

impl TaskOutcome {
    fn state_of(task: &TaskSnapshot) -> Result<TaskState, TaskError> {
        task.state.parse().map_err(|_| {
            TaskError::Invalid(format!(
                "the registry says of the task only {:?}",
                task.state.chars().take(32).collect::<String>()
            ))
        })
    }

    fn new(task: TaskSnapshot, state: TaskState, end: Option<TaskEvent>) -> Self {
        Self {
            task_id: task.task_id,
            state,
            result: task.result,
            text: end.and_then(|end| end.text),
            code: task.code,
            detail: task.detail,
        }
    }

    /// Whether the task was done.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.state == TaskState::Completed
    }
}
