//! The embedded backend: one SQLite file in WAL mode.
//!
//! One connection writes, every commit is synced to the disk (`synchronous=FULL`) before it counts; a few others read at
//! the same time from the last committed state. A database in memory has one connection for both. The file is never
//! locked exclusively: other processes may read it.

mod accounts;
mod blobs;
mod connect;
mod error;
mod file;
mod mailboxes;
mod members;
mod messages;
mod registries;
mod schema;
mod sessions;
mod statement_batches;
mod tasks;
#[cfg(test)]
mod tests;
mod thread_views;
mod threads;

use agentnet_protocol::RawJson;
use async_trait::async_trait;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, Sqlite, Transaction};

pub(crate) use self::connect::DatabaseLocation;
use self::error::failed;
use self::file::{OpenFile, disk_space};
use self::tasks::ClaimQueue;
use crate::error::StoreError;
use crate::model::DiskSpace;
use crate::store::Store;

/// A store in one SQLite database.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    /// At most one connection.
    write: SqlitePool,
    /// The same pool for a database in memory.
    read: SqlitePool,
    /// Absent for a database in memory.
    file: Option<OpenFile>,
    /// Tasks are claimed in the transactions of this queue.
    claims: ClaimQueue,
}

/// Begins a transaction that holds the write lock from its beginning, so that what it reads stays true until it commits.
const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

impl SqliteStore {
    /// A transaction with the write lock ([`BEGIN_WRITE`]).
    async fn begin_write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.check_file()?;
        self.write.begin_with(BEGIN_WRITE).await.map_err(failed)
    }

    /// Whether the file that is open is still the one at its path. Closing the database removes its journals.
    fn check_file(&self) -> Result<(), StoreError> {
        match &self.file {
            Some(file) if !self.write.is_closed() => file.check(),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn backend(&self) -> &'static str {
        "sqlite"
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.check_file()?;
        sqlx::query("SELECT 1").execute(&self.read).await.map_err(failed)?;
        Ok(())
    }

    async fn disk_space(&self) -> Option<DiskSpace> {
        let folder = self.file.as_ref()?.folder();
        // A file system that hangs does not hold the runtime up.
        tokio::task::spawn_blocking(move || disk_space(&folder)).await.ok()?
    }

    async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// A column of exact JSON text.
fn json_column(row: &SqliteRow, column: &str) -> Result<RawJson, StoreError> {
    let text: String = row.try_get(column).map_err(failed)?;
    RawJson::parse(text).map_err(|error| StoreError::Corrupt(format!("column {column}: {error}")))
}

/// A column that holds a JSON array of texts.
fn texts_column(row: &SqliteRow, column: &str) -> Result<Vec<String>, StoreError> {
    let text: &str = row.try_get(column).map_err(failed)?;
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("column {column}: {error}")))
}

/// The text of such a column.
fn texts(values: &[String]) -> String {
    serde_json::Value::from(values).to_string()
}
