//! Messages that end without being delivered: their rows stay until the sender is told, and recognise a repetition.

use agentnet_protocol::Timestamp;
use sqlx::PgConnection;
use sqlx::postgres::PgPool;

use super::row::{columns, end_column, mailbox_row};
use crate::error::StoreError;
use crate::model::{MailboxEnd, UntoldEnd};
use crate::postgres::value::Time;
use crate::postgres::{PostgresStore, retry_on_conflict};

const END: &str = "UPDATE agent_mailbox SET state = $2, done_at = $3, forget_at = greatest(expires_at, $3), untold_since = $4, \
     lease = NULL, lease_until = NULL, lease_session = NULL WHERE seq = ANY($1)";

/// Those that were last tried before `$1` are tried at `$2`.
pub(super) const UNTOLD: &str = concat!(
    "UPDATE agent_mailbox SET untold_since = $2 FROM (SELECT seq AS untold_seq FROM agent_mailbox WHERE untold_since < $1 \
     ORDER BY untold_since LIMIT $3 FOR UPDATE SKIP LOCKED) AS untold WHERE seq = untold_seq RETURNING ",
    columns!()
);

/// A dead message keeps its body: it can be queued again.
const TOLD: &str = "UPDATE agent_mailbox SET untold_since = NULL, body = CASE state WHEN 'dead' THEN body ELSE '' END \
     WHERE untold_since IS NOT NULL AND seq = ANY($1)";

/// Ends messages of locked accounts at this time; their senders are told of it by whoever looks for those that were not told
/// before `untold_since`.
pub(super) async fn end_messages(
    connection: &mut PgConnection,
    seqs: &[i64],
    end: MailboxEnd,
    now: Timestamp,
    untold_since: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(END)
        .bind(seqs)
        .bind(end.as_str())
        .bind(Time(now))
        .bind(Time(untold_since))
        .execute(connection)
        .await?;
    Ok(())
}

/// Drops dead letters that make room for other messages; the next sweep tells their senders.
pub(super) async fn evict(connection: &mut PgConnection, seqs: &[i64], now: Timestamp) -> Result<(), sqlx::Error> {
    if seqs.is_empty() {
        return Ok(());
    }
    end_messages(connection, seqs, MailboxEnd::Dropped, now, Timestamp::default()).await
}

/// What [`Mailboxes::untold_ends`](crate::store::Mailboxes::untold_ends) says.
pub(super) async fn untold_ends(
    store: &PostgresStore,
    before: Timestamp,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<UntoldEnd>, StoreError> {
    let pool = store.pool()?;
    let mut ends = retry_on_conflict!(untold_once(pool, before, now, limit))?;
    ends.sort_unstable_by_key(|end| end.row.seq);
    Ok(ends)
}

async fn untold_once(
    pool: &PgPool,
    before: Timestamp,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<UntoldEnd>, sqlx::Error> {
    let rows = sqlx::query(UNTOLD)
        .bind(Time(before))
        .bind(Time(now))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await?;
    let read = |row| {
        Ok(UntoldEnd {
            end: end_column(row)?,
            row: mailbox_row(row)?,
        })
    };
    rows.iter().map(read).collect()
}

/// What [`Mailboxes::ends_told`](crate::store::Mailboxes::ends_told) says.
pub(super) async fn ends_told(store: &PostgresStore, seqs: &[i64]) -> Result<(), StoreError> {
    let pool = store.pool()?;
    if seqs.is_empty() {
        return Ok(());
    }
    retry_on_conflict!(async { sqlx::query(TOLD).bind(seqs).execute(pool).await.map(drop) })
}
