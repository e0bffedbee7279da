//! The shared backend: a PostgreSQL database, in the Python implementation's tables (PROTOCOL.md section 10.1).
//!
//! Any number of registries work on it at the same time. Batches are one statement a table, their rows in one order, so that
//! writers wait for each other and never in a circle. Until the server has been reached and its schema is up to date, every
//! call fails as unavailable.

mod account_row;
mod accounts;
mod backfill;
mod blobs;
mod claims;
mod connect;
mod error;
mod layout;
mod lossless_json;
mod mailboxes;
mod members;
mod messages;
mod registries;
mod schema;
mod sessions;
mod tasks;
#[cfg(test)]
mod tests;
mod thread_views;
mod threads;
mod trigram_selectivity;
mod value;

use std::borrow::Cow;
use std::time::Duration;

use agentnet_protocol::json::Value;
use agentnet_protocol::{RawJson, Timestamp};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::time::timeout;

pub(crate) use self::connect::PostgresStore;
use self::error::failed;
use self::value::Time;
use crate::error::StoreError;
use crate::store::Store;

/// How often a transaction that conflicts with another one is retried.
const MAX_CONFLICT_RETRIES: u32 = 10;

/// Whether the server is a standby, and whether transactions may only read.
const CHANGES_REFUSED: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";

/// Awaits the call, and retries it after a conflict with another transaction.
macro_rules! retry_on_conflict {
    ($call:expr) => {{
        let mut conflicts = 0;
        loop {
            match $call.await {
                Err(error)
                    if $crate::postgres::error::is_conflict(&error)
                        && conflicts < $crate::postgres::MAX_CONFLICT_RETRIES =>
                {
                    conflicts += 1;
                }
                done => break done.map_err($crate::postgres::error::failed),
            }
        }
    }};
}
use retry_on_conflict;

/// How long a ping waits for a connection of the pool.
const PING_POOL_TIMEOUT: Duration = Duration::from_millis(500);

#[async_trait]
impl Store for PostgresStore {
    fn backend(&self) -> &'static str {
        "postgres"
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let pooled = sqlx::query("SELECT 1").execute(self.pool()?);
        match timeout(PING_POOL_TIMEOUT, pooled).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error @ sqlx::Error::PoolClosed)) => Err(failed(error)),
            // A crowd that waits for connections, or a connection that the server has ended, says nothing of the server: it is
            // asked over a connection of its own.
            _ => self.ping_apart().await,
        }
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        let (standby, read_only): (bool, bool) = sqlx::query_as(CHANGES_REFUSED)
            .fetch_one(self.pool()?)
            .await
            .map_err(failed)?;
        let reason = match (standby, read_only) {
            (false, false) => return Ok(()),
            (true, _) => "it is a standby, which only reads: let DATABASE_URL name the primary, or promote this server",
            (false, true) => {
                "it is read-only (default_transaction_read_only = on): ALTER DATABASE … or ALTER ROLE … RESET \
                 default_transaction_read_only, or let DATABASE_URL name the primary"
            }
        };
        Err(StoreError::Unavailable(reason.to_owned()))
    }

    async fn close(&self) {
        self.end().await;
    }
}

fn text_column(row: &PgRow, column: &str) -> Result<String, StoreError> {
    row.try_get(column).map(value::read).map_err(failed)
}

fn opt_text_column(row: &PgRow, column: &str) -> Result<Option<String>, StoreError> {
    let text: Option<String> = row.try_get(column).map_err(failed)?;
    Ok(text.map(value::read))
}

fn time_column(row: &PgRow, column: &str) -> Result<Timestamp, StoreError> {
    row.try_get(column).map(|Time(at)| at).map_err(failed)
}

fn opt_time_column(row: &PgRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    let time: Option<Time> = row.try_get(column).map_err(failed)?;
    Ok(time.map(|Time(at)| at))
}

/// A value in a `jsonb` column, read as its text, with its exact text beside it; absent = an empty object.
fn json_column(row: &PgRow, column: &str, exact: &str) -> Result<RawJson, StoreError> {
    let jsonb: Option<&str> = row.try_get(column).map_err(failed)?;
    lossless_json::value(jsonb.unwrap_or("{}"), row.try_get(exact).map_err(failed)?, column)
}

/// A `jsonb` array of texts, read as its text; absent or no array = empty.
fn texts_column(row: &PgRow, column: &str) -> Result<Vec<String>, StoreError> {
    let jsonb: Option<&str> = row.try_get(column).map_err(failed)?;
    let view = Value::parse(jsonb.unwrap_or("[]"))
        .map_err(|error| StoreError::Corrupt(format!("column {column}: {error}")))?;
    let items = view.as_array().into_iter().flatten();
    Ok(items.map(|item| value::read(item.python_text().into_owned())).collect())
}

/// The text of such an array.
fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values
        .into_iter()
        .map(|value| serde_json::Value::from(value::stored(value.as_ref()).as_ref()))
        .collect();
    serde_json::Value::Array(values).to_string()
}

/// An optional text as it is stored.
fn opt_stored(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.map(value::stored)
}
