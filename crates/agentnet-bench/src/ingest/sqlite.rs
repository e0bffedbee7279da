//! The store on SQLite, beside one prepared statement in a loop, with the same indexes, batches and durability.

use std::time::{Duration, Instant};

use agentnet_store::model::NewMessage;
use agentnet_store::{OpenOptions, open, sqlite_url};
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::append::{BATCH, append, beside, check_count, rate, with_target};
use crate::Failure;
use crate::measurement::Measurement;
use crate::settings::Settings;

pub(super) async fn run(settings: &Settings, messages: &[NewMessage]) -> Result<Vec<Measurement>, Failure> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..settings.repeat {
        let folder = TempDir::new()?;
        let file = folder.path().join("ours.db");
        let store = open(&sqlite_url(&file), &OpenOptions::default()).await?;
        ours.push(append(store.as_ref(), messages).await?);
        store.close().await;
        count(&Connection::open(&file)?, messages.len())?;

        let file = folder.path().join("bare.db");
        // Creates the table and its indexes.
        open(&sqlite_url(&file), &OpenOptions::default()).await?.close().await;
        bare.push(insert(&Connection::open(&file)?, messages)?);
    }
    let measurement = beside(
        "SQLite, beside a prepared statement in a loop",
        rate(messages, &ours),
        rate(messages, &bare),
    );
    Ok(vec![with_target(measurement, 0.5)])
}

fn count(connection: &Connection, expected: usize) -> Result<(), Failure> {
    let found: i64 = connection.query_row("SELECT count(*) FROM agent_messages", [], |row| row.get(0))?;
    check_count("counted", u64::try_from(found)?, expected)
}

/// Inserts with the store's settings of SQLite.
fn insert(connection: &Connection, messages: &[NewMessage]) -> Result<Duration, Failure> {
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA wal_autocheckpoint = 4000; \
         PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -8192",
    )?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(format!("journal mode {mode}").into());
    }
    let mut statement = connection.prepare(
        "INSERT INTO agent_messages (message_id, thread_id, parent_message_id, from_agent, from_account_id, \
         from_session_tag, to_account_id, to_agent, kind, schema_version, idempotency_key, payload, trace_id, sent_at, \
         received_at, ttl_ms, expires_at, auth_scheme) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let since = Instant::now();
    for batch in messages.chunks(BATCH) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for new in batch {
            let message = &new.message;
            statement.execute(params![
                message.message_id,
                message.thread_id,
                message.parent_message_id,
                message.from_agent,
                message.from_account_id,
                message.from_session_tag,
                message.to_account_id,
                message.to_agent,
                message.kind,
                message.schema_version,
                message.idempotency_key,
                message.payload.get(),
                message.trace_id,
                message.sent_at.as_micros(),
                message.received_at.as_micros(),
                message.ttl_ms,
                message.expires_at,
                message.auth_scheme,
            ])?;
        }
        connection.execute_batch("COMMIT")?;
    }
    let took = since.elapsed();
    count(connection, messages.len())?;
    Ok(took)
}
