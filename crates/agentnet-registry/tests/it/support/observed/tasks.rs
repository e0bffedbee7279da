//! Tasks behind the line.

use agentnet_protocol::Timestamp;
use agentnet_protocol::task::TaskState;
use agentnet_store::model::{
    Page, StoredTaskEvent, Task, TaskChange, TaskChanged, TaskClaimQuery, TaskCreated, TaskParts, TaskQuery,
};
use agentnet_store::{StoreError, Tasks};
use async_trait::async_trait;

use super::Observed;

#[async_trait]
impl Tasks for Observed {
    async fn create_tasks(&self, tasks: &[Task], max_open: i64) -> Result<Vec<TaskCreated>, StoreError> {
        self.reach().await?;
        self.store.create_tasks(tasks, max_open).await
    }

    async fn task(&self, task_id: &str) -> Result<Option<Task>, StoreError> {
        self.reach().await?;
        self.store.task(task_id).await
    }

    async fn change_tasks(
        &self,
        changes: &[(String, TaskChange)],
        now: Timestamp,
    ) -> Result<Vec<TaskChanged>, StoreError> {
        self.reach().await?;
        self.store.change_tasks(changes, now).await
    }

    async fn claim_tasks(&self, query: &TaskClaimQuery) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError> {
        self.reach().await?;
        self.store.claim_tasks(query).await
    }

    async fn tick_tasks(
        &self,
        now: Timestamp,
        cancel_grace_ms: i64,
        limit: usize,
    ) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError> {
        self.reach().await?;
        self.store.tick_tasks(now, cancel_grace_ms, limit).await
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>, StoreError> {
        self.reach().await?;
        self.store.tasks(query).await
    }

    async fn task_children(&self, task_ids: &[String]) -> Result<Vec<(String, TaskParts)>, StoreError> {
        self.reach().await?;
        self.store.task_children(task_ids).await
    }

    async fn open_children(&self, task_id: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.reach().await?;
        self.store.open_children(task_id, limit).await
    }

    async fn children_with_children(&self, task_id: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.reach().await?;
        self.store.children_with_children(task_id, limit).await
    }

    async fn task_events(&self, task_id: &str, after: i64, limit: usize) -> Result<Vec<StoredTaskEvent>, StoreError> {
        self.reach().await?;
        self.store.task_events(task_id, after, limit).await
    }

    async fn latest_task_events(&self, task_ids: &[String]) -> Result<Vec<StoredTaskEvent>, StoreError> {
        self.reach().await?;
        self.store.latest_task_events(task_ids).await
    }

    async fn task_counts(&self) -> Result<Vec<(TaskState, i64)>, StoreError> {
        self.reach().await?;
        self.store.task_counts().await
    }

    async fn prune_tasks(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.reach().await?;
        self.store.prune_tasks(before, limit).await
    }
}
