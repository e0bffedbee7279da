//! Writing tasks and their events.

use agentnet_protocol::{RawJson, Timestamp};
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::row::{columns, event_columns};
use crate::model::{StoredTaskEvent, Task, TaskTarget};
use crate::sqlite::statement_batches::statement_batches;
use crate::task_admission::TaskAdmission;
use crate::task_batch::TaskBatch;
use crate::task_rules::due_at;

const INSERT: &str = concat!("INSERT INTO agent_tasks (", columns!(), ", due_at) ");

macro_rules! changing {
    ($first:literal, $($column:literal),*) => {
        /// What changes of a task, and its key.
        pub(super) const NEW: &str = concat!("WITH new (task_id, ", $first, $(", ", $column,)* ") AS (");
        /// The name of the table stands for the stored row.
        pub(super) const UPDATE: &str = concat!(
            ") UPDATE agent_tasks SET ", $first, " = new.", $first, $(", ", $column, " = new.", $column,)*
            " FROM new WHERE agent_tasks.task_id = new.task_id"
        );
        /// The number of the values of a row of [`NEW`].
        #[cfg(test)]
        pub(super) const CHANGING: usize = 1 + [$first, $($column),*].len();
    };
}

changing!(
    "assignee_account_id",
    "worker_account_id",
    "delivery",
    "not_before",
    "deadline_at",
    "max_attempts",
    "state",
    "attempt",
    "lease",
    "lease_session",
    "lease_until",
    "heartbeat_at",
    "cancel_requested_at",
    "finish_id",
    "unconfirmed",
    "releases",
    "code",
    "progress_count",
    "percent",
    "phase",
    "message_id",
    "event_count",
    "event_bytes",
    "updated_at",
    "finished_at",
    "detail",
    "latest_text",
    "latest_progress_text",
    "input",
    "checkpoint",
    "result",
    "due_at",
    "revision"
);

const ADD_PARTS: &str = "INSERT INTO agent_task_parts (task_id, parent_task_id, open, done) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (task_id) DO UPDATE SET open = open + excluded.open, done = done + excluded.done";
const END_PARTS: &str = "UPDATE agent_task_parts SET open = open - ?2, done = done + ?2 WHERE task_id = ?1";

const INSERT_EVENTS: &str = concat!("INSERT INTO agent_task_events (", event_columns!(), ") ");

/// Stores new tasks and their first events, and counts them as parts of their parents.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    tasks: &[(Task, StoredTaskEvent)],
    admission: &TaskAdmission,
) -> Result<(), sqlx::Error> {
    for run in statement_batches(tasks) {
        let mut sql = QueryBuilder::<Sqlite>::new(INSERT);
        sql.push_values(run, |mut row, (task, _)| push_task(&mut row, task));
        sql.build().execute(&mut *connection).await?;
    }
    for new in admission.new_parts(tasks.iter().map(|(task, _)| task)) {
        sqlx::query(ADD_PARTS)
            .bind(new.task_id)
            .bind(new.parent_task_id)
            .bind(new.parts.open)
            .bind(new.parts.done)
            .execute(&mut *connection)
            .await?;
    }
    let events: Vec<&StoredTaskEvent> = tasks.iter().map(|(_, event)| event).collect();
    insert_events(connection, &events).await
}

/// Writes what a call has changed.
pub(super) async fn save(connection: &mut SqliteConnection, batch: &TaskBatch) -> Result<(), sqlx::Error> {
    for run in statement_batches(&batch.changed()) {
        let mut sql = QueryBuilder::<Sqlite>::new(NEW);
        sql.push_values(run, |mut row, task| push_change(&mut row, task));
        sql.push(UPDATE).build().execute(&mut *connection).await?;
    }
    for (parent, ended) in batch.ended_parts() {
        sqlx::query(END_PARTS)
            .bind(parent)
            .bind(ended)
            .execute(&mut *connection)
            .await?;
    }
    let events: Vec<&StoredTaskEvent> = batch.events().iter().collect();
    insert_events(connection, &events).await
}

async fn insert_events(connection: &mut SqliteConnection, events: &[&StoredTaskEvent]) -> Result<(), sqlx::Error> {
    for run in statement_batches(events) {
        let mut sql = QueryBuilder::<Sqlite>::new(INSERT_EVENTS);
        sql.push_values(run, |mut row, event| {
            row.push_bind(event.task_id.clone())
                .push_bind(event.seq)
                .push_bind(event.at.as_micros())
                .push_bind(event.kind.clone())
                .push_bind(event.attempt)
                .push_bind(event.state.map(|state| state.as_str()))
                .push_bind(event.from_account_id.clone())
                .push_bind(event.message_id.clone())
                .push_bind(event.text.clone())
                .push_bind(json(event.data.as_ref()));
        });
        sql.build().execute(&mut *connection).await?;
    }
    Ok(())
}

