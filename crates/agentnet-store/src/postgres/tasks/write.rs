//! Writing tasks and their events: one statement a table.

use std::borrow::Cow;
use std::collections::BTreeMap;

use agentnet_protocol::RawJson;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _};

use super::row::{columns, event_columns};
use crate::model::{StoredTaskEvent, Task, TaskParts, TaskTarget};
use crate::postgres::opt_stored;
use crate::postgres::value::{Time, read, stored};
use crate::task_admission::{NewParts, TaskAdmission};
use crate::task_batch::TaskBatch;
use crate::task_rules::due_at;

/// Numbers are given in the order of the call. A task whose id or key was stored in the meantime is left out.
const INSERT: &str = concat!(
    "INSERT INTO agent_tasks (",
    columns!(),
    ", due_at) SELECT ",
    columns!(),
    ", due_at FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], \
     $10::text[], $11::text[], $12::bigint[], $13::timestamptz[], $14::timestamptz[], $15::bigint[], $16::bigint[], \
     $17::bigint[], $18::text[], $19::bigint[], $20::text[], $21::text[], $22::timestamptz[], $23::timestamptz[], \
     $24::timestamptz[], $25::text[], $26::bigint[], $27::bigint[], $28::boolean[], $29::text[], $30::bigint[], \
     $31::bigint[], $32::text[], $33::text[], $34::bigint[], $35::bigint[], $36::bigint[], $37::timestamptz[], \
     $38::timestamptz[], $39::timestamptz[], $40::text[], $41::text[], $42::text[], $43::text[], $44::text[], \
     $45::text[], $46::text[], $47::text[], $48::text[], $49::text[], $50::timestamptz[]) \
     WITH ORDINALITY AS new (",
    columns!(),
    ", due_at, place) ORDER BY place ON CONFLICT DO NOTHING RETURNING task_id"
);

/// What changes of a task, without its texts and JSON values.
const UPDATE: &str = "UPDATE agent_tasks t SET assignee_account_id = new.assignee_account_id, worker_account_id = new.worker_account_id, \
     delivery = new.delivery, not_before = new.not_before, deadline_at = new.deadline_at, max_attempts = \
     new.max_attempts, state = new.state, attempt = new.attempt, lease = new.lease, lease_session = new.lease_session, \
     lease_until = new.lease_until, heartbeat_at = new.heartbeat_at, cancel_requested_at = new.cancel_requested_at, \
     due_at = new.due_at, finish_id = new.finish_id, unconfirmed = new.unconfirmed, releases = new.releases, code = \
     new.code, progress_count = new.progress_count, percent = new.percent, phase = new.phase, message_id = \
     new.message_id, event_count = new.event_count, event_bytes = new.event_bytes, revision = new.revision, updated_at \
     = new.updated_at, finished_at = new.finished_at, detail = new.detail FROM unnest($1::text[], $2::text[], \
     $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::bigint[], $8::text[], $9::bigint[], $10::text[], \
     $11::text[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[], $16::text[], \
     $17::bigint[], $18::bigint[], $19::text[], $20::bigint[], $21::bigint[], $22::text[], $23::text[], $24::bigint[], \
     $25::bigint[], $26::bigint[], $27::timestamptz[], $28::timestamptz[], $29::text[]) AS new (task_id, \
     assignee_account_id, worker_account_id, delivery, not_before, deadline_at, max_attempts, state, attempt, lease, \
     lease_session, lease_until, heartbeat_at, cancel_requested_at, due_at, finish_id, unconfirmed, releases, code, \
     progress_count, percent, phase, message_id, event_count, event_bytes, revision, updated_at, finished_at, detail) \
     WHERE t.task_id = new.task_id";

const UPDATE_CONTENTS: &str = "UPDATE agent_tasks t SET latest_text = new.latest_text, \
     latest_progress_text = new.latest_progress_text, input = new.input, checkpoint = new.checkpoint, result = new.result \
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) \
     AS new (task_id, latest_text, latest_progress_text, input, checkpoint, result) WHERE t.task_id = new.task_id";

