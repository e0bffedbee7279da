//! Tasks: work that outlives a call (PROTOCOL.md section 22).
//!
//! ```text
//!  registry.task_create, _cancel, …  -> TaskLedger -> store -> notices: events, requests that wait, other registries
//!  messages in the history           -> messages ----^  ^
//!  leases and deadlines that are over -> sweep ---------+
//! ```
//!
//! - [`TaskLedger`] creates and changes tasks in the store, in batches (`loaders`)
//! - `content` says what a task is that a request or a message asks for; `ancestry` who has a say in one
//! - `notices` tells of what happens; `listen` hears that of other registries
//! - `claim_waiters` are the requests of workers that wait for a task
//! - `messages` applies messages about tasks, as agents of the later Python implementation send them
//! - `sweep` ends what is too late, and forgets old tasks; `snapshot` is what requests show
//! - `withdrawals` are messages about tasks that have ended, which `sweep` takes out of mailboxes
//!
//! The store alone decides who has a task. What is in memory here only says when to ask it.

pub(crate) mod ancestry;
pub(crate) mod claim_waiters;
pub(crate) mod content;
pub(crate) mod listen;
mod loaders;
pub(crate) mod messages;
pub(crate) mod notices;
pub(crate) mod snapshot;
pub(crate) mod sweep;
mod withdrawals;

use std::sync::Arc;

use agentnet_store::Store;
use agentnet_store::model::{Task, TaskChange, TaskChanged, TaskCreated};

use self::loaders::{ChangeLoader, CreateLoader, change_loader, create_loader};
use self::messages::MessageTasks;
use self::notices::TaskNotices;
use crate::batch_lookup::Loaded;
use crate::config::RegistryConfig;

/// Creates and changes tasks.
pub(crate) struct TaskLedger {
    pub(crate) notices: Arc<TaskNotices>,
    /// Messages about tasks.
    pub(crate) messages: Arc<MessageTasks>,
    creates: CreateLoader,
    changes: ChangeLoader,
}

impl TaskLedger {
    pub(crate) fn new(config: &RegistryConfig, store: &Arc<dyn Store>, messages: Arc<MessageTasks>) -> Self {
        Self {
            notices: Arc::clone(&messages.notices),
            messages,
            creates: create_loader(store, config.task_max_open),
            changes: change_loader(store),
        }
    }

    /// Stores a new task, and tells of it.
    ///
    /// # Errors
    /// The store's error.
    pub(crate) async fn create(&self, task: Task) -> Loaded<TaskCreated> {
        let created = self.creates.load(task).await?;
        if let TaskCreated::New(task, events) = &created {
            self.notices.changed(task, events).await;
        }
        Ok(created)
    }

    /// Changes a task, and tells of it.
    ///
    /// # Errors
    /// The store's error.
    pub(crate) async fn change(&self, task_id: String, change: TaskChange) -> Loaded<TaskChanged> {
        let changed = self.changes.load((task_id, change)).await?;
        if let TaskChanged::Changed(task, events) = &changed {
            self.notices.changed(task, events).await;
        }
        Ok(changed)
    }

    /// Changes tasks, and tells of them; an outcome for each, in order.
    pub(crate) async fn change_each(&self, changes: Vec<(String, TaskChange)>) -> Vec<Loaded<TaskChanged>> {
        let mut pending = Vec::with_capacity(changes.len());
        for change in changes {
            pending.push(self.changes.enqueue(change).await);
        }
        let mut outcomes = Vec::with_capacity(pending.len());
        for pending in pending {
            let changed = pending.value().await;
            if let Ok(TaskChanged::Changed(task, events)) = &changed {
                self.notices.changed(task, events).await;
            }
            outcomes.push(changed);
        }
        outcomes
    }

    /// The same of changes that belong together.
    ///
    /// # Errors
    /// The store's first error; the other changes may have been made.
    pub(crate) async fn change_all(&self, changes: Vec<(String, TaskChange)>) -> Loaded<Vec<TaskChanged>> {
        self.change_each(changes).await.into_iter().collect()
    }
}
