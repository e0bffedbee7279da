//! Decides which tasks are stored (PROTOCOL.md section 22.3). A backend loads what is stored, in its transaction, and writes what
//! this decides.

use std::collections::{BTreeMap, HashMap};

use agentnet_protocol::limits::{MAX_ID_BYTES, MAX_NAME_BYTES, MAX_THREAD_ID_BYTES};
use agentnet_protocol::task::TaskState;

use crate::model::{Task, TaskCreated, TaskParts, TaskTarget};

/// What is stored of the ids, keys, coordinators and parents of a call, and what the call adds.
#[derive(Debug)]
pub(crate) struct TaskAdmission {
    max_open: i64,
    by_id: HashMap<String, Task>,
    /// Task ids by coordinator and idempotency key.
    by_key: HashMap<(String, String), String>,
    /// Tasks of each coordinator that have not ended.
    open: HashMap<String, i64>,
    /// Stored tasks that new ones may be parts of.
    parents: HashMap<String, Parent>,
}

/// A task that a new one is to be a part of.
#[derive(Debug)]
struct Parent {
    /// The task that it is a part of itself.
    parent_task_id: Option<String>,
    /// It is canceled, or is to stop.
    is_canceled: bool,
}

/// The parts that a call adds to a task.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewParts {
    pub(crate) task_id: String,
    /// The task that this one is a part of itself.
    pub(crate) parent_task_id: Option<String>,
    pub(crate) parts: TaskParts,
}

impl TaskAdmission {
    /// Nothing is stored.
    pub(crate) fn new(max_open: i64) -> Self {
        Self {
            max_open,
            by_id: HashMap::new(),
            by_key: HashMap::new(),
            open: HashMap::new(),
            parents: HashMap::new(),
        }
    }

    /// This task is stored.
    pub(crate) fn set_known(&mut self, task: Task) {
        if let Some(key) = key_of(&task) {
            self.by_key.insert(key, task.task_id.clone());
        }
        let is_canceled = is_canceled(task.state, task.cancel_requested_at.is_some());
        self.set_parent(task.task_id.clone(), task.parent_task_id.clone(), is_canceled);
        self.by_id.insert(task.task_id.clone(), task);
    }

    /// So many tasks of this coordinator have not ended.
    pub(crate) fn set_open(&mut self, coordinator_account_id: String, open: i64) {
        self.open.insert(coordinator_account_id, open);
    }

    /// A task with this id is stored; the task that it is a part of, and whether it is canceled or is to stop.
    pub(crate) fn set_parent(&mut self, task_id: String, parent_task_id: Option<String>, is_canceled: bool) {
        let parent = Parent {
            parent_task_id,
            is_canceled,
        };
        self.parents.insert(task_id, parent);
    }

    /// Why a task is not stored; `None` if it may be.
    pub(crate) fn judge(&self, new: &Task) -> Option<TaskCreated> {
        if !has_storable_ids(new) {
            return Some(TaskCreated::Refused);
        }
        let by_id = self.by_id.get(&new.task_id);
        let by_key = || self.by_id.get(self.by_key.get(&key_of(new)?)?);
        if let Some(known) = by_id.or_else(by_key) {
            let is_same = known.coordinator_account_id == new.coordinator_account_id
                && known.content_sha256 == new.content_sha256;
            return Some(match is_same {
                true => TaskCreated::Known(Box::new(known.clone())),
                false => TaskCreated::Conflict,
            });
        }
        if let Some(parent) = &new.parent_task_id {
            match self.parents.get(parent) {
                None => return Some(TaskCreated::NoParent),
                Some(parent) if parent.is_canceled => return Some(TaskCreated::ParentCanceled),
                Some(_) => {}
            }
        }
        let open = self.open.get(&new.coordinator_account_id).copied().unwrap_or_default();
        (open >= self.max_open).then_some(TaskCreated::TooMany)
    }

    /// Counts a task that the call stores.
    pub(crate) fn record(&mut self, task: Task) {
        *self.open.entry(task.coordinator_account_id.clone()).or_default() += 1;
        self.set_known(task);
    }

    /// The parts among these tasks, which were recorded: of each parent, in the order of the ids.
    pub(crate) fn new_parts<'a>(&self, tasks: impl IntoIterator<Item = &'a Task>) -> Vec<NewParts> {
        let mut counts: BTreeMap<&str, TaskParts> = BTreeMap::new();
        for task in tasks {
            let Some(parent) = task.parent_task_id.as_deref() else {
                continue;
            };
            let parts = counts.entry(parent).or_default();
            match task.state.is_terminal() {
                true => parts.done += 1,
                false => parts.open += 1,
            }
        }
        let new = |(task_id, parts): (&str, TaskParts)| NewParts {
            task_id: task_id.to_owned(),
            parent_task_id: self
                .parents
                .get(task_id)
                .and_then(|parent| parent.parent_task_id.clone()),
            parts,
        };
        counts.into_iter().map(new).collect()
    }
}

