//! Which tasks to claim, list and count (PROTOCOL.md section 22).

use agentnet_protocol::Timestamp;
use agentnet_protocol::task::TaskState;

use super::Position;

/// Which tasks a session wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskClaimQuery {
    /// The account of the session.
    pub account_id: String,
    /// Tag of the session.
    pub session_tag: String,
    /// Also tasks for these capabilities.
    pub capabilities: Vec<String>,
    /// Only this task.
    pub task_id: Option<String>,
    /// At most so many.
    pub max: usize,
    /// A random text, new for each request and the same where it is repeated: the leases begin with it, `<token>-<task id>`.
    pub token: String,
    /// The present time.
    pub now: Timestamp,
}

/// Which tasks to list, the last changed first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskQuery {
    /// Only tasks for this account, or that a session of it has or had.
    pub assignee_account_id: Option<String>,
    /// Only tasks that this account asked for.
    pub coordinator_account_id: Option<String>,
    /// Only tasks in one of these states; empty: in all.
    pub states: Vec<TaskState>,
    /// Only parts of this task.
    pub parent_task_id: Option<String>,
    /// Only tasks for agents with this capability.
    pub capability: Option<String>,
    /// Only tasks that changed then or later.
    pub since: Option<Timestamp>,
    /// Only rows strictly after this one in that order: `updated_at` and task id.
    pub before: Option<Position>,
    /// At most so many; at least 1.
    pub limit: usize,
}

impl TaskQuery {
    /// The states of the tasks to list, each once.
    pub(crate) fn listed_states(&self) -> impl Iterator<Item = TaskState> {
        let is_listed = |state: &TaskState| self.states.is_empty() || self.states.contains(state);
        TaskState::ALL.iter().copied().filter(is_listed)
    }
}

/// How many stored parts of a task have ended, and have not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskParts {
    /// Those that have not ended.
    pub open: i64,
    /// Those that have ended.
    pub done: i64,
}
