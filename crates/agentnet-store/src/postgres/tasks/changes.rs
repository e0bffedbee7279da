//! Changing tasks: what workers and coordinators ask for, what time does, and deleting old ones.
//!
//! Changes lock their tasks in the order of the ids; whoever goes through the tasks of others skips those that are locked.

use std::collections::BTreeMap;

use agentnet_protocol::Timestamp;
use sqlx::PgConnection;
use sqlx::postgres::PgPool;

use super::row::{columns, task_row, text_column};
use super::write::{count_parts, save};
use crate::error::StoreError;
use crate::model::{StoredTaskEvent, Task, TaskChange, TaskChanged, TaskParts};
use crate::postgres::error::failed;
use crate::postgres::value::{Time, read, stored};
use crate::postgres::{PostgresStore, retry_on_conflict};
use crate::task_batch::{TaskBatch, repeatable_ids, task_ids};

const LOCK: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_tasks WHERE task_id = ANY($1) ORDER BY task_id FOR UPDATE"
);

/// Which of these messages and ends of attempts were applied.
const APPLIED: &str = "SELECT e.task_id, e.message_id FROM unnest($1::text[], $2::text[]) AS wanted (task_id, message_id) \
     JOIN agent_task_events e ON e.task_id = wanted.task_id AND e.message_id = wanted.message_id \
     AND e.message_id IS NOT NULL";

/// Tasks whose lease or deadline is over, and tasks that should have stopped.
pub(super) const DUE: &str = "(SELECT seq FROM agent_tasks WHERE due_at IS NOT NULL AND due_at <= $1 \
     ORDER BY due_at LIMIT $3) UNION ALL (SELECT seq FROM agent_tasks WHERE cancel_requested_at IS NOT NULL \
     AND cancel_requested_at <= $2 ORDER BY cancel_requested_at LIMIT $3) LIMIT $3";

const LOCK_DUE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_tasks WHERE seq = ANY($1) FOR UPDATE SKIP LOCKED"
);

/// Tasks that ended before a time and have no parts.
pub(super) const OLD: &str = "SELECT task_id FROM agent_tasks old WHERE finished_at IS NOT NULL AND finished_at < $1 \
     AND NOT EXISTS (SELECT 1 FROM agent_task_parts parts WHERE parts.task_id = old.task_id) \
     ORDER BY finished_at LIMIT $2";

const LOCK_OLD: &str = "SELECT task_id FROM agent_tasks WHERE task_id = ANY($1) AND finished_at IS NOT NULL \
     AND finished_at < $2 FOR UPDATE SKIP LOCKED";
/// A part may have come since they were found; while they are locked, none comes.
const DELETE: &str = "DELETE FROM agent_tasks old WHERE task_id = ANY($1) \
     AND NOT EXISTS (SELECT 1 FROM agent_task_parts parts WHERE parts.task_id = old.task_id) \
     RETURNING task_id, parent_task_id";
const DELETE_COUNTS: &str = "DELETE FROM agent_task_parts WHERE task_id = ANY($1) AND open = 0 AND done = 0";
const DELETE_EVENTS: &str = "DELETE FROM agent_task_events WHERE task_id = ANY($1)";

/// What [`Tasks::change_tasks`](crate::store::Tasks::change_tasks) says.
pub(super) async fn change_tasks(
    store: &PostgresStore,
    changes: &[(String, TaskChange)],
    now: Timestamp,
) -> Result<Vec<TaskChanged>, StoreError> {
    let pool = store.pool()?;
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    retry_on_conflict!(change_once(pool, changes, now))
}

async fn change_once(
    pool: &PgPool,
    changes: &[(String, TaskChange)],
    now: Timestamp,
) -> Result<Vec<TaskChanged>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let mut batch = load(&mut transaction, changes).await?;
    let outcomes = batch.apply_all(changes, now);
    if batch.changed().is_empty() {
        transaction.rollback().await?;
        return Ok(outcomes);
    }
    save(&mut transaction, &batch).await?;
    transaction.commit().await?;
    Ok(outcomes)
}