/// In the order of the ids: rows of other transactions are waited for in this order.
const ADD_PARTS: &str = "INSERT INTO agent_task_parts AS parts (task_id, parent_task_id, open, done) \
     SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS new (task_id, parent_task_id, open, done) \
     ORDER BY task_id COLLATE \"C\" ON CONFLICT (task_id) \
     DO UPDATE SET open = parts.open + excluded.open, done = parts.done + excluded.done";
const LOCK_PARTS: &str = "SELECT 1 FROM agent_task_parts WHERE task_id = ANY($1) ORDER BY task_id FOR UPDATE";
const COUNT_PARTS: &str = "UPDATE agent_task_parts AS parts SET open = parts.open + new.open, done = parts.done + new.done \
     FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS new (task_id, open, done) WHERE parts.task_id = new.task_id";

const INSERT_EVENTS: &str = concat!(
    "INSERT INTO agent_task_events (",
    event_columns!(),
    ") SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::bigint[], $6::text[], $7::text[], \
     $8::text[], $9::text[], $10::text[])"
);

/// Stores new tasks and their first events, and counts them as parts of their parents; `false` if another transaction has stored one of them in the meantime.
pub(super) async fn insert(
    connection: &mut PgConnection,
    tasks: &[(Task, StoredTaskEvent)],
    admission: &TaskAdmission,
) -> Result<bool, sqlx::Error> {
    let new: Vec<&Task> = tasks.iter().map(|(task, _)| task).collect();
    let inserted = bind_whole(sqlx::query(INSERT), &new)
        .fetch_all(&mut *connection)
        .await?;
    let ids: Vec<String> = inserted
        .iter()
        .map(|row| row.try_get("task_id").map(read))
        .collect::<Result<_, _>>()?;
    if ids.len() < tasks.len() {
        return Ok(false);
    }
    let events: Vec<&StoredTaskEvent> = tasks.iter().map(|(_, event)| event).collect();
    insert_events(connection, &events).await?;
    let parts = admission.new_parts(new);
    if !parts.is_empty() {
        let parts: Vec<&NewParts> = parts.iter().collect();
        sqlx::query(ADD_PARTS)
            .bind(texts(&parts, |new| &new.task_id))
            .bind(opt_texts(&parts, |new| new.parent_task_id.as_deref()))
            .bind(values(&parts, |new| new.parts.open))
            .bind(values(&parts, |new| new.parts.done))
            .execute(connection)
            .await?;
    }
    Ok(true)
}