type Row<'a> = Separated<'a, Sqlite, &'static str>;

/// The values of [`columns`] and of `due_at`.
fn push_task(row: &mut Row<'_>, task: &Task) {
    let capability = match &task.target {
        TaskTarget::Capability(capability) => Some(capability.clone()),
        TaskTarget::Account(_) => None,
    };
    let lease = task.lease.as_ref();
    row.push_bind(task.task_id.clone())
        .push_bind(task.coordinator_account_id.clone())
        .push_bind(task.coordinator.clone())
        .push_bind(task.idempotency_key.clone())
        .push_bind(task.content_sha256.clone())
        .push_bind(capability)
        .push_bind(assignee(task))
        .push_bind(task.worker_account_id.clone())
        .push_bind(task.delivery.as_str())
        .push_bind(task.thread_id.clone())
        .push_bind(task.parent_task_id.clone())
        .push_bind(task.priority)
        .push_bind(task.not_before.as_micros())
        .push_bind(micros(task.deadline_at))
        .push_bind(task.max_attempts)
        .push_bind(task.backoff_ms)
        .push_bind(task.heartbeat_ms)
        .push_bind(task.state.as_str())
        .push_bind(task.attempt)
        .push_bind(lease.map(|lease| lease.token.clone()))
        .push_bind(lease.map(|lease| lease.session_tag.clone()))
        .push_bind(lease.map(|lease| lease.until.as_micros()))
        .push_bind(micros(task.heartbeat_at))
        .push_bind(micros(task.cancel_requested_at))
        .push_bind(task.finish_id.clone())
        .push_bind(task.unconfirmed)
        .push_bind(task.releases)
        .push_bind(task.is_assigned_by_message)
        .push_bind(task.code.clone())
        .push_bind(task.progress_count)
        .push_bind(task.percent)
        .push_bind(task.phase.clone())
        .push_bind(task.message_id.clone())
        .push_bind(task.event_count)
        .push_bind(task.event_bytes)
        .push_bind(task.revision)
        .push_bind(task.created_at.as_micros())
        .push_bind(task.updated_at.as_micros())
        .push_bind(micros(task.finished_at))
        .push_bind(task.title.clone())
        .push_bind(task.detail.clone())
        .push_bind(task.metadata.get().to_owned())
        .push_bind(task.text.clone())
        .push_bind(task.latest_text.clone())
        .push_bind(task.latest_progress_text.clone())
        .push_bind(json(task.input.as_ref()))
        .push_bind(json(task.checkpoint.as_ref()))
        .push_bind(json(task.result.as_ref()))
        .push_bind(json(task.payload.as_ref()))
        .push_bind(micros(due_at(task)));
}

/// The values of the key and of the columns that change.
fn push_change(row: &mut Row<'_>, task: &Task) {
    let lease = task.lease.as_ref();
    row.push_bind(task.task_id.clone())
        .push_bind(assignee(task))
        .push_bind(task.worker_account_id.clone())
        .push_bind(task.delivery.as_str())
        .push_bind(task.not_before.as_micros())
        .push_bind(micros(task.deadline_at))
        .push_bind(task.max_attempts)
        .push_bind(task.state.as_str())
        .push_bind(task.attempt)
        .push_bind(lease.map(|lease| lease.token.clone()))
        .push_bind(lease.map(|lease| lease.session_tag.clone()))
        .push_bind(lease.map(|lease| lease.until.as_micros()))
        .push_bind(micros(task.heartbeat_at))
        .push_bind(micros(task.cancel_requested_at))
        .push_bind(task.finish_id.clone())
        .push_bind(task.unconfirmed)
        .push_bind(task.releases)
        .push_bind(task.code.clone())
        .push_bind(task.progress_count)
        .push_bind(task.percent)
        .push_bind(task.phase.clone())
        .push_bind(task.message_id.clone())
        .push_bind(task.event_count)
        .push_bind(task.event_bytes)
        .push_bind(task.updated_at.as_micros())
        .push_bind(micros(task.finished_at))
        .push_bind(task.detail.clone())
        .push_bind(task.latest_text.clone())
        .push_bind(task.latest_progress_text.clone())
        .push_bind(json(task.input.as_ref()))
        .push_bind(json(task.checkpoint.as_ref()))
        .push_bind(json(task.result.as_ref()))
        .push_bind(micros(due_at(task)))
        .push_bind(task.revision);
}

/// The account that a task is for, else that of its worker.
fn assignee(task: &Task) -> Option<String> {
    task.assignee_account_id().map(str::to_owned)
}

fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_micros)
}

fn json(value: Option<&RawJson>) -> Option<String> {
    value.map(|value| value.get().to_owned())
}
