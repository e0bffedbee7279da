//! Tasks in PostgreSQL: lists and counts here, changes in the files below.

mod changes;
mod claims;
mod create;
mod row;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;

use agentnet_protocol::Timestamp;
use agentnet_protocol::task::TaskState;
use async_trait::async_trait;
use sqlx::{Postgres, QueryBuilder, Row as _};

use self::row::{columns, event_columns, event_row, state_column, task_row, text_column};
use super::PostgresStore;
use super::error::failed;
use super::value::{Time, read, stored};
use crate::error::StoreError;
use crate::model::{
    Page, StoredTaskEvent, Task, TaskChange, TaskChanged, TaskClaimQuery, TaskCreated, TaskParts, TaskQuery,
};
use crate::page::{fetch_limit, page};
use crate::store::Tasks;

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM agent_tasks WHERE task_id = $1");

const EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM agent_task_events WHERE task_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
);

/// The last event of each task.
const LATEST_EVENTS: &str = concat!(
    "SELECT last.* FROM unnest($1::text[]) AS wanted (wanted_id) CROSS JOIN LATERAL (SELECT ",
    event_columns!(),
    " FROM agent_task_events WHERE task_id = wanted_id ORDER BY seq DESC LIMIT 1) AS last"
);

const CHILDREN: &str = "SELECT task_id, open, done FROM agent_task_parts WHERE task_id = ANY($1)";

const OPEN_CHILDREN: &str = "SELECT task_id FROM agent_tasks WHERE parent_task_id IS NOT NULL AND parent_task_id = $1 \
     AND state IN ('submitted', 'working', 'input_required', 'auth_required') AND cancel_requested_at IS NULL LIMIT $2";

const CHILDREN_WITH_CHILDREN: &str = "SELECT task_id FROM agent_task_parts \
     WHERE parent_task_id IS NOT NULL AND parent_task_id = $1 LIMIT $2";

const COUNTS: &str = "SELECT state, count(*) AS tasks FROM agent_tasks GROUP BY state";

#[async_trait]
impl Tasks for PostgresStore {
    async fn create_tasks(&self, tasks: &[Task], max_open: i64) -> Result<Vec<TaskCreated>, StoreError> {
        create::create_tasks(self, tasks, max_open).await
    }

    async fn task(&self, task_id: &str) -> Result<Option<Task>, StoreError> {
        let row = sqlx::query(BY_ID)
            .bind(stored(task_id))
            .fetch_optional(self.pool()?)
            .await
            .map_err(failed)?;
        row.as_ref().map(task_row).transpose().map_err(failed)
    }

    async fn change_tasks(
        &self,
        changes: &[(String, TaskChange)],
        now: Timestamp,
    ) -> Result<Vec<TaskChanged>, StoreError> {
        changes::change_tasks(self, changes, now).await
    }

    async fn claim_tasks(&self, query: &TaskClaimQuery) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError> {
        claims::claim_tasks(self, query).await
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
        let rows = page_query(query)
            .build()
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        page(&rows, query.limit, |row| task_row(row).map_err(failed))
    }

    async fn task_children(&self, task_ids: &[String]) -> Result<Vec<(String, TaskParts)>, StoreError> {
        let rows = sqlx::query(CHILDREN)
            .bind(task_ids.iter().map(|task_id| stored(task_id)).collect::<Vec<_>>())
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        let counts = rows.iter().map(|row| {
            let parts = TaskParts {
                open: row.try_get("open")?,
                done: row.try_get("done")?,
            };
            Ok((text_column(row, "task_id")?, parts))
        });
        counts.collect::<Result<_, sqlx::Error>>().map_err(failed)
    }

    async fn open_children(&self, task_id: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let children: Vec<String> = sqlx::query_scalar(OPEN_CHILDREN)
            .bind(stored(task_id))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        Ok(children.into_iter().map(read).collect())
    }

    async fn children_with_children(&self, task_id: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let children: Vec<String> = sqlx::query_scalar(CHILDREN_WITH_CHILDREN)
            .bind(stored(task_id))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        Ok(children.into_iter().map(read).collect())
    }

    async fn task_events(&self, task_id: &str, after: i64, limit: usize) -> Result<Vec<StoredTaskEvent>, StoreError> {
        let rows = sqlx::query(EVENTS)
            .bind(stored(task_id))
            .bind(after)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| event_row(row).map_err(failed)).collect()
    }

    async fn latest_task_events(&self, task_ids: &[String]) -> Result<Vec<StoredTaskEvent>, StoreError> {
        let wanted: BTreeSet<&str> = task_ids.iter().map(String::as_str).collect();
        let rows = sqlx::query(LATEST_EVENTS)
            .bind(wanted.into_iter().map(stored).collect::<Vec<_>>())
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| event_row(row).map_err(failed)).collect()
    }

    async fn task_counts(&self) -> Result<Vec<(TaskState, i64)>, StoreError> {
        let rows = sqlx::query(COUNTS).fetch_all(self.pool()?).await.map_err(failed)?;
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

/// The statement of one page: it walks the index of each state, merges what they give, and reads the tasks of the page.
fn page_query(query: &TaskQuery) -> QueryBuilder<Postgres> {
    let filters = [
        ("parent_task_id", &query.parent_task_id),
        ("coordinator_account_id", &query.coordinator_account_id),
        ("assignee_account_id", &query.assignee_account_id),
        ("capability", &query.capability),
    ];
    let mut sql = QueryBuilder::new(concat!("SELECT ", columns!(), " FROM (SELECT * FROM ("));
    for (place, state) in query.listed_states().enumerate() {
        sql.push(if place > 0 { " UNION ALL (" } else { "(" })
            .push("SELECT seq AS page_seq, updated_at AS page_at, task_id AS page_id FROM agent_tasks WHERE state = ")
            .push_bind(state.as_str());
        for (column, value) in &filters {
            if let Some(value) = value {
                sql.push(" AND ")
                    .push(column)
                    .push(" IS NOT NULL AND ")
                    .push(column)
                    .push(" = ")
                    .push_bind(stored(value).into_owned());
            }
        }
        if let Some(since) = query.since {
            sql.push(" AND updated_at >= ").push_bind(Time(since));
        }
        if let Some(before) = &query.before {
            sql.push(" AND (updated_at, task_id) < (")
                .push_bind(Time(before.at))
                .push(", ")
                .push_bind(stored(&before.id).into_owned())
                .push(")");
        }
        sql.push(" ORDER BY updated_at DESC, task_id DESC LIMIT ")
            .push_bind(fetch_limit(query.limit))
            .push(")");
    }
    sql.push(") AS merged ORDER BY page_at DESC, page_id DESC LIMIT ")
        .push_bind(fetch_limit(query.limit))
        .push(") AS page JOIN agent_tasks ON seq = page_seq ORDER BY page_at DESC, page_id DESC");
    sql
}
