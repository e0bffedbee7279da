//! Tasks in SQLite: lists and counts here, changes in the files below.

mod changes;
mod claim_queue;
mod claims;
mod create;
mod read;
mod row;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;

use agentnet_protocol::Timestamp;
use agentnet_protocol::task::TaskState;
use async_trait::async_trait;
use sqlx::Row as _;

pub(super) use self::claim_queue::ClaimQueue;
use self::read::{CHILDREN_WITH_CHILDREN, COUNTS, EVENTS, OPEN_CHILDREN, page_query};
use self::row::{event_row, state_column, task_row};
use super::SqliteStore;
use super::error::failed;
use crate::error::StoreError;
use crate::model::{
    Page, StoredTaskEvent, Task, TaskChange, TaskChanged, TaskClaimQuery, TaskCreated, TaskParts, TaskQuery,
};
use crate::page::page;
use crate::store::Tasks;

#[async_trait]
impl Tasks for SqliteStore {
    async fn create_tasks(&self, tasks: &[Task], max_open: i64) -> Result<Vec<TaskCreated>, StoreError> {
        create::create_tasks(self, tasks, max_open).await
    }

    async fn task(&self, task_id: &str) -> Result<Option<Task>, StoreError> {
        let mut connection = self.read.acquire().await.map_err(failed)?;
        let found = read::tasks_by_id(&mut connection, &BTreeSet::from([task_id])).await;
        Ok(found.map_err(failed)?.pop())
    }

    async fn change_tasks(
        &self,
        changes: &[(String, TaskChange)],
        now: Timestamp,
    ) -> Result<Vec<TaskChanged>, StoreError> {
        changes::change_tasks(self, changes, now).await
    }

    async fn claim_tasks(&self, query: &TaskClaimQuery) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError> {
        claim_queue::claim_tasks(self, query).await
    }

    async fn tick_tasks(
        &self,
        now: Timestamp,
        cancel_grace_ms: i64,
        limit: usize,
    ) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError> {
        changes::tick_tasks(self, now, cancel_grace_ms, limit).await
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>, StoreError> {
        let rows = page_query(query).build().fetch_all(&self.read).await.map_err(failed)?;
        page(&rows, query.limit, |row| task_row(row).map_err(failed))
    }

    async fn task_children(&self, task_ids: &[String]) -> Result<Vec<(String, TaskParts)>, StoreError> {
        let mut connection = self.read.acquire().await.map_err(failed)?;
        read::children(&mut connection, task_ids).await.map_err(failed)
    }

    async fn open_children(&self, task_id: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(OPEN_CHILDREN)
            .bind(task_id)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.read)
            .await
            .map_err(failed)
    }

    async fn children_with_children(&self, task_id: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(CHILDREN_WITH_CHILDREN)
            .bind(task_id)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.read)
            .await
            .map_err(failed)
    }

    async fn task_events(&self, task_id: &str, after: i64, limit: usize) -> Result<Vec<StoredTaskEvent>, StoreError> {
        let rows = sqlx::query(EVENTS)
            .bind(task_id)
            .bind(after)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| event_row(row).map_err(failed)).collect()
    }

    async fn latest_task_events(&self, task_ids: &[String]) -> Result<Vec<StoredTaskEvent>, StoreError> {
        let mut connection = self.read.acquire().await.map_err(failed)?;
        read::latest_events(&mut connection, task_ids).await.map_err(failed)
    }

    async fn task_counts(&self) -> Result<Vec<(TaskState, i64)>, StoreError> {
        let rows = sqlx::query(COUNTS).fetch_all(&self.read).await.map_err(failed)?;
        rows.iter()
            .map(|row| {
                let count = row.try_get("tasks").map_err(failed)?;
                Ok((state_column(row).map_err(failed)?, count))
            })
            .collect()
    }

    async fn prune_tasks(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        changes::prune_tasks(self, before, limit).await
    }
}
