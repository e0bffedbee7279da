//! Messages that end without being delivered: their rows stay until the sender is told, and recognise a repetition.

use agentnet_protocol::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Sqlite};

use super::row::{columns, end_column, mailbox_row};
use crate::error::StoreError;
use crate::model::{MailboxEnd, UntoldEnd};
use crate::sqlite::SqliteStore;
use crate::sqlite::error::failed;
use crate::sqlite::statement_batches::statement_batches;

/// Those that were last tried before `?1` are tried at `?2`.
pub(super) const UNTOLD: &str = concat!(
    "UPDATE agent_mailbox SET untold_since = ?2 WHERE seq IN (SELECT seq FROM agent_mailbox WHERE untold_since < ?1 \
     ORDER BY untold_since LIMIT ?3) RETURNING ",
    columns!()
);

/// A dead message keeps its body: it can be queued again.
const TOLD: &str = "UPDATE agent_mailbox SET untold_since = NULL, body = CASE state WHEN 'dead' THEN body ELSE '' END \
     WHERE untold_since IS NOT NULL AND seq IN (";

/// Ends messages at this time; their senders are told of it by whoever looks for those that were not told before `untold_since`.
pub(super) async fn end_messages(
    connection: &mut SqliteConnection,
    seqs: &[i64],
    end: MailboxEnd,
    now: Timestamp,
    untold_since: Timestamp,
) -> Result<(), sqlx::Error> {
    for run in statement_batches(seqs) {
        let mut sql = QueryBuilder::<Sqlite>::new("UPDATE agent_mailbox SET state = ");
        sql.push_bind(end.as_str())
            .push(", done_at = ")
            .push_bind(now.as_micros())
            .push(", forget_at = max(expires_at, ")
            .push_bind(now.as_micros())
            .push("), untold_since = ")
            .push_bind(untold_since.as_micros())
            .push(", lease = NULL, lease_until = NULL, lease_session = NULL WHERE seq IN (");
        let mut places = sql.separated(", ");
        for seq in run {
            places.push_bind(*seq);
        }
        sql.push(")").build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Drops dead letters that make room for other messages; the next sweep tells their senders.
pub(super) async fn evict(connection: &mut SqliteConnection, seqs: &[i64], now: Timestamp) -> Result<(), sqlx::Error> {
    end_messages(connection, seqs, MailboxEnd::Dropped, now, Timestamp::default()).await
}

/// What [`Mailboxes::untold_ends`](crate::store::Mailboxes::untold_ends) says.
pub(super) async fn untold_ends(
    store: &SqliteStore,
    before: Timestamp,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<UntoldEnd>, StoreError> {
    let mut transaction = store.begin_write().await?;
    let rows = sqlx::query(UNTOLD)
        .bind(before.as_micros())
        .bind(now.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    let read = |row| {
        Ok(UntoldEnd {
            end: end_column(row)?,
            row: mailbox_row(row)?,
        })
    };
    let mut ends = rows
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, sqlx::Error>>()
        .map_err(failed)?;
    ends.sort_unstable_by_key(|end| end.row.seq);
    Ok(ends)
}

/// What [`Mailboxes::ends_told`](crate::store::Mailboxes::ends_told) says.
pub(super) async fn ends_told(store: &SqliteStore, seqs: &[i64]) -> Result<(), StoreError> {
    if seqs.is_empty() {
        return Ok(());
    }
    let mut transaction = store.begin_write().await?;
    for run in statement_batches(seqs) {
        let mut sql = QueryBuilder::<Sqlite>::new(TOLD);
        let mut places = sql.separated(", ");
        for seq in run {
            places.push_bind(*seq);
        }
        let told = sql.push(")").build().execute(&mut *transaction).await;
        told.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}
