//! Requests of who looks at tasks.

use super::super::read::{bounded, number};
use super::super::record::{Omitted, record, reply};
use super::super::{Request, RpcError, limit, opt_trimmed, required};
use super::{TaskEvent, TaskReply, TaskSnapshot, task_id};
use crate::json::{Object, ObjectWriter};
use crate::limits::{MAX_ID_BYTES, MAX_NAME_BYTES};
use crate::task::{MAX_WAIT_MS, TaskState};

/// `registry.task_status`: one task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskStatusRequest {
    /// Id of the task.
    pub task_id: String,
}

impl Request for TaskStatusRequest {
    const NAME: &'static str = "task_status";
    type Reply = TaskReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(64);
        out.text("task_id", &self.task_id);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "task_status payload must be an object")?;
        Ok(Self {
            task_id: task_id(object)?,
        })
    }
}

/// `registry.task_list`: tasks, the last changed first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskListRequest {
    /// Only tasks of this worker.
    pub assignee_account_id: Option<String>,
    /// Only tasks that this account asked for.
    pub coordinator_account_id: Option<String>,
    /// Only tasks in these states; a word of the later Python implementation stands for several.
    pub states: Vec<TaskState>,
    /// Only parts of this task.
    pub parent_task_id: Option<String>,
    /// Only tasks for agents with this capability.
    pub capability: Option<String>,
    /// Only tasks that changed since then.
    pub since: Option<String>,
    /// 1 to 100; 20 by default.
    pub limit: usize,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for TaskListRequest {
    fn default() -> Self {
        Self {
            assignee_account_id: None,
            coordinator_account_id: None,
            states: Vec::new(),
            parent_task_id: None,
            capability: None,
            since: None,
            limit: 20,
            cursor: None,
        }
    }
}

impl Request for TaskListRequest {
    const NAME: &'static str = "task_list";
    type Reply = TaskListReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(192);
        out.opt_text("assignee_account_id", self.assignee_account_id.as_deref())
            .opt_text("coordinator_account_id", self.coordinator_account_id.as_deref());
        match self.states.as_slice() {
            [] => {}
            [state] => {
                out.text("state", state.as_str());
            }
            [first, ..] => {
                out.text("status", first.status());
            }
        }
        out.opt_text("parent_task_id", self.parent_task_id.as_deref())
            .opt_text("capability", self.capability.as_deref())
            .opt_text("since", self.since.as_deref())
            .int("limit", self.limit as u64)
            .opt_text("cursor", self.cursor.as_deref());
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "task_list payload must be an object")?;
        let states = match (opt_trimmed(object.get("state")), opt_trimmed(object.get("status"))) {
            (Some(state), _) => vec![state.parse().map_err(|_| RpcError::new("state is unknown"))?],
            (None, Some(status)) => TaskState::of_status(&status)
                .map_err(|_| RpcError::new("status must be assigned, working, blocked, completed or failed"))?
                .to_vec(),
            (None, None) => Vec::new(),
        };
        let name = |member| bounded(object, member, MAX_NAME_BYTES);
        Ok(Self {
            assignee_account_id: name("assignee_account_id")?,
            coordinator_account_id: name("coordinator_account_id")?,
            states,
            parent_task_id: name("parent_task_id")?,
            capability: name("capability")?,
            since: bounded(object, "since", MAX_ID_BYTES)?,
            limit: limit(object, 20, 100)?,
            cursor: opt_trimmed(object.get("cursor")),
        })
    }
}

record! {
    /// Tasks that match.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct TaskListReply {
        /// The tasks, the last changed first.
        pub tasks: Vec<TaskSnapshot>,
        /// As used.
        pub limit: usize,
        /// Set when there are more.
        pub next_cursor: Option<String> as Omitted,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(TaskListReply, ["tasks"]);

/// `registry.task_events`: what happened to a task, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEventsRequest {
    /// Id of the task.
    pub task_id: String,
    /// Only events behind this one.
    pub after: i64,
    /// 1 to 200; 100 by default.
    pub limit: usize,
    /// How long to wait for an event if there is none, in milliseconds: 0 to 25,000, 0 by default.
    pub wait_ms: i64,
}

impl Default for TaskEventsRequest {
    fn default() -> Self {
        Self {
            task_id: String::new(),
            after: 0,
            limit: 100,
            wait_ms: 0,
        }
    }
}

impl Request for TaskEventsRequest {
    const NAME: &'static str = "task_events";
    type Reply = TaskEventsReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(96);
        out.text("task_id", &self.task_id)
            .int("after", self.after)
            .int("limit", self.limit as u64)
            .int("wait_ms", self.wait_ms);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "task_events payload must be an object")?;
        Ok(Self {
            task_id: task_id(object)?,
            after: number(object, "after", 0, 0, i64::MAX)?,
            limit: limit(object, 100, 200)?,
            wait_ms: number(object, "wait_ms", 0, 0, MAX_WAIT_MS)?,
        })
    }
}

record! {
    /// Events of a task.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct TaskEventsReply {
        /// Id of the task.
        pub task_id: String,
        /// The events, in order.
        pub events: Vec<TaskEvent>,
        /// The number of the last event that there is.
        pub last: i64,
        /// The task has ended: no further event comes.
        pub terminal: bool,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(TaskEventsReply, ["events"]);
