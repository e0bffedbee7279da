//! Names, descriptions and arguments of the tools for tasks, as models see them.

use std::time::Duration;

use serde_json::{Value, json};

use super::specs::{MAX_ASK_TIMEOUT, Row, agent, row};
use super::{Action, REGISTRY_TIMEOUT};

/// The states of a task.
const STATES: [&str; 8] = [
    "submitted",
    "working",
    "input_required",
    "auth_required",
    "completed",
    "failed",
    "canceled",
    "rejected",
];

/// The tools for tasks.
pub(super) fn all() -> Vec<Row> {
    vec![
        row(
            "network.task_assign",
            Action::TaskAssign,
            // The result, and the message that tells an agent of the task.
            MAX_ASK_TIMEOUT + Duration::from_secs(10),
            "Give work to another agent that may take long, or that is offline: the network keeps it until it is done. Name \
             either an agent or a capability. Without `wait`, you get the id of the task at once.",
            json!({
                "agent": agent(),
                "capability": { "type": "string", "minLength": 1, "maxLength": 128, "description": "Any agent with this capability." },
                "title": { "type": "string", "maxLength": 200, "description": "A few words for lists." },
                "text": { "type": "string", "minLength": 1, "maxLength": 60_000, "description": "What is to be done, complete in itself." },
                "wait": { "type": "boolean", "default": false, "description": "Wait for the result. A task that is not done in time continues." },
                "timeout_seconds": { "type": "number", "minimum": 1, "maximum": 300, "default": 90, "description": "The wait." },
                "deadline_seconds": { "type": "number", "minimum": 1, "maximum": 604_800, "default": 86_400, "description": "When the task is given up." },
                "retries": { "type": "integer", "minimum": 0, "maximum": 19, "default": 0, "description": "Further attempts if its worker is lost or fails for a reason that may pass." },
            }),
            &["text"],
        ),
        row(
            "network.task_status",
            Action::TaskStatus,
            REGISTRY_TIMEOUT,
            "Look up one task: its state, progress and result.",
            json!({ "task_id": task_id() }),
            &["task_id"],
        ),
        row(
            "network.task_list",
            Action::TaskList,
            REGISTRY_TIMEOUT,
            "List tasks that you gave to others (coordinator) or that were given to you (worker), the last changed first.",
            json!({
                "role": { "type": "string", "enum": ["coordinator", "worker"] },
                "state": { "type": "string", "enum": STATES },
                "parent_task_id": { "type": "string", "maxLength": 256, "description": "Only the parts of this task." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 50, "default": 20 },
            }),
            &["role"],
        ),
        row(
            "network.task_cancel",
            Action::TaskCancel,
            REGISTRY_TIMEOUT,
            "Cancel a task that you gave to another agent, and its parts.",
            json!({
                "task_id": task_id(),
                "reason": { "type": "string", "maxLength": 1_000 },
            }),
            &["task_id"],
        ),
    ]
}

fn task_id() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256 })
}
