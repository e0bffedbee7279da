//! Messages about tasks, as agents of the later Python implementation send them (PROTOCOL.md section 22.6).
//!
//! They are applied when they are in the history, and before they leave the stream: after a crash they come again, and change
//! nothing that they have changed already.

mod captured;
mod early_budget;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use agentnet_protocol::task::TaskMessageKind;
use agentnet_store::model::{Task, TaskChange, TaskChanged, TaskCreated};
use agentnet_store::{Store, StoreError};
use parking_lot::Mutex;

pub(crate) use self::captured::CapturedTask;
pub(super) use self::captured::MILLIS_PER_DAY;
use self::early_budget::EarlyBudget;
use super::ancestry::say_in_parts;
use super::content::assigned;
use super::notices::TaskNotices;
use crate::batch_lookup::AccountLoader;
use crate::clock::Now;
use crate::config::RegistryConfig;
use crate::message_signature::{SignatureError, verify};

/// Applies messages about tasks.
pub(crate) struct MessageTasks {
    enabled: bool,
    max_open: i64,
    retention_days: u32,
    /// Keys of the senders, under signed identity.
    accounts: Option<AccountLoader>,
    store: Arc<dyn Store>,
    pub(super) notices: Arc<TaskNotices>,
    early: Mutex<EarlyBudget>,
}

impl MessageTasks {
    pub(crate) fn new(config: &RegistryConfig, store: Arc<dyn Store>, notices: Arc<TaskNotices>) -> Self {
        Self {
            enabled: config.tasks,
            max_open: config.task_max_open,
            retention_days: config.task_retention_days,
            accounts: config.dev_auth.then(|| AccountLoader::new(&store)),
            store,
            notices,
            early: Mutex::new(EarlyBudget::new(Instant::now())),
        }
    }

    /// Applies messages that are in the history, in their order. Returns the ids of those that are to come again: their tasks are
    /// not known yet. A registry that ended, or a slower one, may have the assignment.
    ///
    /// # Errors
    /// The store's error: some may have been applied, and all of them may be applied again.
    pub(crate) async fn apply(&self, messages: &[&CapturedTask]) -> Result<Vec<String>, StoreError> {
        if !self.enabled {
            return Ok(Vec::new());
        }
        let mut authentic = Vec::with_capacity(messages.len());
        for message in messages {
            if self.is_authentic(message).await? {
                authentic.push(*message);
            }
        }
        self.create(&authentic).await?;
        self.change(&authentic).await
    }

    /// Whether a message is signed by the account that it names as its sender; without signed identity every one is believed.
    async fn is_authentic(&self, message: &CapturedTask) -> Result<bool, StoreError> {
        let Some(accounts) = &self.accounts else {
            return Ok(true);
        };
        match verify(accounts, &message.envelope).await {
            Ok(()) => Ok(true),
            Err(SignatureError::Invalid(error)) => {
                tracing::debug!(
                    code = error.code(),
                    "ignored a message about a task: it is not signed by its sender"
                );
                Ok(false)
            }
            Err(SignatureError::Store(error)) => Err(StoreError::Unavailable(error.to_string())),
        }
    }

    /// Makes tasks of assignments whose ids are unknown.
    async fn create(&self, messages: &[&CapturedTask]) -> Result<(), StoreError> {
        let now = Now::read().time;
        let mut tasks: Vec<Task> = Vec::new();
        for captured in messages {
            if captured.message.kind != TaskMessageKind::Assign {
                continue;
            }
            if captured.is_older_than(self.retention_days) {
                tracing::debug!("ignored an assignment: it is older than tasks are kept");
                continue;
            }
            let (from, to, thread_id) = (captured.from(), captured.to(), captured.thread_id());
            let mut task = assigned(&captured.message, from, to, captured.message_id(), &thread_id, now);
            if !self.may_add_part(&task).await? {
                task.parent_task_id = None;
            }
            tasks.push(task);
        }
        while !tasks.is_empty() {
            let outcomes = self.store.create_tasks(&tasks, self.max_open).await?;
            let mut again = Vec::new();
            for (task, outcome) in tasks.into_iter().zip(outcomes) {
                match outcome {
                    TaskCreated::New(task, events) => self.notices.changed(&task, &events).await,
                    TaskCreated::Known(_) | TaskCreated::Conflict => {}
                    // It is a task all the same.
                    TaskCreated::NoParent | TaskCreated::ParentCanceled if task.parent_task_id.is_some() => {
                        again.push(Task {
                            parent_task_id: None,
                            ..task
                        })
                    }
                    TaskCreated::NoParent
                    | TaskCreated::ParentCanceled
                    | TaskCreated::TooMany
                    | TaskCreated::Refused => {
                        tracing::debug!(coordinator = %task.coordinator_account_id, "a message made no task");
                    }
                }
            }
            tasks = again;
        }
        Ok(())
    }

    /// Whether the coordinator of a task may make it a part of the parent that it names. An unknown one is the store's business.
    async fn may_add_part(&self, task: &Task) -> Result<bool, StoreError> {
        let Some(parent) = &task.parent_task_id else {
            return Ok(true);
        };
        let Some(parent) = self.store.task(parent).await? else {
            return Ok(true);
        };
        let say = say_in_parts(self.store.as_ref(), &task.coordinator_account_id, &parent).await?;
        Ok(say.has_say && !say.is_canceled)
    }

    /// Applies reports and cancellations. Returns the ids of those that are to come again.
    async fn change(&self, messages: &[&CapturedTask]) -> Result<Vec<String>, StoreError> {
        let ids: HashSet<&str> = messages
            .iter()
            .filter(|captured| captured.message.kind != TaskMessageKind::Assign)
            .map(|captured| captured.message.task_id.as_str())
            .collect();
        let mut tasks: HashMap<&str, Task> = HashMap::with_capacity(ids.len());
        for task_id in ids {
            if let Some(task) = self.store.task(task_id).await? {
                tasks.insert(task_id, task);
            }
        }
        let now = Now::read().time;
        let is_early = |captured: &CapturedTask| {
            captured.message.kind != TaskMessageKind::Assign
                && !tasks.contains_key(captured.message.task_id.as_str())
                && captured.may_be_early(now)
                && self.early.lock().take(Instant::now())
        };
        let early = messages.iter().filter(|captured| is_early(captured));
        let early: Vec<String> = early.map(|captured| captured.message_id().to_owned()).collect();
        let changes: Vec<(String, TaskChange)> = messages
            .iter()
            .filter_map(|captured| {
                let task = tasks.get(captured.message.task_id.as_str())?;
                Some((task.task_id.clone(), captured.change(task)?))
            })
            .collect();
        if changes.is_empty() {
            return Ok(early);
        }
        let outcomes = self.store.change_tasks(&changes, now).await?;
        for outcome in outcomes {
            if let TaskChanged::Changed(task, events) = outcome {
                self.notices.changed(&task, &events).await;
            }
        }
        Ok(early)
    }
}
