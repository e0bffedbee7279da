//! Applies changes to the tasks that a backend has loaded, and notes what is to be written.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use agentnet_protocol::Timestamp;

use crate::model::{StoredTaskEvent, Task, TaskChange, TaskChanged, TaskClaimQuery, TaskRefusal};
use crate::task_rules::{apply, repeatable_id};

/// The tasks of a call, as its transaction sees and changes them.
#[derive(Debug, Default)]
pub(crate) struct TaskBatch {
    tasks: HashMap<String, Task>,
    /// Task ids and the ids of messages and ends of attempts that were applied to them.
    applied: HashSet<(String, String)>,
    /// Ids of the tasks that have changed, and whether their texts and JSON values may have.
    changed: BTreeMap<String, bool>,
    /// By the id of their parent: how many more parts have ended; negative where one is tried again.
    ended_parts: BTreeMap<String, i64>,
    events: Vec<StoredTaskEvent>,
}

impl TaskBatch {
    /// These tasks are stored.
    pub(crate) fn new(tasks: Vec<Task>) -> Self {
        Self {
            tasks: tasks.into_iter().map(|task| (task.task_id.clone(), task)).collect(),
            ..Self::default()
        }
    }

    /// The event of this message, or of this end of an attempt, is stored.
    pub(crate) fn set_applied(&mut self, task_id: String, repeatable_id: String) {
        self.applied.insert((task_id, repeatable_id));
    }

    /// Applies changes one after the other; an outcome for each.
    pub(crate) fn apply_all(&mut self, changes: &[(String, TaskChange)], now: Timestamp) -> Vec<TaskChanged> {
        changes
            .iter()
            .map(|(task_id, change)| self.apply(task_id, change, now))
            .collect()
    }

    /// Applies a change; what it does is noted.
    pub(crate) fn apply(&mut self, task_id: &str, change: &TaskChange, now: Timestamp) -> TaskChanged {
        let Some(task) = self.tasks.get_mut(task_id) else {
            return TaskChanged::Unknown;
        };
        let repeatable = repeatable_id(change).map(|id| (task_id.to_owned(), id.to_owned()));
        if repeatable.as_ref().is_some_and(|key| self.applied.contains(key)) {
            return TaskChanged::Refused(TaskRefusal::Duplicate, Box::new(task.clone()));
        }
        let was_ended = task.state.is_terminal();
        match apply(task, change, now) {
            Err(refusal) => TaskChanged::Refused(refusal, Box::new(task.clone())),
            Ok(events) => {
                self.applied.extend(repeatable);
                if let Some(parent) = &task.parent_task_id
                    && was_ended != task.state.is_terminal()
                {
                    *self.ended_parts.entry(parent.clone()).or_default() += if was_ended { -1 } else { 1 };
                }
                *self.changed.entry(task_id.to_owned()).or_default() |= changes_contents(change);
                self.events.extend(events.iter().cloned());
                TaskChanged::Changed(Box::new(task.clone()), events)
            }
        }
    }

    /// Claims these tasks for a session; those that it gets.
    pub(crate) fn claim(&mut self, query: &TaskClaimQuery, task_ids: &[String]) -> Vec<(Task, Vec<StoredTaskEvent>)> {
        let claim = |task_id: &String| {
            let change = TaskChange::Claim {
                account_id: query.account_id.clone(),
                session_tag: query.session_tag.clone(),
                lease: format!("{}-{task_id}", query.token),
            };
            done(self.apply(task_id, &change, query.now))
        };
        task_ids.iter().filter_map(claim).collect()
    }

    /// Applies [`TaskChange::Tick`] to all; those that it changes, by id.
    pub(crate) fn tick(&mut self, cancel_grace_ms: i64, now: Timestamp) -> Vec<(Task, Vec<StoredTaskEvent>)> {
        let ids: BTreeSet<String> = self.tasks.keys().cloned().collect();
        let change = TaskChange::Tick { cancel_grace_ms };
        ids.iter()
            .filter_map(|task_id| done(self.apply(task_id, &change, now)))
            .collect()
    }

    /// The tasks to write, by id.
    pub(crate) fn changed(&self) -> Vec<&Task> {
        self.changed
            .keys()
            .filter_map(|task_id| self.tasks.get(task_id))
            .collect()
    }

    /// Those of them whose texts and JSON values may have changed.
    pub(crate) fn changed_contents(&self) -> Vec<&Task> {
        self.changed
            .iter()
            .filter(|(_, contents)| **contents)
            .filter_map(|(task_id, _)| self.tasks.get(task_id))
            .collect()
    }

    /// Parents in the order of their ids, and how many more of their parts have ended.
    pub(crate) fn ended_parts(&self) -> impl Iterator<Item = (&str, i64)> {
        let ended = self.ended_parts.iter().map(|(parent, ended)| (parent.as_str(), *ended));
        ended.filter(|(_, ended)| *ended != 0)
    }

    /// The events to write.
    pub(crate) fn events(&self) -> &[StoredTaskEvent] {
        &self.events
    }
}

/// Whether a change may change texts or JSON values, which are long.
fn changes_contents(change: &TaskChange) -> bool {
    match change {
        TaskChange::Claim { .. } => false,
        TaskChange::Heartbeat {
            progress, checkpoint, ..
        } => progress.is_some() || checkpoint.is_some(),
        _ => true,
    }
}

fn done(changed: TaskChanged) -> Option<(Task, Vec<StoredTaskEvent>)> {
    match changed {
        TaskChanged::Changed(task, events) => Some((*task, events)),
        TaskChanged::Refused(..) | TaskChanged::Unknown => None,
    }
}

/// The ids of the tasks of a call, each once, in the order in which they are locked.
pub(crate) fn task_ids(changes: &[(String, TaskChange)]) -> BTreeSet<&str> {
    changes.iter().map(|(task_id, _)| task_id.as_str()).collect()
}

/// Task ids and the ids by which their changes may be known, each pair once.
pub(crate) fn repeatable_ids(changes: &[(String, TaskChange)]) -> BTreeSet<(&str, &str)> {
    changes
        .iter()
        .filter_map(|(task_id, change)| Some((task_id.as_str(), repeatable_id(change)?)))
        .collect()
}

/// How the leases of a claim begin, and the first text behind all that begin so.
pub(crate) fn lease_range(query: &TaskClaimQuery) -> (String, String) {
    // The character behind the hyphen.
    (format!("{}-", query.token), format!("{}.", query.token))
}
