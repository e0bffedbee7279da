//! Who has a say in a task, as its coordinator, as that of a task that it is a part of, or as its worker (PROTOCOL.md section
//! 22.7), and whether a task above it is cancelled.

use agentnet_protocol::task::TaskState;
use agentnet_store::model::{Task, TaskTarget};
use agentnet_store::{Store, StoreError};

/// Tasks above a task whose coordinators have a say in it.
const MAX_ANCESTORS: usize = 100;

/// What an account may do with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Say {
    /// It may change the task, and add parts to it.
    pub(crate) has_say: bool,
    /// The task, or one above it, is canceled or is to stop.
    pub(crate) is_canceled: bool,
}

/// What an account may do with a task; looks at the tasks above it as far as needed.
///
/// # Errors
/// The store's error.
pub(crate) async fn may_change(store: &dyn Store, account_id: &str, task: &Task) -> Result<bool, StoreError> {
    Ok(is_concerned(task, account_id) || above(store, account_id, task).await?.has_say)
}

/// What an account may do as to parts of a task.
///
/// # Errors
/// The store's error.
pub(crate) async fn say_in_parts(store: &dyn Store, account_id: &str, parent: &Task) -> Result<Say, StoreError> {
    let above = above(store, account_id, parent).await?;
    Ok(Say {
        has_say: is_concerned(parent, account_id) || above.has_say,
        is_canceled: is_canceled(parent) || above.is_canceled,
    })
}

/// The say that the tasks above a task give to an account.
async fn above(store: &dyn Store, account_id: &str, task: &Task) -> Result<Say, StoreError> {
    let mut say = Say {
        has_say: false,
        is_canceled: false,
    };
    let mut parent = task.parent_task_id.clone();
    for _ in 0..MAX_ANCESTORS {
        let Some(parent_id) = parent else { break };
        let Some(task) = store.task(&parent_id).await? else {
            break;
        };
        say.has_say |= task.coordinator_account_id == account_id;
        say.is_canceled |= is_canceled(&task);
        parent = task.parent_task_id;
    }
    Ok(say)
}

/// Whether the account is that of the task's coordinator, receiver or worker.
fn is_concerned(task: &Task, account_id: &str) -> bool {
    let is_target = matches!(&task.target, TaskTarget::Account(target) if target == account_id);
    let is_worker = task.worker_account_id.as_deref() == Some(account_id);
    task.coordinator_account_id == account_id || is_target || is_worker
}

fn is_canceled(task: &Task) -> bool {
    task.state == TaskState::Canceled || task.cancel_requested_at.is_some()
}