/// Adds to the numbers of open and ended parts of these tasks, in the order of their ids. Nothing is locked afterwards.
pub(super) async fn count_parts(
    connection: &mut PgConnection,
    counts: &BTreeMap<&str, TaskParts>,
) -> Result<(), sqlx::Error> {
    if counts.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = counts.keys().map(|task_id| stored(task_id)).collect();
    sqlx::query(LOCK_PARTS).bind(&ids).execute(&mut *connection).await?;
    sqlx::query(COUNT_PARTS)
        .bind(&ids)
        .bind(counts.values().map(|parts| parts.open).collect::<Vec<_>>())
        .bind(counts.values().map(|parts| parts.done).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes what a call has changed.
pub(super) async fn save(connection: &mut PgConnection, batch: &TaskBatch) -> Result<(), sqlx::Error> {
    let changed = batch.changed();
    if changed.is_empty() {
        return Ok(());
    }
    bind_changes(sqlx::query(UPDATE), &changed)
        .execute(&mut *connection)
        .await?;
    let contents = batch.changed_contents();
    if !contents.is_empty() {
        sqlx::query(UPDATE_CONTENTS)
            .bind(texts(&contents, |task| &task.task_id))
            .bind(texts(&contents, |task| &task.latest_text))
            .bind(opt_texts(&contents, |task| task.latest_progress_text.as_deref()))
            .bind(opt_texts(&contents, |task| task.input.as_ref().map(RawJson::get)))
            .bind(opt_texts(&contents, |task| task.checkpoint.as_ref().map(RawJson::get)))
            .bind(opt_texts(&contents, |task| task.result.as_ref().map(RawJson::get)))
            .execute(&mut *connection)
            .await?;
    }
    let events: Vec<&StoredTaskEvent> = batch.events().iter().collect();
    insert_events(connection, &events).await?;
    let ended = batch.ended_parts().map(|(parent, ended)| {
        let parts = TaskParts {
            open: -ended,
            done: ended,
        };
        (parent, parts)
    });
    count_parts(connection, &ended.collect()).await
}

async fn insert_events(connection: &mut PgConnection, events: &[&StoredTaskEvent]) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query(INSERT_EVENTS)
        .bind(texts(events, |event| &event.task_id))
        .bind(values(events, |event| event.seq))
        .bind(values(events, |event| Time(event.at)))
        .bind(texts(events, |event| &event.kind))
        .bind(values(events, |event| event.attempt))
        .bind(values(events, |event| event.state.map(|state| state.as_str())))
        .bind(opt_texts(events, |event| event.from_account_id.as_deref()))
        .bind(opt_texts(events, |event| event.message_id.as_deref()))
        .bind(opt_texts(events, |event| event.text.as_deref()))
        .bind(opt_texts(events, |event| event.data.as_ref().map(RawJson::get)))
        .execute(connection)
        .await?;
    Ok(())
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Binds [`columns`] and `due_at`.
fn bind_whole<'q>(sql: Statement<'q>, tasks: &[&'q Task]) -> Statement<'q> {
    sql.bind(texts(tasks, |task| &task.task_id))
        .bind(texts(tasks, |task| &task.coordinator_account_id))
        .bind(opt_texts(tasks, |task| task.coordinator.as_deref()))
        .bind(opt_texts(tasks, |task| task.idempotency_key.as_deref()))
        .bind(texts(tasks, |task| &task.content_sha256))
        .bind(opt_texts(tasks, capability))
        .bind(opt_texts(tasks, Task::assignee_account_id))
        .bind(opt_texts(tasks, |task| task.worker_account_id.as_deref()))
        .bind(values(tasks, |task| task.delivery.as_str()))
        .bind(texts(tasks, |task| &task.thread_id))
        .bind(opt_texts(tasks, |task| task.parent_task_id.as_deref()))
        .bind(values(tasks, |task| task.priority))
        .bind(values(tasks, |task| Time(task.not_before)))
        .bind(values(tasks, |task| task.deadline_at.map(Time)))
        .bind(values(tasks, |task| task.max_attempts))
        .bind(values(tasks, |task| task.backoff_ms))
        .bind(values(tasks, |task| task.heartbeat_ms))
        .bind(values(tasks, |task| task.state.as_str()))
        .bind(values(tasks, |task| task.attempt))
        .bind(opt_texts(tasks, |task| lease(task).0))
        .bind(opt_texts(tasks, |task| lease(task).1))
        .bind(values(tasks, |task| lease(task).2))
        .bind(values(tasks, |task| task.heartbeat_at.map(Time)))
        .bind(values(tasks, |task| task.cancel_requested_at.map(Time)))
        .bind(opt_texts(tasks, |task| task.finish_id.as_deref()))
        .bind(values(tasks, |task| task.unconfirmed))
        .bind(values(tasks, |task| task.releases))
        .bind(values(tasks, |task| task.is_assigned_by_message))
        .bind(opt_texts(tasks, |task| task.code.as_deref()))
        .bind(values(tasks, |task| task.progress_count))
        .bind(values(tasks, |task| task.percent))
        .bind(opt_texts(tasks, |task| task.phase.as_deref()))
        .bind(opt_texts(tasks, |task| task.message_id.as_deref()))
        .bind(values(tasks, |task| task.event_count))
        .bind(values(tasks, |task| task.event_bytes))
        .bind(values(tasks, |task| task.revision))
        .bind(values(tasks, |task| Time(task.created_at)))
        .bind(values(tasks, |task| Time(task.updated_at)))
        .bind(values(tasks, |task| task.finished_at.map(Time)))
        .bind(opt_texts(tasks, |task| task.title.as_deref()))
        .bind(opt_texts(tasks, |task| task.detail.as_deref()))
        .bind(texts(tasks, |task| task.metadata.get()))
        .bind(texts(tasks, |task| &task.text))
        .bind(texts(tasks, |task| &task.latest_text))
        .bind(opt_texts(tasks, |task| task.latest_progress_text.as_deref()))
        .bind(opt_texts(tasks, |task| task.input.as_ref().map(RawJson::get)))
        .bind(opt_texts(tasks, |task| task.checkpoint.as_ref().map(RawJson::get)))
        .bind(opt_texts(tasks, |task| task.result.as_ref().map(RawJson::get)))
        .bind(opt_texts(tasks, |task| task.payload.as_ref().map(RawJson::get)))
        .bind(values(tasks, |task| due_at(task).map(Time)))
}

/// Binds the values of [`UPDATE`].
fn bind_changes<'q>(sql: Statement<'q>, tasks: &[&'q Task]) -> Statement<'q> {
    sql.bind(texts(tasks, |task| &task.task_id))
        .bind(opt_texts(tasks, Task::assignee_account_id))
        .bind(opt_texts(tasks, |task| task.worker_account_id.as_deref()))
        .bind(values(tasks, |task| task.delivery.as_str()))
        .bind(values(tasks, |task| Time(task.not_before)))
        .bind(values(tasks, |task| task.deadline_at.map(Time)))
        .bind(values(tasks, |task| task.max_attempts))
        .bind(values(tasks, |task| task.state.as_str()))
        .bind(values(tasks, |task| task.attempt))
        .bind(opt_texts(tasks, |task| lease(task).0))
        .bind(opt_texts(tasks, |task| lease(task).1))
        .bind(values(tasks, |task| lease(task).2))
        .bind(values(tasks, |task| task.heartbeat_at.map(Time)))
        .bind(values(tasks, |task| task.cancel_requested_at.map(Time)))
        .bind(values(tasks, |task| due_at(task).map(Time)))
        .bind(opt_texts(tasks, |task| task.finish_id.as_deref()))
        .bind(values(tasks, |task| task.unconfirmed))
        .bind(values(tasks, |task| task.releases))
        .bind(opt_texts(tasks, |task| task.code.as_deref()))
        .bind(values(tasks, |task| task.progress_count))
        .bind(values(tasks, |task| task.percent))
        .bind(opt_texts(tasks, |task| task.phase.as_deref()))
        .bind(opt_texts(tasks, |task| task.message_id.as_deref()))
        .bind(values(tasks, |task| task.event_count))
        .bind(values(tasks, |task| task.event_bytes))
        .bind(values(tasks, |task| task.revision))
        .bind(values(tasks, |task| Time(task.updated_at)))
        .bind(values(tasks, |task| task.finished_at.map(Time)))
        .bind(opt_texts(tasks, |task| task.detail.as_deref()))
}

fn capability(task: &Task) -> Option<&str> {
    match &task.target {
        TaskTarget::Capability(capability) => Some(capability),
        TaskTarget::Account(_) => None,
    }
}

/// Token, session and end.
fn lease(task: &Task) -> (Option<&str>, Option<&str>, Option<Time>) {
    task.lease.as_ref().map_or((None, None, None), |lease| {
        (
            Some(lease.token.as_str()),
            Some(lease.session_tag.as_str()),
            Some(Time(lease.until)),
        )
    })
}

fn values<'q, R, T>(rows: &[&'q R], read: impl Fn(&'q R) -> T) -> Vec<T> {
    rows.iter().map(|row| read(row)).collect()
}

fn texts<'q, R>(rows: &[&'q R], read: impl Fn(&'q R) -> &'q str) -> Vec<Cow<'q, str>> {
    values(rows, |row| stored(read(row)))
}

fn opt_texts<'q, R>(rows: &[&'q R], read: impl Fn(&'q R) -> Option<&'q str>) -> Vec<Option<Cow<'q, str>>> {
    values(rows, |row| opt_stored(read(row)))
}
