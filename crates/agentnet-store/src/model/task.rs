//! Records of tasks (PROTOCOL.md section 22).

use agentnet_protocol::task::TaskState;
use agentnet_protocol::{RawJson, Timestamp};

/// Who is to do a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskTarget {
    /// The agent of one account.
    Account(String),
    /// Any agent with a capability.
    Capability(String),
}

/// How work reaches the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskDelivery {
    /// A session claims it, and holds a lease.
    Lease,
    /// A message `task.assign` tells the account, which reports by messages and holds no lease.
    Message,
}

impl TaskDelivery {
    /// The text on the wire and in databases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Message => "message",
        }
    }

    /// Reads that text; `None` for any other.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        [Self::Lease, Self::Message]
            .into_iter()
            .find(|known| known.as_str() == text)
    }
}

/// A task (table `agent_tasks`).
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Id of the task.
    pub task_id: String,
    /// The account that asked for it.
    pub coordinator_account_id: String,
    /// The name that this account calls itself in it.
    pub coordinator: Option<String>,
    /// The coordinator's own name for the work.
    pub idempotency_key: Option<String>,
    /// Hash of what was asked for: another request under the same key has another.
    pub content_sha256: String,
    /// The account or the capability that is to do it.
    pub target: TaskTarget,
    /// How it reaches the worker.
    pub delivery: TaskDelivery,
    /// A few words.
    pub title: Option<String>,
    /// What is to be done.
    pub text: String,
    /// The same for programs.
    pub payload: Option<RawJson>,
    /// Thread of the messages about it.
    pub thread_id: String,
    /// The task that it is a part of.
    pub parent_task_id: Option<String>,
    /// The JSON object that its coordinator gave it.
    pub metadata: RawJson,
    /// The highest first.
    pub priority: i64,
    /// Not before this time.
    pub not_before: Timestamp,
    /// When it is given up.
    pub deadline_at: Option<Timestamp>,
    /// Attempts at most.
    pub max_attempts: i64,
    /// Delay before the second attempt, in milliseconds.
    pub backoff_ms: i64,
    /// A worker that is silent for so long has lost it, in milliseconds.
    pub heartbeat_ms: i64,
    /// Where it stands.
    pub state: TaskState,
    /// The attempt, from 1; 0 before the first.
    pub attempt: i64,
    /// The worker's lease.
    pub lease: Option<TaskLease>,
    /// The account of the worker, also after its end.
    pub worker_account_id: Option<String>,
    /// When the worker was last heard of.
    pub heartbeat_at: Option<Timestamp>,
    /// Since when it is not wanted any more, while its worker has not stopped.
    pub cancel_requested_at: Option<Timestamp>,
    /// The id of the request that ended it or the attempt.
    pub finish_id: Option<String>,
    /// Claims in a row after which nothing was heard of the worker.
    pub unconfirmed: i64,
    /// How often in a row its workers have given it back.
    pub releases: i64,
    /// It was created for an account that is told by the message `task_assign_<task id>`.
    pub is_assigned_by_message: bool,
    /// What came of it.
    pub result: Option<RawJson>,
    /// Why it ended.
    pub code: Option<String>,
    /// Why it ended.
    pub detail: Option<String>,
    /// What the next attempt shall get.
    pub checkpoint: Option<RawJson>,
    /// The answer to a worker that waited for one.
    pub input: Option<RawJson>,
    /// The last text about it.
    pub latest_text: String,
    /// The text of the last progress.
    pub latest_progress_text: Option<String>,
    /// Number of progresses.
    pub progress_count: i64,
    /// Percent of the last progress.
    pub percent: Option<i64>,
    /// Phase of the last progress.
    pub phase: Option<String>,
    /// The last message about it.
    pub message_id: Option<String>,
    /// Number of events.
    pub event_count: i64,
    /// Bytes of the texts and the JSON of its events.
    pub event_bytes: i64,
    /// Counts every change.
    pub revision: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Task {
    /// The account that it is for; that of its worker, if it is for a capability.
    #[must_use]
    pub fn assignee_account_id(&self) -> Option<&str> {
        match &self.target {
            TaskTarget::Account(account_id) => Some(account_id),
            TaskTarget::Capability(_) => self.worker_account_id.as_deref(),
        }
    }
}

/// What a worker holds while it is at a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLease {
    /// Names it.
    pub token: String,
    /// The session of the worker.
    pub session_tag: String,
    /// When it ends, unless the worker is heard of.
    pub until: Timestamp,
}

/// One event of a task (table `agent_task_events`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewTaskEvent {
    /// What happened, such as `claimed`.
    pub kind: &'static str,
    /// The attempt that it belongs to.
    pub attempt: i64,
    /// The state of the task after it.
    pub state: Option<TaskState>,
    /// Text of what happened.
    pub text: Option<String>,
    /// More of it, a JSON object.
    pub data: Option<RawJson>,
    /// Who caused it.
    pub from_account_id: Option<String>,
    /// The message that caused it.
    pub message_id: Option<String>,
}

impl NewTaskEvent {
    /// Bytes of its text and its JSON.
    pub(crate) fn bytes(&self) -> i64 {
        let text = self.text.as_ref().map_or(0, String::len);
        let data = self.data.as_ref().map_or(0, |data| data.get().len());
        i64::try_from(text + data).unwrap_or(i64::MAX)
    }
}

