//! Tasks with a timeout on every call.

use agentnet_protocol::Timestamp;
use agentnet_protocol::task::TaskState;
use agentnet_store::model::{
    Page, StoredTaskEvent, Task, TaskChange, TaskChanged, TaskClaimQuery, TaskCreated, TaskParts, TaskQuery,
};
use agentnet_store::{StoreError, Tasks};
use async_trait::async_trait;

use super::ResilientStore;

#[async_trait]
impl Tasks for ResilientStore {
    async fn create_tasks(&self, tasks: &[Task], max_open: i64) -> Result<Vec<TaskCreated>, StoreError> {
        self.call(|| self.database.store.create_tasks(tasks, max_open)).await
    }

    async fn task(&self, task_id: &str) -> Result<Option<Task>, StoreError> {
        self.call(|| self.database.store.task(task_id)).await
    }

    async fn change_tasks(
        &self,
        changes: &[(String, TaskChange)],
        now: Timestamp,
    ) -> Result<Vec<TaskChanged>, StoreError> {
        self.call(|| self.database.store.change_tasks(changes, now)).await
    }

    async fn claim_tasks(&self, query: &TaskClaimQuery) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError> {
        self.call(|| self.database.store.claim_tasks(query)).await
    }

    async fn tick_tasks(
        &self,
        now: Timestamp,
        cancel_grace_ms: i64,
        limit: usize,
    ) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError> {
        self.call(|| self.database.store.tick_tasks(now, cancel_grace_ms, limit))
            .await
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>, StoreError> {
        self.call(|| self.database.store.tasks(query)).await
    }

    async fn task_children(&self, task_ids: &[String]) -> Result<Vec<(String, TaskParts)>, StoreError> {
        self.call(|| self.database.store.task_children(task_ids)).await
    }

    async fn open_children(&self, task_id: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.call(|| self.database.store.open_children(task_id, limit)).await
    }

    async fn children_with_children(&self, task_id: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.call(|| self.database.store.children_with_children(task_id, limit))
            .await
    }

    async fn task_events(&self, task_id: &str, after: i64, limit: usize) -> Result<Vec<StoredTaskEvent>, StoreError> {
        self.call(|| self.database.store.task_events(task_id, after, limit))
            .await
    }

    async fn latest_task_events(&self, task_ids: &[String]) -> Result<Vec<StoredTaskEvent>, StoreError> {
        self.call(|| self.database.store.latest_task_events(task_ids)).await
    }

    async fn task_counts(&self) -> Result<Vec<(TaskState, i64)>, StoreError> {
        self.call(|| self.database.store.task_counts()).await
    }

    async fn prune_tasks(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.call(|| self.database.store.prune_tasks(before, limit)).await
    }
}
