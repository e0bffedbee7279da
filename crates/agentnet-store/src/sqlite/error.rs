//! SQLite's result codes in the store's terms (<https://www.sqlite.org/rescode.html>).

use crate::bisect::RowOutcome;
use crate::error::StoreError;

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const NOTADB: i32 = 26;

/// The primary result code, if the database itself answered.
fn primary(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// The store's error for a failed call.
pub(super) fn failed(error: sqlx::Error) -> StoreError {
    let text = error.to_string();
    match (&error, primary(&error)) {
        (sqlx::Error::PoolClosed, _) => StoreError::Unavailable("it has been closed".into()),
        (sqlx::Error::PoolTimedOut, _) => StoreError::Unavailable("no connection became free in time".into()),
        (sqlx::Error::WorkerCrashed | sqlx::Error::Io(_), _) => StoreError::Unavailable(text),
        (_, Some(BUSY | LOCKED | READONLY | IOERR | FULL | CANTOPEN)) => StoreError::Unavailable(text),
        (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_), _) | (_, Some(CORRUPT | NOTADB)) => {
            StoreError::Corrupt(text)
        }
        _ => StoreError::Database(text),
    }
}

/// How a failed append concerns its rows.
pub(super) fn row_outcome(error: &sqlx::Error) -> RowOutcome {
    match (error, primary(error)) {
        (sqlx::Error::Encode(_), _) | (_, Some(TOOBIG | CONSTRAINT | MISMATCH)) => RowOutcome::Refused,
        _ => RowOutcome::Broken,
    }
}

/// The file is not a database of SQLite.
pub(super) fn is_no_database(error: &sqlx::Error) -> bool {
    primary(error) == Some(NOTADB)
}

/// Another process holds the lock.
pub(super) fn is_locked(error: &sqlx::Error) -> bool {
    matches!(primary(error), Some(BUSY | LOCKED))
}

/// The file or its directory cannot be written.
pub(super) fn is_not_writable(error: &sqlx::Error) -> bool {
    matches!(primary(error), Some(READONLY | CANTOPEN | IOERR))
}