/// Whether a task gets no further parts.
pub(crate) fn is_canceled(state: TaskState, is_cancel_requested: bool) -> bool {
    state == TaskState::Canceled || is_cancel_requested
}

/// The coordinator and its idempotency key.
fn key_of(task: &Task) -> Option<(String, String)> {
    let key = task.idempotency_key.clone()?;
    Some((task.coordinator_account_id.clone(), key))
}

/// Whether every text that an index holds is within its bound: tasks are also made from messages.
fn has_storable_ids(task: &Task) -> bool {
    let is_name = |text: &str| !text.is_empty() && text.len() <= MAX_NAME_BYTES;
    let is_id = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= MAX_ID_BYTES);
    let (TaskTarget::Account(target) | TaskTarget::Capability(target)) = &task.target;
    is_name(&task.task_id)
        && is_name(&task.coordinator_account_id)
        && is_name(target)
        && task.parent_task_id.as_deref().is_none_or(is_name)
        && is_id(&task.idempotency_key)
        && is_id(&task.message_id)
        && task.thread_id.len() <= MAX_THREAD_ID_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::sample_tasks::{key, new_task, part_of};

    #[test]
    fn ids_beyond_their_bounds_are_refused() {
        let long = "x".repeat(MAX_ID_BYTES + 1);
        let refused = |change: &dyn Fn(&mut Task)| {
            let mut task = new_task("t");
            change(&mut task);
            TaskAdmission::new(9).judge(&task) == Some(TaskCreated::Refused)
        };
        assert!(!refused(&|_| {}));
        assert!(refused(&|task| task.task_id.clear()));
        assert!(refused(&|task| task.task_id.clone_from(&long)));
        assert!(refused(&|task| task.coordinator_account_id.clear()));
        assert!(refused(&|task| task.target = TaskTarget::Capability(long.clone())));
        assert!(refused(&|task| task.target = TaskTarget::Account(String::new())));
        assert!(refused(&|task| task.parent_task_id = Some(long.clone())));
        assert!(refused(&|task| task.idempotency_key = Some(long.clone())));
        assert!(refused(&|task| task.message_id = Some(long.clone())));
        assert!(refused(&|task| task.thread_id = "x".repeat(MAX_THREAD_ID_BYTES + 1)));
    }

    #[test]
    fn a_known_task_is_told_before_a_limit() {
        let mut admission = TaskAdmission::new(1);
        let first = key(new_task("t1"), "k");
        assert_eq!(admission.judge(&first), None);
        admission.record(first.clone());
        let same = key(new_task("t2"), "k");
        assert_eq!(
            admission.judge(&same),
            Some(TaskCreated::Known(Box::new(first.clone())))
        );
        let other = Task {
            content_sha256: "other".into(),
            ..same.clone()
        };
        assert_eq!(admission.judge(&other), Some(TaskCreated::Conflict));
        assert_eq!(admission.judge(&new_task("t3")), Some(TaskCreated::TooMany));
        assert_eq!(
            admission.judge(&part_of(new_task("t3"), "t0")),
            Some(TaskCreated::NoParent)
        );
        // Another coordinator has its own keys, ids are of all.
        let theirs = |task: Task| Task {
            coordinator_account_id: "acct_other".into(),
            ..task
        };
        assert_eq!(admission.judge(&theirs(part_of(same, "t1"))), None);
        assert_eq!(admission.judge(&theirs(first)), Some(TaskCreated::Conflict));
    }

    #[test]
    fn a_stored_parent_is_known() {
        let mut admission = TaskAdmission::new(9);
        admission.set_open("acct_c".into(), 8);
        admission.set_parent("p".into(), Some("above".into()), false);
        admission.set_parent("gone".into(), None, true);
        assert_eq!(admission.judge(&part_of(new_task("t"), "p")), None);
        assert_eq!(
            admission.judge(&part_of(new_task("t"), "gone")),
            Some(TaskCreated::ParentCanceled)
        );
        let ended = Task {
            state: TaskState::Failed,
            ..part_of(new_task("u"), "p")
        };
        let parts = [part_of(new_task("t"), "p"), ended, new_task("alone")];
        let expected = NewParts {
            task_id: "p".into(),
            parent_task_id: Some("above".into()),
            parts: TaskParts { open: 1, done: 1 },
        };
        assert_eq!(admission.new_parts(&parts), [expected]);
        admission.set_open("acct_c".into(), 9);
        assert_eq!(admission.judge(&new_task("t")), Some(TaskCreated::TooMany));
    }
}
