//! Rows of a mailbox.

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::{MailboxAck, MailboxState};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::model::{MailboxEnd, MailboxRow};
use crate::postgres::value::{Time, read};

/// The columns of a [`MailboxRow`].
macro_rules! columns {
    () => {
        "seq, account_id, message_id, from_account_id, thread_id, kind, bytes, state, attempts, queued_at, expires_at, \
         done_at, last_code, last_detail, body"
    };
}

pub(super) use columns;

/// Reads a row of [`columns`].
pub(super) fn mailbox_row(row: &PgRow) -> Result<MailboxRow, sqlx::Error> {
    let done_at: Option<Time> = row.try_get("done_at")?;
    Ok(MailboxRow {
        seq: row.try_get("seq")?,
        account_id: text_column(row, "account_id")?,
        message_id: text_column(row, "message_id")?,
        from_account_id: text_column(row, "from_account_id")?,
        thread_id: text_column(row, "thread_id")?,
        kind: text_column(row, "kind")?,
        bytes: row.try_get("bytes")?,
        state: state_column(row)?,
        attempts: row.try_get("attempts")?,
        queued_at: time_column(row, "queued_at")?,
        expires_at: time_column(row, "expires_at")?,
        done_at: done_at.map(|Time(at)| at),
        last_code: opt_text_column(row, "last_code")?,
        last_detail: opt_text_column(row, "last_detail")?,
        body: text_column(row, "body")?,
    })
}

/// Reads rows of [`columns`] that a change returned, in the order of the mailboxes.
pub(super) fn mailbox_rows(rows: &[PgRow]) -> Result<Vec<MailboxRow>, sqlx::Error> {
    let mut rows = rows.iter().map(mailbox_row).collect::<Result<Vec<_>, _>>()?;
    rows.sort_unstable_by_key(|row| row.seq);
    Ok(rows)
}

/// A message that has expired, or was dropped, is dead: its row recognises a repetition.
pub(super) fn state_column(row: &PgRow) -> Result<MailboxState, sqlx::Error> {
    let text: &str = row.try_get("state")?;
    if MailboxEnd::parse(text).is_some() {
        return Ok(MailboxState::Dead);
    }
    text.parse()
        .map_err(|_| sqlx::Error::Decode(format!("a message of a mailbox is in the unknown state {text:?}").into()))
}

pub(super) fn end_column(row: &PgRow) -> Result<MailboxEnd, sqlx::Error> {
    let text: &str = row.try_get("state")?;
    MailboxEnd::parse(text).ok_or_else(|| {
        sqlx::Error::Decode(format!("a message of a mailbox has ended in the unknown state {text:?}").into())
    })
}

pub(super) fn ack_column(row: &PgRow) -> Result<MailboxAck, sqlx::Error> {
    let text: &str = row.try_get("ack")?;
    [MailboxAck::Accepted, MailboxAck::Processed]
        .into_iter()
        .find(|ack| ack.as_str() == text)
        .ok_or_else(|| sqlx::Error::Decode(format!("a message of a mailbox has the unknown ack {text:?}").into()))
}

pub(super) fn text_column(row: &PgRow, column: &str) -> Result<String, sqlx::Error> {
    row.try_get(column).map(read)
}

pub(super) fn opt_text_column(row: &PgRow, column: &str) -> Result<Option<String>, sqlx::Error> {
    let text: Option<String> = row.try_get(column)?;
    Ok(text.map(read))
}

pub(super) fn time_column(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get(column).map(|Time(at)| at)
}
