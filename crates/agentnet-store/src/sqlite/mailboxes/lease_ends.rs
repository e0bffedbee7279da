//! Ending and extending leases.

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::{MailboxOutcome, MailboxState};

use super::row::{columns, mailbox_row, save_usage};
use crate::error::StoreError;
use crate::lease_selection::seq_of_lease;
use crate::mailbox_admission::UsageChanges;
use crate::model::{LeaseEnd, LeaseEnded};
use crate::sqlite::SqliteStore;
use crate::sqlite::error::failed;

macro_rules! in_force {
    () => {
        " WHERE seq = ?1 AND lease = ?2 AND account_id = ?3 AND lease_session = ?4 AND state = 'leased' \
         AND lease_until > ?5"
    };
}

/// A delivered message is remembered for a day, and as long as it could be put in again. The outcome is `?6`, whether the attempt does not count `?7`, the largest number of attempts `?8`.
pub(super) const END: &str = concat!(
    "UPDATE agent_mailbox SET \
     state = CASE WHEN ?6 = 'done' THEN 'done' WHEN ?6 = 'retry' AND attempts - ?7 < ?8 THEN 'queued' ELSE 'dead' END, \
     done_at = CASE WHEN ?6 = 'retry' AND attempts - ?7 < ?8 THEN NULL ELSE ?5 END, \
     available_at = CASE ?6 WHEN 'retry' THEN ?9 ELSE available_at END, \
     untold_since = CASE WHEN ?6 = 'done' OR ?6 = 'retry' AND attempts - ?7 < ?8 THEN NULL ELSE ?5 END, \
     forget_at = CASE ?6 WHEN 'done' THEN max(?5 + 86400000000, expires_at) END, \
     body = CASE ?6 WHEN 'done' THEN '' ELSE body END, attempts = attempts - ?7, lapses = 0, last_code = ?10, \
     last_detail = ?11, \
     lease = NULL, lease_until = NULL, lease_session = NULL",
    in_force!(),
    " RETURNING ",
    columns!()
);

pub(super) const EXTEND: &str = concat!("UPDATE agent_mailbox SET lease_until = ?6", in_force!());

/// What [`Mailboxes::end_leases`](crate::store::Mailboxes::end_leases) says.
pub(super) async fn end_leases(
    store: &SqliteStore,
    account_id: &str,
    session_tag: &str,
    ends: &[LeaseEnd],
    now: Timestamp,
    max_attempts: i64,
) -> Result<Vec<LeaseEnded>, StoreError> {
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = store.begin_write().await?;
    let mut changes = UsageChanges::default();
    let mut ended = Vec::with_capacity(ends.len());
    for end in ends {
        let Some(seq) = seq_of_lease(&end.lease) else {
            ended.push(LeaseEnded::Lost);
            continue;
        };
        let is_free = end.free && end.outcome == MailboxOutcome::Retry;
        let row = sqlx::query(END)
            .bind(seq)
            .bind(&end.lease)
            .bind(account_id)
            .bind(session_tag)
            .bind(now.as_micros())
            .bind(end.outcome.as_str())
            .bind(i64::from(is_free))
            .bind(max_attempts)
            .bind(end.available_at.as_micros())
            .bind(&end.code)
            .bind(&end.detail)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        ended.push(match row {
            None => LeaseEnded::Lost,
            Some(row) => {
                let row = mailbox_row(&row).map_err(failed)?;
                changes.ended(&row);
                match row.state {
                    MailboxState::Done => LeaseEnded::Done(row),
                    MailboxState::Dead => LeaseEnded::Dead(row),
                    MailboxState::Queued | MailboxState::Leased => LeaseEnded::Waits(row),
                }
            }
        });
    }
    save_usage(&mut transaction, &changes).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(ended)
}

/// What [`Mailboxes::extend_leases`](crate::store::Mailboxes::extend_leases) says.
pub(super) async fn extend_leases(
    store: &SqliteStore,
    account_id: &str,
    session_tag: &str,
    leases: &[String],
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = store.begin_write().await?;
    let mut extended = Vec::with_capacity(leases.len());
    for lease in leases {
        let Some(seq) = seq_of_lease(lease) else {
            extended.push(false);
            continue;
        };
        let done = sqlx::query(EXTEND)
            .bind(seq)
            .bind(lease)
            .bind(account_id)
            .bind(session_tag)
            .bind(now.as_micros())
            .bind(until.as_micros())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        extended.push(done.rows_affected() > 0);
    }
    transaction.commit().await.map_err(failed)?;
    Ok(extended)
}
