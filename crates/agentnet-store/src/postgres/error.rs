//! PostgreSQL's conditions in the store's terms (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use crate::bisect::RowOutcome;
use crate::error::StoreError;

/// A prepared statement is unknown (26000) or exists already (42P05): a pooler swapped the server connection.
const POOLED: [&str; 2] = ["26000", "42P05"];
/// The cause, and what to do.
const POOLER: &str = "a connection pooler stands before PostgreSQL and keeps no prepared statements (PgBouncer with \
     pool_mode = transaction): set max_prepared_statements = 200 there (PgBouncer 1.21 or newer), or pool_mode = session, or \
     let DATABASE_URL name PostgreSQL itself";

/// The SQLSTATE, if the database itself answered.
fn state(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether a pooler between this program and the database swaps connections.
pub(super) fn is_pooled(error: &sqlx::Error) -> bool {
    state(error).is_some_and(|state| POOLED.contains(&state.as_str()))
}

/// Describes an error, with the database's own message if it sent one.
pub(super) fn describe(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(answer) if is_pooled(error) => format!("{}; {POOLER}", answer.message()),
        Some(answer) => answer.message().to_owned(),
        None => error.to_string(),
    }
}

/// The error for a database that cannot be used.
pub(super) fn cannot_start(problem: String) -> StoreError {
    match problem.contains(POOLER) {
        true => StoreError::Pooler(problem),
        false => StoreError::Open(problem),
    }
}

/// The store's error for a failed call.
pub(super) fn failed(error: sqlx::Error) -> StoreError {
    let text = describe(&error);
    match &error {
        sqlx::Error::PoolClosed => StoreError::Unavailable("it has been closed".into()),
        sqlx::Error::PoolTimedOut => StoreError::Unavailable("no connection became free in time".into()),
        error if is_unavailable(error) => StoreError::Unavailable(text),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreError::Corrupt(text),
        error if state(error).is_some_and(|state| state.starts_with("XX")) => StoreError::Corrupt(text),
        _ => StoreError::Database(text),
    }
}

/// The call may succeed later: connection lost (08), rolled back for another's sake (40), out of resources (53), locked (55P03),
/// ended by an operator or a time limit (57), a system error (58), or a read-only server, as after a failover.
pub(super) fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolTimedOut => true,
        other => state(other).is_some_and(|state| {
            matches!(&state[..2], "08" | "40" | "53" | "57" | "58") || state == "55P03" || state == "25006"
        }),
    }
}

/// Whether the transaction conflicted with another one: a retry succeeds.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    state(error).is_some_and(|state| state.starts_with("40"))
}

/// Whether another transaction took the unique key in the meantime.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    state(error).is_some_and(|state| state == "23505")
}

/// How a failed append concerns its rows.
pub(super) fn row_outcome(error: &sqlx::Error) -> RowOutcome {
    if matches!(error, sqlx::Error::Encode(_)) {
        return RowOutcome::Refused;
    }
    match state(error).as_deref() {
        // Data, integrity, a limit of the program (a text too long for an index), or a trigger's own refusal.
        Some(state) if matches!(&state[..2], "22" | "23" | "54") || state == "P0001" => RowOutcome::Refused,
        // Too little room: perhaps only for a large row.
        Some(state) if matches!(&state[..2], "53" | "58") => RowOutcome::NoRoom,
        _ => RowOutcome::Broken,
    }
}
