//! Reading tasks and their events.

use std::collections::{BTreeSet, HashMap};

use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::row::{columns, event_columns, event_row, task_row};
use crate::model::{StoredTaskEvent, Task, TaskParts, TaskQuery};
use crate::page::fetch_limit;
use crate::sqlite::statement_batches::statement_batches;

pub(super) const BY_ID: &str = concat!("SELECT ", columns!(), " FROM agent_tasks WHERE task_id IN (");
const BY_SEQ: &str = concat!("SELECT seq, ", columns!(), " FROM agent_tasks WHERE seq IN (");

pub(super) const EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM agent_task_events WHERE task_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"
);

/// The last event of each task.
pub(super) const LATEST_EVENTS: &str = ") SELECT e.task_id AS task_id, e.seq AS seq, e.at AS at, e.kind AS kind, \
     e.attempt AS attempt, e.state AS state, e.from_account_id AS from_account_id, e.message_id AS message_id, \
     e.text AS text, e.data AS data FROM wanted CROSS JOIN agent_task_events e ON e.task_id = wanted.task_id AND e.seq = \
     (SELECT MAX(seq) FROM agent_task_events last WHERE last.task_id = wanted.task_id)";

pub(super) const OPEN_CHILDREN: &str = "SELECT task_id FROM agent_tasks INDEXED BY idx_agent_tasks_parent \
     WHERE parent_task_id IS NOT NULL AND parent_task_id = ?1 \
     AND state IN ('submitted', 'working', 'input_required', 'auth_required') AND cancel_requested_at IS NULL LIMIT ?2";

pub(super) const CHILDREN_WITH_CHILDREN: &str = "SELECT task_id FROM agent_task_parts \
     INDEXED BY idx_agent_task_parts_parent WHERE parent_task_id IS NOT NULL AND parent_task_id = ?1 LIMIT ?2";

pub(super) const COUNTS: &str =
    "SELECT state, COUNT(*) AS tasks FROM agent_tasks INDEXED BY idx_agent_tasks_state GROUP BY state";

const CHILDREN: &str = "SELECT task_id, open, done FROM agent_task_parts WHERE task_id IN (";

/// The tasks with these ids, in any order.
pub(super) async fn tasks_by_id(
    connection: &mut SqliteConnection,
    task_ids: &BTreeSet<&str>,
) -> Result<Vec<Task>, sqlx::Error> {
    let mut tasks = Vec::with_capacity(task_ids.len());
    for run in statement_batches(&task_ids.iter().collect::<Vec<_>>()) {
        let mut sql = QueryBuilder::<Sqlite>::new(BY_ID);
        let mut ids = sql.separated(", ");
        for task_id in run {
            ids.push_bind((**task_id).to_owned());
        }
        for row in sql.push(")").build().fetch_all(&mut *connection).await? {
            tasks.push(task_row(&row)?);
        }
    }
    Ok(tasks)
}

/// The tasks with these numbers, in the order given.
pub(super) async fn tasks_by_seq(connection: &mut SqliteConnection, seqs: &[i64]) -> Result<Vec<Task>, sqlx::Error> {
    let mut by_seq: HashMap<i64, Task> = HashMap::with_capacity(seqs.len());
    for run in statement_batches(seqs) {
        let mut sql = QueryBuilder::<Sqlite>::new(BY_SEQ);
        let mut values = sql.separated(", ");
        for seq in run {
            values.push_bind(*seq);
        }
        for row in sql.push(")").build().fetch_all(&mut *connection).await? {
            by_seq.insert(row.try_get("seq")?, task_row(&row)?);
        }
    }
    Ok(seqs.iter().filter_map(|seq| by_seq.remove(seq)).collect())
}

/// The statement of one page: it walks the index of each state, merges what they give, and reads the tasks of the page.
pub(super) fn page_query(query: &TaskQuery) -> QueryBuilder<Sqlite> {
    let filters = [
        ("parent_task_id", &query.parent_task_id, "idx_agent_tasks_parent"),
        (
            "coordinator_account_id",
            &query.coordinator_account_id,
            "idx_agent_tasks_coordinator",
        ),
        (
            "assignee_account_id",
            &query.assignee_account_id,
            "idx_agent_tasks_assignee",
        ),
        ("capability", &query.capability, "idx_agent_tasks_capability"),
    ];
    let index = filters
        .iter()
        .find_map(|(_, value, index)| value.as_ref().map(|_| *index))
        .unwrap_or("idx_agent_tasks_state");
    let mut sql = QueryBuilder::new("WITH page (page_seq, page_at, page_id) AS (");
    for (place, state) in query.listed_states().enumerate() {
        sql.push(if place > 0 { " UNION ALL " } else { "" })
            .push("SELECT seq, updated_at, task_id FROM agent_tasks INDEXED BY ")
            .push(index)
            .push(" WHERE state = ")
            .push_bind(state.as_str());
        for (column, value, _) in &filters {
            if let Some(value) = value {
                sql.push(" AND ")
                    .push(column)
                    .push(" IS NOT NULL AND ")
                    .push(column)
                    .push(" = ")
                    .push_bind(value.clone());
            }
        }
        if let Some(since) = query.since {
            sql.push(" AND updated_at >= ").push_bind(since.as_micros());
        }
        if let Some(before) = &query.before {
            sql.push(" AND (updated_at, task_id) < (")
                .push_bind(before.at.as_micros());
            sql.push(", ").push_bind(before.id.clone()).push(")");
        }
    }
    sql.push(" ORDER BY updated_at DESC, task_id DESC LIMIT ")
        .push_bind(fetch_limit(query.limit));
    sql.push(concat!(
        ") SELECT ",
        columns!(),
        " FROM page CROSS JOIN agent_tasks ON seq = page_seq ORDER BY page_at DESC, page_id DESC"
    ));
    sql
}

/// How many stored parts each of these tasks has.
pub(super) async fn children(
    connection: &mut SqliteConnection,
    task_ids: &[String],
) -> Result<Vec<(String, TaskParts)>, sqlx::Error> {
    let task_ids: BTreeSet<&String> = task_ids.iter().collect();
    let mut counts = Vec::new();
    for run in statement_batches(&task_ids.into_iter().collect::<Vec<_>>()) {
        for row in children_query(run).build().fetch_all(&mut *connection).await? {
            let parts = TaskParts {
                open: row.try_get("open")?,
                done: row.try_get("done")?,
            };
            counts.push((row.try_get("task_id")?, parts));
        }
    }
    Ok(counts)
}

/// The statement of [`children`].
pub(super) fn children_query(task_ids: &[&String]) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(CHILDREN);
    let mut ids = sql.separated(", ");
    for task_id in task_ids {
        ids.push_bind((*task_id).clone());
    }
    sql.push(")");
    sql
}

/// The last event of each of these tasks.
pub(super) async fn latest_events(
    connection: &mut SqliteConnection,
    task_ids: &[String],
) -> Result<Vec<StoredTaskEvent>, sqlx::Error> {
    let task_ids: BTreeSet<&String> = task_ids.iter().collect();
    let mut events = Vec::with_capacity(task_ids.len());
    for run in statement_batches(&task_ids.into_iter().collect::<Vec<_>>()) {
        let mut sql = QueryBuilder::<Sqlite>::new("WITH wanted (task_id) AS (");
        sql.push_values(run, |mut row, task_id| {
            row.push_bind((*task_id).clone());
        });
        for row in sql.push(LATEST_EVENTS).build().fetch_all(&mut *connection).await? {
            events.push(event_row(&row)?);
        }
    }
    Ok(events)
}
