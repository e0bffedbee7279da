//! What a history runs on: the rules alone, or a store.

use std::collections::HashMap;
use std::sync::Arc;

use agentnet_protocol::Timestamp;

use crate::model::{StoredTaskEvent, Task, TaskChange, TaskChanged, TaskClaimQuery, TaskCreated, TaskRefusal};
use crate::store::Store;
use crate::task_admission::TaskAdmission;
use crate::task_batch::TaskBatch;
use crate::task_rules::created;

/// More tasks than a history has.
const MAX_OPEN: i64 = 100;

/// Something that keeps tasks.
pub(super) trait System {
    async fn create(&mut self, task: &Task) -> TaskCreated;
    async fn claim(&mut self, query: &TaskClaimQuery) -> Vec<(Task, Vec<StoredTaskEvent>)>;
    async fn change(&mut self, task_id: &str, change: &TaskChange, now: Timestamp) -> TaskChanged;
    async fn tick(&mut self, now: Timestamp, cancel_grace_ms: i64) -> Vec<(Task, Vec<StoredTaskEvent>)>;
    async fn task(&mut self, task_id: &str) -> Option<Task>;
    async fn events(&mut self, task_id: &str) -> Vec<StoredTaskEvent>;
}

/// A task that was claimed, and its event.
type Claimed = (Task, Vec<StoredTaskEvent>);

/// The rules on tasks in memory.
#[derive(Default)]
pub(super) struct Rules {
    /// In the order of their creation.
    tasks: Vec<Task>,
    events: HashMap<String, Vec<StoredTaskEvent>>,
    /// The last claim, and what it gave.
    claimed: Option<(String, Vec<Claimed>)>,
}

impl Rules {
    fn batch(&self) -> TaskBatch {
        let mut batch = TaskBatch::new(self.tasks.clone());
        for event in self.events.values().flatten() {
            if let Some(message_id) = &event.message_id {
                batch.set_applied(event.task_id.clone(), message_id.clone());
            }
        }
        batch
    }

    fn save(&mut self, batch: &TaskBatch) {
        for changed in batch.changed() {
            let stored = self.tasks.iter_mut().find(|task| task.task_id == changed.task_id);
            stored.unwrap().clone_from(changed);
        }
        for event in batch.events() {
            self.events
                .entry(event.task_id.clone())
                .or_default()
                .push(event.clone());
        }
    }
}

impl System for Rules {
    async fn create(&mut self, task: &Task) -> TaskCreated {
        let mut admission = TaskAdmission::new(MAX_OPEN);
        self.tasks.iter().for_each(|task| admission.set_known(task.clone()));
        admission.judge(task).unwrap_or_else(|| {
            let (task, event) = created(task);
            self.tasks.push(task.clone());
            self.events.insert(task.task_id.clone(), vec![event.clone()]);
            TaskCreated::New(Box::new(task), vec![event])
        })
    }

    async fn claim(&mut self, query: &TaskClaimQuery) -> Vec<(Task, Vec<StoredTaskEvent>)> {
        if let Some((token, claimed)) = &self.claimed
            && *token == query.token
            && !claimed.is_empty()
        {
            return claimed.clone();
        }
        let mut waiting: Vec<&Task> = self.tasks.iter().collect();
        waiting.sort_by_key(|task| (-task.priority, task.not_before));
        let mut batch = self.batch();
        let mut claimed = Vec::new();
        for task in waiting {
            if claimed.len() < query.max {
                claimed.extend(batch.claim(query, std::slice::from_ref(&task.task_id)));
            }
        }
        self.save(&batch);
        self.claimed = Some((query.token.clone(), claimed.clone()));
        claimed
    }

    async fn change(&mut self, task_id: &str, change: &TaskChange, now: Timestamp) -> TaskChanged {
        let mut batch = self.batch();
        let outcome = batch.apply(task_id, change, now);
        self.save(&batch);
        if let TaskChanged::Refused(TaskRefusal::Duplicate, task) = &outcome {
            assert_eq!(self.task(task_id).await.as_ref(), Some(&**task));
        }
        outcome
    }

    async fn tick(&mut self, now: Timestamp, cancel_grace_ms: i64) -> Vec<(Task, Vec<StoredTaskEvent>)> {
        let mut batch = self.batch();
        let ticked = batch.tick(cancel_grace_ms, now);
        self.save(&batch);
        ticked
    }

    async fn task(&mut self, task_id: &str) -> Option<Task> {
        self.tasks.iter().find(|task| task.task_id == task_id).cloned()
    }

    async fn events(&mut self, task_id: &str) -> Vec<StoredTaskEvent> {
        self.events.get(task_id).cloned().unwrap_or_default()
    }
}

impl System for Arc<dyn Store> {
    async fn create(&mut self, task: &Task) -> TaskCreated {
        let mut outcomes = self.create_tasks(std::slice::from_ref(task), MAX_OPEN).await.unwrap();
        outcomes.remove(0)
    }

    async fn claim(&mut self, query: &TaskClaimQuery) -> Vec<(Task, Vec<StoredTaskEvent>)> {
        self.claim_tasks(query).await.unwrap()
    }

    async fn change(&mut self, task_id: &str, change: &TaskChange, now: Timestamp) -> TaskChanged {
        let changes = [(task_id.to_owned(), change.clone())];
        self.change_tasks(&changes, now).await.unwrap().remove(0)
    }

    async fn tick(&mut self, now: Timestamp, cancel_grace_ms: i64) -> Vec<(Task, Vec<StoredTaskEvent>)> {
        self.tick_tasks(now, cancel_grace_ms, 100_000).await.unwrap()
    }

    async fn task(&mut self, task_id: &str) -> Option<Task> {
        (**self).task(task_id).await.unwrap()
    }

    async fn events(&mut self, task_id: &str) -> Vec<StoredTaskEvent> {
        self.task_events(task_id, 0, 1_000).await.unwrap()
    }
}
