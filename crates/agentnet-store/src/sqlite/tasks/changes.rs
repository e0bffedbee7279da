//! Changing tasks: what workers and coordinators ask for, what time does, and deleting old ones.

use std::collections::{BTreeMap, BTreeSet};

use agentnet_protocol::Timestamp;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::read::{tasks_by_id, tasks_by_seq};
use super::write::save;
use crate::error::StoreError;
use crate::model::{StoredTaskEvent, Task, TaskChange, TaskChanged};
use crate::sqlite::SqliteStore;
use crate::sqlite::error::failed;
use crate::sqlite::statement_batches::statement_batches;
use crate::task_batch::{TaskBatch, repeatable_ids, task_ids};

/// Which of these messages and ends of attempts were applied.
pub(super) const APPLIED: &str = ") SELECT e.task_id, e.message_id FROM wanted CROSS JOIN agent_task_events e \
     INDEXED BY idx_agent_task_events_message ON e.task_id = wanted.task_id AND e.message_id = wanted.message_id \
     AND e.message_id IS NOT NULL";

/// Tasks whose lease or deadline is over, and tasks that should have stopped.
pub(super) const DUE: &str = "SELECT seq FROM agent_tasks INDEXED BY idx_agent_tasks_due \
     WHERE due_at IS NOT NULL AND due_at <= ?1 UNION ALL \
     SELECT seq FROM agent_tasks INDEXED BY idx_agent_tasks_cancel \
     WHERE cancel_requested_at IS NOT NULL AND cancel_requested_at <= ?2 LIMIT ?3";

/// Tasks that ended before a time and have no parts.
pub(super) const OLD: &str = "SELECT task_id, parent_task_id FROM agent_tasks AS old INDEXED BY idx_agent_tasks_finished \
     WHERE finished_at IS NOT NULL AND finished_at < ?1 \
     AND NOT EXISTS (SELECT 1 FROM agent_task_parts AS parts WHERE parts.task_id = old.task_id) \
     ORDER BY finished_at LIMIT ?2";

const FORGET_PARTS: &str = "UPDATE agent_task_parts SET done = done - ?2 WHERE task_id = ?1";
const DELETE_COUNTS: &str = "DELETE FROM agent_task_parts WHERE task_id = ?1 AND open = 0 AND done = 0";

/// What [`Tasks::change_tasks`](crate::store::Tasks::change_tasks) says.
pub(super) async fn change_tasks(
    store: &SqliteStore,
    changes: &[(String, TaskChange)],
    now: Timestamp,
) -> Result<Vec<TaskChanged>, StoreError> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = store.begin_write().await?;
    let mut batch = load(&mut transaction, changes).await.map_err(failed)?;
    let outcomes = batch.apply_all(changes, now);
    if batch.changed().is_empty() {
        transaction.rollback().await.map_err(failed)?;
        return Ok(outcomes);
    }
    save(&mut transaction, &batch).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    store.check_file()?;
    Ok(outcomes)
}

async fn load(connection: &mut SqliteConnection, changes: &[(String, TaskChange)]) -> Result<TaskBatch, sqlx::Error> {
    let mut batch = TaskBatch::new(tasks_by_id(connection, &task_ids(changes)).await?);
    for run in statement_batches(&repeatable_ids(changes).into_iter().collect::<Vec<_>>()) {
        let mut sql = QueryBuilder::<Sqlite>::new("WITH wanted (task_id, message_id) AS (");
        sql.push_values(run, |mut row, (task_id, message_id)| {
            row.push_bind((*task_id).to_owned()).push_bind((*message_id).to_owned());
        });
        for row in sql.push(APPLIED).build().fetch_all(&mut *connection).await? {
            batch.set_applied(row.try_get("task_id")?, row.try_get("message_id")?);
        }
    }
    Ok(batch)
}

/// What [`Tasks::tick_tasks`](crate::store::Tasks::tick_tasks) says.
pub(super) async fn tick_tasks(
    store: &SqliteStore,
    now: Timestamp,
    cancel_grace_ms: i64,
    limit: usize,
) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError> {
    store.check_file()?;
    let stopped_by = now.saturating_add_millis(-i128::from(cancel_grace_ms));
    let due = || {
        sqlx::query_scalar::<_, i64>(DUE)
            .bind(now.as_micros())
            .bind(stopped_by.as_micros())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    };
    // Mostly nothing is due: that needs no write lock.
    if due().fetch_optional(&store.read).await.map_err(failed)?.is_none() {
        return Ok(Vec::new());
    }
    let mut transaction = store.begin_write().await?;
    let due = due().fetch_all(&mut *transaction).await.map_err(failed)?;
    // One may be due for both reasons.
    let due: BTreeSet<i64> = due.into_iter().collect();
    let due: Vec<i64> = due.into_iter().collect();
    let tasks = tasks_by_seq(&mut transaction, &due).await.map_err(failed)?;
    let mut batch = TaskBatch::new(tasks);
    let ticked = batch.tick(cancel_grace_ms, now);
    save(&mut transaction, &batch).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(ticked)
}

/// What [`Tasks::prune_tasks`](crate::store::Tasks::prune_tasks) says.
pub(super) async fn prune_tasks(store: &SqliteStore, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
    store.check_file()?;
    let old = || {
        sqlx::query(OLD)
            .bind(before.as_micros())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    };
    // Mostly nothing is old: that needs no write lock.
    if old().fetch_optional(&store.read).await.map_err(failed)?.is_none() {
        return Ok(0);
    }
    let mut transaction = store.begin_write().await?;
    let rows = old().fetch_all(&mut *transaction).await.map_err(failed)?;
    delete(&mut transaction, &rows).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(rows.len() as u64)
}

/// Deletes the tasks of these rows of [`OLD`] with their events. They count no more as parts.
async fn delete(connection: &mut SqliteConnection, rows: &[SqliteRow]) -> Result<(), sqlx::Error> {
    let mut ids: Vec<String> = Vec::with_capacity(rows.len());
    let mut parts: BTreeMap<String, i64> = BTreeMap::new();
    for row in rows {
        ids.push(row.try_get("task_id")?);
        let parent: Option<String> = row.try_get("parent_task_id")?;
        if let Some(parent) = parent {
            *parts.entry(parent).or_default() += 1;
        }
    }
    for run in statement_batches(&ids) {
        for table in ["agent_task_events", "agent_tasks"] {
            let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM ");
            sql.push(table).push(" WHERE task_id IN (");
            let mut ids = sql.separated(", ");
            for task_id in run {
                ids.push_bind(task_id.clone());
            }
            sql.push(")").build().execute(&mut *connection).await?;
        }
    }
    for (parent, count) in &parts {
        sqlx::query(FORGET_PARTS)
            .bind(parent)
            .bind(count)
            .execute(&mut *connection)
            .await?;
        sqlx::query(DELETE_COUNTS)
            .bind(parent)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
