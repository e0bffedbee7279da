//! Requests about tasks (PROTOCOL.md section 22, an addition to the Python protocol).

mod create;
mod read;
mod work;

pub use self::create::{
    TaskCancelRequest, TaskCreateReply, TaskCreateRequest, TaskInputRequest, TaskReply, TaskRetryRequest,
};
pub use self::read::{TaskEventsReply, TaskEventsRequest, TaskListReply, TaskListRequest, TaskStatusRequest};
pub use self::work::{
    ClaimedTask, TaskClaimReply, TaskClaimRequest, TaskFinishReply, TaskFinishRequest, TaskHeartbeat,
    TaskHeartbeatReply, TaskHeartbeatRequest, TaskHeartbeatResult, TaskProgress,
};
use super::record::{IfTrue, Omitted, record};
use super::{RpcError, opt_trimmed};
use crate::json::Object;
use crate::limits::{TooLarge, check_bytes};
use crate::{DecodeError, RawJson};

record! {
    /// One event of a task: also what is published on `agentnet.events.<account_id>.task` (section 22.5).
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct TaskEvent {
        /// Id of the task; absent in lists of one task's events.
        pub task_id: Option<String> as Omitted,
        /// Counts from 1 without gaps.
        pub seq: i64,
        /// When, UTC.
        pub at: String,
        /// `created`, `claimed`, `progress`, `input`, `blocked`, `lost`, `retried`, `released`, `cancel_requested`, `finished`, or `ignored`.
        pub r#type: String,
        /// The attempt that it belongs to.
        pub attempt: i64,
        /// The state of the task after it.
        pub state: Option<String> as Omitted,
        /// Text of the event.
        pub text: Option<String> as Omitted,
        /// More of it, such as `percent`, `phase` or `code`.
        pub data: Option<RawJson>,
        /// Who caused it.
        pub from_account_id: Option<String> as Omitted,
        /// The message that caused it.
        pub message_id: Option<String> as Omitted,
    }
}

record! {
    /// How many children of a task are open, and how many ended.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct TaskChildren {
        /// Not ended.
        pub open: i64,
        /// Parts that have ended.
        pub done: i64,
    }
}

record! {
    /// A task, as the later Python implementation describes it, and more.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct TaskSnapshot {
        /// Id of the task.
        pub task_id: String,
        /// The word of the later Python implementation: `assigned`, `working`, `completed`, `blocked` or `failed`.
        pub status: String,
        /// The kind of the last message about it, such as `task.progress`.
        pub r#type: String,
        /// Title of the task.
        pub title: Option<String>,
        /// The last text about it.
        pub text: String,
        /// What is to be done.
        pub assigned_text: String,
        /// Thread of the task.
        pub thread_id: Option<String>,
        /// The account that is to do it, or does it.
        pub assignee_account_id: Option<String>,
        /// The account that asked for it.
        pub coordinator_account_id: Option<String>,
        /// The name that the account calls itself in it.
        pub coordinator: Option<String>,
        /// The task that it is a part of.
        pub parent_task_id: Option<String>,
        /// The text of the last progress.
        pub latest_progress_text: Option<String>,
        /// Number of progresses.
        pub progress_event_count: i64,
        /// When it was created.
        pub created_at: String,
        /// When it last changed.
        pub updated_at: String,
        /// The last message about it.
        pub message_id: Option<String>,
        /// It ended, or waits for somebody (as the later Python implementation has it).
        pub terminal: bool,
        /// Number of events.
        pub event_count: i64,
        /// The last event.
        pub latest_event: Option<TaskEvent>,
        /// Where it stands: `submitted`, `working`, `input_required`, `auth_required`, `completed`, `failed`, `canceled` or `rejected`.
        pub state: String,
        /// It waits for somebody, and goes on after `task_input`.
        pub resumable: bool as IfTrue,
        /// Why it ended.
        pub code: Option<String> as Omitted,
        /// Why it ended.
        pub detail: Option<String> as Omitted,
        /// What came of it.
        pub result: Option<RawJson>,
        /// The attempt, from 1; 0 before the first.
        pub attempt: i64,
        /// Attempts at most.
        pub max_attempts: i64,
        /// The capability that its worker must have.
        pub capability: Option<String> as Omitted,
        /// `message` where its worker works by messages (section 22.6) and is told by messages.
        pub delivery: Option<String> as Omitted,
        /// The account of the worker.
        pub worker_account_id: Option<String> as Omitted,
        /// When the worker counts as lost, unless it is heard of.
        pub lease_until: Option<String> as Omitted,
        /// When the worker was last heard of.
        pub heartbeat_at: Option<String> as Omitted,
        /// The worker has been silent for half of its time.
        pub stalled: bool as IfTrue,
        /// It is not wanted any more; its worker has been told.
        pub cancel_requested: bool as IfTrue,
        /// Not before this time.
        pub not_before: Option<String> as Omitted,
        /// When it is given up.
        pub deadline_at: Option<String> as Omitted,
        /// -100 to 100; the highest first.
        pub priority: i64,
        /// Percent of the last progress.
        pub percent: Option<i64>,
        /// Phase of the last progress.
        pub phase: Option<String> as Omitted,
        /// Counts of the parts of the task.
        pub children: Option<TaskChildren>,
        /// Counts every change.
        pub revision: i64,
        /// The JSON object that its coordinator gave it.
        pub metadata: RawJson,
    }
}

impl TaskEvent {
    /// The wire text.
    #[must_use]
    pub fn encode(&self) -> String {
        super::record::Record::to_json(self)
    }

    /// Reads the wire text of a published event.
    ///
    /// # Errors
    /// [`DecodeError`] for a body that is no JSON object.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let object = Object::parse_body(body)?.ok_or(DecodeError::NotAnObject)?;
        Ok(super::record::Record::read(&object))
    }
}

impl TaskSnapshot {
    /// The wire text.
    #[must_use]
    pub fn encode(&self) -> String {
        super::record::Record::to_json(self)
    }
}

/// A JSON value of bounded size; `null` means absent.
fn json(object: &Object<'_>, name: &'static str, max: usize) -> Result<Option<RawJson>, RpcError> {
    let value = object.get(name);
    if value.is_null() {
        return Ok(None);
    }
    check_bytes(name, value.raw(), max)?;
    Ok(Some(RawJson::validated(value.raw().into())))
}

/// A text of bounded size, as it is written; absent where there is none.
fn text(object: &Object<'_>, name: &'static str, max: usize) -> Result<Option<String>, RpcError> {
    let Some(text) = object.get(name).opt_text() else {
        return Ok(None);
    };
    check_bytes(name, &text, max)?;
    Ok(Some(text.into_owned()))
}

/// Checks the size of a request, which may be larger than others.
fn check_size(object: &Object<'_>, max: usize) -> Result<(), RpcError> {
    let size: usize = object
        .iter()
        .map(|(name, value)| name.raw().len() + value.raw().len())
        .sum();
    if size <= max {
        return Ok(());
    }
    Err(TooLarge {
        member: "the request",
        size,
        max,
        unit: "bytes",
    }
    .into())
}

/// The task that a request is about.
fn task_id(object: &Object<'_>) -> Result<String, RpcError> {
    check_bytes("task_id", &object.get("task_id").text(), crate::limits::MAX_NAME_BYTES)?;
    opt_trimmed(object.get("task_id")).ok_or(RpcError::new("task_id is required"))
}