async fn load(connection: &mut PgConnection, changes: &[(String, TaskChange)]) -> Result<TaskBatch, sqlx::Error> {
    let rows = sqlx::query(LOCK)
        .bind(task_ids(changes).into_iter().map(stored).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    let mut batch = TaskBatch::new(rows.iter().map(task_row).collect::<Result<_, _>>()?);
    let repeatable = repeatable_ids(changes);
    if !repeatable.is_empty() {
        let rows = sqlx::query(APPLIED)
            .bind(
                repeatable
                    .iter()
                    .map(|(task_id, _)| stored(task_id))
                    .collect::<Vec<_>>(),
            )
            .bind(repeatable.iter().map(|(_, id)| stored(id)).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await?;
        for row in &rows {
            batch.set_applied(text_column(row, "task_id")?, text_column(row, "message_id")?);
        }
    }
    Ok(batch)
}

/// What [`Tasks::tick_tasks`](crate::store::Tasks::tick_tasks) says.
pub(super) async fn tick_tasks(
    store: &PostgresStore,
    now: Timestamp,
    cancel_grace_ms: i64,
    limit: usize,
) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError> {
    let pool = store.pool()?;
    retry_on_conflict!(tick_once(pool, now, cancel_grace_ms, limit))
}

async fn tick_once(
    pool: &PgPool,
    now: Timestamp,
    cancel_grace_ms: i64,
    limit: usize,
) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, sqlx::Error> {
    let stopped_by = now.saturating_add_millis(-i128::from(cancel_grace_ms));
    // Mostly nothing is due: that needs no transaction.
    let due: Vec<i64> = sqlx::query_scalar(DUE)
        .bind(Time(now))
        .bind(Time(stopped_by))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = pool.begin().await?;
    let rows = sqlx::query(LOCK_DUE).bind(due).fetch_all(&mut *transaction).await?;
    let mut batch = TaskBatch::new(rows.iter().map(task_row).collect::<Result<_, _>>()?);
    let ticked = batch.tick(cancel_grace_ms, now);
    save(&mut transaction, &batch).await?;
    transaction.commit().await?;
    Ok(ticked)
}

/// What [`Tasks::prune_tasks`](crate::store::Tasks::prune_tasks) says.
pub(super) async fn prune_tasks(store: &PostgresStore, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let pool = store.pool()?;
    let old: Vec<String> = sqlx::query_scalar(OLD)
        .bind(Time(before))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    if old.is_empty() {
        return Ok(0);
    }
    retry_on_conflict!(prune_once(pool, &old, before))
}

/// `old` are ids as they are stored.
async fn prune_once(pool: &PgPool, old: &[String], before: Timestamp) -> Result<u64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let locked: Vec<String> = sqlx::query_scalar(LOCK_OLD)
        .bind(old)
        .bind(Time(before))
        .fetch_all(&mut *transaction)
        .await?;
    let deleted: Vec<(String, Option<String>)> = sqlx::query_as(DELETE)
        .bind(&locked)
        .fetch_all(&mut *transaction)
        .await?;
    let ids: Vec<&str> = deleted.iter().map(|(task_id, _)| task_id.as_str()).collect();
    sqlx::query(DELETE_EVENTS).bind(&ids).execute(&mut *transaction).await?;
    let parents: Vec<String> = deleted
        .iter()
        .filter_map(|(_, parent)| parent.clone().map(read))
        .collect();
    let mut counts: BTreeMap<&str, TaskParts> = BTreeMap::new();
    for parent in &parents {
        counts.entry(parent).or_default().done -= 1;
    }
    count_parts(&mut transaction, &counts).await?;
    sqlx::query(DELETE_COUNTS)
        .bind(counts.keys().map(|parent| stored(parent)).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(deleted.len() as u64)
}