/// How far a worker is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// What the worker does, for people.
    pub text: Option<String>,
    /// 0 to 100.
    pub percent: Option<i64>,
    /// Name of the step, such as `tool`.
    pub phase: Option<String>,
}

/// What a worker says of its attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Number of the attempt, from 1.
    pub number: i64,
    /// Token of the lease that the claim gave.
    pub lease: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// An id that stays the same when the request is repeated.
    pub finish_id: String,
    /// Where the task is to stand.
    pub state: TaskState,
    /// What came of it.
    pub result: Option<RawJson>,
    /// The same in words.
    pub text: Option<String>,
    /// Of a failure: its code.
    pub code: Option<String>,
    /// Of a failure: what happened.
    pub detail: Option<String>,
    /// Another attempt may help.
    pub retryable: bool,
}

/// Begins the ids that registries give to requests without one of their own: the event of a request keeps its id in `message_id`,
/// so that the request has one effect though the store is called again after a failure. They are shown to nobody.
pub const REQUEST_ID_PREFIX: &str = "agentnet.request.";

/// A change of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskChange {
    /// A session takes it.
    Claim {
        /// Account of the session.
        account_id: String,
        /// Tag of the session.
        session_tag: String,
        /// Names the lease that it gets.
        lease: String,
    },
    /// The worker is still there.
    Heartbeat {
        /// The attempt that the worker has.
        attempt: Attempt,
        /// How far it is.
        progress: Option<Progress>,
        /// What the next attempt shall get.
        checkpoint: Option<RawJson>,
        /// Names the request, so that a repetition makes no second event; see [`REQUEST_ID_PREFIX`].
        request_id: Option<String>,
    },
    /// The worker has finished, needs something, or gives the task back.
    Finish {
        /// The attempt that the worker has.
        attempt: Attempt,
        /// How it ended.
        finish: Finish,
    },
    /// The claim is undone: its worker did not get the task.
    Unclaim {
        /// The attempt that the claim began.
        attempt: Attempt,
    },
    /// It is not wanted any more.
    Cancel {
        /// Why it is not wanted any more.
        reason: Option<String>,
        /// Who says so.
        account_id: Option<String>,
        /// Names the request.
        request_id: Option<String>,
    },
    /// The answer to a worker that waits for one.
    Input {
        /// The answer, any JSON value.
        payload: Option<RawJson>,
        /// Who gives it.
        account_id: String,
        /// Names the request.
        request_id: Option<String>,
    },
    /// Another attempt of a task that failed.
    Retry {
        /// Not before this time.
        not_before: Timestamp,
        /// Who wants it.
        account_id: String,
        /// Names the request.
        request_id: Option<String>,
    },
    /// Time has passed: a lease, a deadline or the time to stop may be over.
    Tick {
        /// How long a worker has to stop after a cancellation, in milliseconds.
        cancel_grace_ms: i64,
    },
    /// A message of a worker that holds no lease.
    Reported {
        /// Account of the worker.
        account_id: String,
        /// Id of the message.
        message_id: String,
        /// What it says.
        report: Report,
    },
}

/// What a message of a worker that holds no lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Where the task stands.
    pub state: TaskState,
    /// The text of the message.
    pub text: String,
    /// Of a progress.
    pub percent: Option<i64>,
    /// Of a progress.
    pub phase: Option<String>,
    /// Of a result.
    pub result: Option<RawJson>,
}

/// Why a task is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskRefusal {
    /// It cannot be claimed now.
    NotClaimable,
    /// The lease is over, or of somebody else.
    LeaseLost,
    /// It has ended, and not by this request.
    Finished,
    /// It does not wait for an answer.
    NoInput,
    /// It has not failed.
    NotRetriable,
    /// This request was applied before.
    Duplicate,
    /// Nothing is to be done.
    Nothing,
}

/// One event of a task, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTaskEvent {
    /// Id of the task.
    pub task_id: String,
    /// Counts from 1 without gaps.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, such as `claimed`.
    pub kind: String,
    /// The attempt that it belongs to.
    pub attempt: i64,
    /// The state of the task after it.
    pub state: Option<TaskState>,
    /// Text of what happened.
    pub text: Option<String>,
    /// More of it, as JSON.
    pub data: Option<RawJson>,
    /// Who caused it.
    pub from_account_id: Option<String>,
    /// The message that caused it.
    pub message_id: Option<String>,
}

/// What has become of a task that was to be stored.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskCreated {
    /// It is new; its first event is `created`.
    New(Box<Task>, Vec<StoredTaskEvent>),
    /// The same request was made before; this is its task.
    Known(Box<Task>),
    /// Another task has this id, or this key of its coordinator.
    Conflict,
    /// The coordinator has too many open tasks.
    TooMany,
    /// The task that it is a part of is unknown.
    NoParent,
    /// The task that it is a part of is canceled, or is to stop.
    ParentCanceled,
    /// The database does not take this one.
    Refused,
}

/// What a change has done.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskChanged {
    /// The task after it, and what happened.
    Changed(Box<Task>, Vec<StoredTaskEvent>),
    /// Why it is refused, and the task as it is.
    Refused(TaskRefusal, Box<Task>),
    /// There is no such task.
    Unknown,
}
