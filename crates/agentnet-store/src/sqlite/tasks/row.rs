//! Rows of tasks and their events.

use agentnet_protocol::task::TaskState;
use agentnet_protocol::{RawJson, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::model::{StoredTaskEvent, Task, TaskDelivery, TaskLease, TaskTarget};

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
pub(super) fn task_row(row: &SqliteRow) -> Result<Task, sqlx::Error> {
    Ok(Task {
        task_id: row.try_get("task_id")?,
        coordinator_account_id: row.try_get("coordinator_account_id")?,
        coordinator: row.try_get("coordinator")?,
        idempotency_key: row.try_get("idempotency_key")?,
        content_sha256: row.try_get("content_sha256")?,
        target: target(row)?,
        delivery: delivery(row)?,
        title: row.try_get("title")?,
        text: row.try_get("text")?,
        payload: opt_json_column(row, "payload")?,
        thread_id: row.try_get("thread_id")?,
        parent_task_id: row.try_get("parent_task_id")?,
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
        worker_account_id: row.try_get("worker_account_id")?,
        heartbeat_at: opt_time_column(row, "heartbeat_at")?,
        cancel_requested_at: opt_time_column(row, "cancel_requested_at")?,
        finish_id: row.try_get("finish_id")?,
        result: opt_json_column(row, "result")?,
        unconfirmed: row.try_get("unconfirmed")?,
        releases: row.try_get("releases")?,
        is_assigned_by_message: row.try_get("is_assigned_by_message")?,
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        checkpoint: opt_json_column(row, "checkpoint")?,
        input: opt_json_column(row, "input")?,
        latest_text: row.try_get("latest_text")?,
        latest_progress_text: row.try_get("latest_progress_text")?,
        progress_count: row.try_get("progress_count")?,
        percent: row.try_get("percent")?,
        phase: row.try_get("phase")?,
        message_id: row.try_get("message_id")?,
        event_count: row.try_get("event_count")?,
        event_bytes: row.try_get("event_bytes")?,
        revision: row.try_get("revision")?,
        created_at: time_column(row, "created_at")?,
        updated_at: time_column(row, "updated_at")?,
        finished_at: opt_time_column(row, "finished_at")?,
    })
}

/// Reads a row of [`event_columns`].
pub(super) fn event_row(row: &SqliteRow) -> Result<StoredTaskEvent, sqlx::Error> {
    let state: Option<&str> = row.try_get("state")?;
    Ok(StoredTaskEvent {
        task_id: row.try_get("task_id")?,
        seq: row.try_get("seq")?,
        at: time_column(row, "at")?,
        kind: row.try_get("kind")?,
        attempt: row.try_get("attempt")?,
        state: state.map(read_state).transpose()?,
        text: row.try_get("text")?,
        data: opt_json_column(row, "data")?,
        from_account_id: row.try_get("from_account_id")?,
        message_id: row.try_get("message_id")?,
    })
}

pub(super) fn state_column(row: &SqliteRow) -> Result<TaskState, sqlx::Error> {
    read_state(row.try_get("state")?)
}

fn read_state(text: &str) -> Result<TaskState, sqlx::Error> {
    text.parse()
        .map_err(|_| sqlx::Error::Decode(format!("a task is in the unknown state {text:?}").into()))
}

fn delivery(row: &SqliteRow) -> Result<TaskDelivery, sqlx::Error> {
    let text: &str = row.try_get("delivery")?;
    TaskDelivery::of(text)
        .ok_or_else(|| sqlx::Error::Decode(format!("a task has the unknown delivery {text:?}").into()))
}

fn target(row: &SqliteRow) -> Result<TaskTarget, sqlx::Error> {
    let capability: Option<String> = row.try_get("capability")?;
    let account_id: Option<String> = row.try_get("assignee_account_id")?;
    match (capability, account_id) {
        (Some(capability), _) => Ok(TaskTarget::Capability(capability)),
        (None, Some(account_id)) => Ok(TaskTarget::Account(account_id)),
        (None, None) => Err(sqlx::Error::Decode("a task is for nobody".into())),
    }
}

fn lease(row: &SqliteRow) -> Result<Option<TaskLease>, sqlx::Error> {
    let Some(token) = row.try_get("lease")? else {
        return Ok(None);
    };
    Ok(Some(TaskLease {
        token,
        session_tag: row.try_get("lease_session")?,
        until: time_column(row, "lease_until")?,
    }))
}

fn time_column(row: &SqliteRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get(column).map(Timestamp::from_micros)
}

fn opt_time_column(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    let micros: Option<i64> = row.try_get(column)?;
    Ok(micros.map(Timestamp::from_micros))
}

fn json_column(row: &SqliteRow, column: &str) -> Result<RawJson, sqlx::Error> {
    json(row.try_get(column)?, column)
}

fn opt_json_column(row: &SqliteRow, column: &str) -> Result<Option<RawJson>, sqlx::Error> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| json(text, column)).transpose()
}

fn json(text: String, column: &str) -> Result<RawJson, sqlx::Error> {
    RawJson::parse(text).map_err(|error| sqlx::Error::Decode(format!("column {column}: {error}").into()))
}
