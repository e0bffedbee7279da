//! Rows of a mailbox, and the counters of accounts.

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::{MailboxAck, MailboxState};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use crate::mailbox_admission::{TOTAL, UsageChanges};
use crate::model::{MailboxEnd, MailboxRow};
use crate::sqlite::statement_batches::statement_batches;

/// The columns of a [`MailboxRow`].
macro_rules! columns {
    () => {
        "seq, account_id, message_id, from_account_id, thread_id, kind, bytes, state, attempts, queued_at, expires_at, \
         done_at, last_code, last_detail, body"
    };
}

pub(super) use columns;

const ADD_USAGE: &str = "INSERT INTO agent_mailbox_accounts (account_id, messages, bytes) ";
const ON_CONFLICT: &str = " ON CONFLICT (account_id) DO UPDATE SET messages = messages + excluded.messages, \
     bytes = bytes + excluded.bytes";

/// Reads a row of [`columns`].
pub(super) fn mailbox_row(row: &SqliteRow) -> Result<MailboxRow, sqlx::Error> {
    let done_at: Option<i64> = row.try_get("done_at")?;
    Ok(MailboxRow {
        seq: row.try_get("seq")?,
        account_id: row.try_get("account_id")?,
        message_id: row.try_get("message_id")?,
        from_account_id: row.try_get("from_account_id")?,
        thread_id: row.try_get("thread_id")?,
        kind: row.try_get("kind")?,
        bytes: row.try_get("bytes")?,
        state: state_column(row)?,
        attempts: row.try_get("attempts")?,
        queued_at: time_column(row, "queued_at")?,
        expires_at: time_column(row, "expires_at")?,
        done_at: done_at.map(Timestamp::from_micros),
        last_code: row.try_get("last_code")?,
        last_detail: row.try_get("last_detail")?,
        body: row.try_get("body")?,
    })
}

/// Reads rows of [`columns`] that a change returned, in the order of the mailboxes.
pub(super) fn mailbox_rows(rows: &[SqliteRow]) -> Result<Vec<MailboxRow>, sqlx::Error> {
    let mut rows = rows.iter().map(mailbox_row).collect::<Result<Vec<_>, _>>()?;
    rows.sort_unstable_by_key(|row| row.seq);
    Ok(rows)
}

/// A message that has expired, or was dropped, is dead: its row recognises a repetition.
pub(super) fn state_column(row: &SqliteRow) -> Result<MailboxState, sqlx::Error> {
    let text: &str = row.try_get("state")?;
    if MailboxEnd::parse(text).is_some() {
        return Ok(MailboxState::Dead);
    }
    text.parse()
        .map_err(|_| sqlx::Error::Decode(format!("a message of a mailbox is in the unknown state {text:?}").into()))
}

pub(super) fn end_column(row: &SqliteRow) -> Result<MailboxEnd, sqlx::Error> {
    let text: &str = row.try_get("state")?;
    MailboxEnd::parse(text).ok_or_else(|| {
        sqlx::Error::Decode(format!("a message of a mailbox has ended in the unknown state {text:?}").into())
    })
}

pub(super) fn ack_column(row: &SqliteRow) -> Result<MailboxAck, sqlx::Error> {
    let text: &str = row.try_get("ack")?;
    [MailboxAck::Accepted, MailboxAck::Processed]
        .into_iter()
        .find(|ack| ack.as_str() == text)
        .ok_or_else(|| sqlx::Error::Decode(format!("a message of a mailbox has the unknown ack {text:?}").into()))
}

pub(super) fn time_column(row: &SqliteRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get(column).map(Timestamp::from_micros)
}

/// Adds to the counters of accounts and of all.
pub(super) async fn save_usage(connection: &mut SqliteConnection, changes: &UsageChanges) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<_> = changes.accounts().collect();
    rows.push((TOTAL, changes.total()));
    for run in statement_batches(&rows) {
        let mut sql = QueryBuilder::<Sqlite>::new(ADD_USAGE);
        sql.push_values(run, |mut row, (account_id, usage)| {
            row.push_bind((*account_id).to_owned())
                .push_bind(usage.messages)
                .push_bind(usage.bytes);
        });
        sql.push(ON_CONFLICT).build().execute(&mut *connection).await?;
    }
    Ok(())
}
