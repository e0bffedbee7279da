//! Rows of tasks and their events.

use agentnet_protocol::task::TaskState;
use agentnet_protocol::{RawJson, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::model::{StoredTaskEvent, Task, TaskDelivery, TaskLease, TaskTarget};
use crate::postgres::value::{Time, read};

/// The columns of a [`Task`].
macro_rules! columns {
    () => {
        "task_id, coordinator_account_id, coordinator, idempotency_key, content_sha256, capability, assignee_account_id, \
         worker_account_id, delivery, thread_id, parent_task_id, priority, not_before, deadline_at, max_attempts, backoff_ms, \
         heartbeat_ms, state, attempt, lease, lease_session, lease_until, heartbeat_at, cancel_requested_at, finish_id, \
         unconfirmed, releases, is_assigned_by_message, code, \
         progress_count, percent, phase, message_id, event_count, event_bytes, revision, created_at, updated_at, finished_at, title, \
         detail, metadata, text, latest_text, latest_progress_text, input, checkpoint, result, payload"
    };
}

/// The columns of a [`StoredTaskEvent`].
macro_rules! event_columns {
    () => {
        "task_id, seq, at, kind, attempt, state, from_account_id, message_id, text, data"
    };
}

pub(super) use {columns, event_columns};

/// Reads a row of [`columns`].
pub(super) fn task_row(row: &PgRow) -> Result<Task, sqlx::Error> {
    Ok(Task {
        task_id: text_column(row, "task_id")?,
        coordinator_account_id: text_column(row, "coordinator_account_id")?,
        coordinator: opt_text_column(row, "coordinator")?,
        idempotency_key: opt_text_column(row, "idempotency_key")?,
        content_sha256: text_column(row, "content_sha256")?,
        target: target(row)?,
        delivery: delivery(row)?,
        title: opt_text_column(row, "title")?,
        text: text_column(row, "text")?,
        payload: opt_json_column(row, "payload")?,
        thread_id: text_column(row, "thread_id")?,
        parent_task_id: opt_text_column(row, "parent_task_id")?,
        metadata: json_column(row, "metadata")?,
        priority: row.try_get("priority")?,
        not_before: time_column(row, "not_before")?,
        deadline_at: opt_time_column(row, "deadline_at")?,
        max_attempts: row.try_get("max_attempts")?,
        backoff_ms: row.try_get("backoff_ms")?,
        heartbeat_ms: row.try_get("heartbeat_ms")?,
        state: state_column(row)?,
        attempt: row.try_get("attempt")?,
        lease: lease(row)?,
        worker_account_id: opt_text_column(row, "worker_account_id")?,
        heartbeat_at: opt_time_column(row, "heartbeat_at")?,
        cancel_requested_at: opt_time_column(row, "cancel_requested_at")?,
        finish_id: opt_text_column(row, "finish_id")?,
        result: opt_json_column(row, "result")?,
        unconfirmed: row.try_get("unconfirmed")?,
        releases: row.try_get("releases")?,
        is_assigned_by_message: row.try_get("is_assigned_by_message")?,
        code: opt_text_column(row, "code")?,
        detail: opt_text_column(row, "detail")?,
        checkpoint: opt_json_column(row, "checkpoint")?,
        input: opt_json_column(row, "input")?,
        latest_text: text_column(row, "latest_text")?,
        latest_progress_text: opt_text_column(row, "latest_progress_text")?,
        progress_count: row.try_get("progress_count")?,
        percent: row.try_get("percent")?,
        phase: opt_text_column(row, "phase")?,
        message_id: opt_text_column(row, "message_id")?,
        event_count: row.try_get("event_count")?,
        event_bytes: row.try_get("event_bytes")?,
        revision: row.try_get("revision")?,
        created_at: time_column(row, "created_at")?,
        updated_at: time_column(row, "updated_at")?,
        finished_at: opt_time_column(row, "finished_at")?,
    })
}

/// Reads a row of [`event_columns`].
pub(super) fn event_row(row: &PgRow) -> Result<StoredTaskEvent, sqlx::Error> {
    let state: Option<&str> = row.try_get("state")?;
    Ok(StoredTaskEvent {
        task_id: text_column(row, "task_id")?,
        seq: row.try_get("seq")?,
        at: time_column(row, "at")?,
        kind: text_column(row, "kind")?,
        attempt: row.try_get("attempt")?,
        state: state.map(read_state).transpose()?,
        text: opt_text_column(row, "text")?,
        data: opt_json_column(row, "data")?,
        from_account_id: opt_text_column(row, "from_account_id")?,
        message_id: opt_text_column(row, "message_id")?,
    })
}

pub(super) fn state_column(row: &PgRow) -> Result<TaskState, sqlx::Error> {
    read_state(row.try_get("state")?)
}

fn read_state(text: &str) -> Result<TaskState, sqlx::Error> {
    text.parse()
        .map_err(|_| sqlx::Error::Decode(format!("a task is in the unknown state {text:?}").into()))
}

fn delivery(row: &PgRow) -> Result<TaskDelivery, sqlx::Error> {
    let text: &str = row.try_get("delivery")?;
    TaskDelivery::of(text)
        .ok_or_else(|| sqlx::Error::Decode(format!("a task has the unknown delivery {text:?}").into()))
}

fn target(row: &PgRow) -> Result<TaskTarget, sqlx::Error> {
    let capability = opt_text_column(row, "capability")?;
    match (capability, opt_text_column(row, "assignee_account_id")?) {
        (Some(capability), _) => Ok(TaskTarget::Capability(capability)),
        (None, Some(account_id)) => Ok(TaskTarget::Account(account_id)),
        (None, None) => Err(sqlx::Error::Decode("a task is for nobody".into())),
    }
}

fn lease(row: &PgRow) -> Result<Option<TaskLease>, sqlx::Error> {
    let Some(token) = opt_text_column(row, "lease")? else {
        return Ok(None);
    };
    Ok(Some(TaskLease {
        token,
        session_tag: text_column(row, "lease_session")?,
        until: time_column(row, "lease_until")?,
    }))
}

pub(super) fn text_column(row: &PgRow, column: &str) -> Result<String, sqlx::Error> {
    row.try_get(column).map(read)
}

pub(super) fn opt_text_column(row: &PgRow, column: &str) -> Result<Option<String>, sqlx::Error> {
    let text: Option<String> = row.try_get(column)?;
    Ok(text.map(read))
}

fn time_column(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get(column).map(|Time(at)| at)
}

pub(super) fn opt_time_column(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    let time: Option<Time> = row.try_get(column)?;
    Ok(time.map(|Time(at)| at))
}

fn json_column(row: &PgRow, column: &str) -> Result<RawJson, sqlx::Error> {
    json(text_column(row, column)?, column)
}

fn opt_json_column(row: &PgRow, column: &str) -> Result<Option<RawJson>, sqlx::Error> {
    let text = opt_text_column(row, column)?;
    text.map(|text| json(text, column)).transpose()
}

fn json(text: String, column: &str) -> Result<RawJson, sqlx::Error> {
    RawJson::parse(text).map_err(|error| sqlx::Error::Decode(format!("column {column}: {error}").into()))
}
