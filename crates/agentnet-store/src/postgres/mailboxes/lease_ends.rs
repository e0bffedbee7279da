//! Ending and extending leases.

use std::collections::{BTreeSet, HashMap, HashSet};

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::{MailboxOutcome, MailboxState};
use sqlx::postgres::PgPool;

use super::row::{columns, mailbox_row, text_column};
use super::usage::{lock, save};
use crate::error::StoreError;
use crate::lease_selection::seq_of_lease;
use crate::mailbox_admission::UsageChanges;
use crate::model::{LeaseEnd, LeaseEnded, MailboxRow};
use crate::postgres::value::{Time, read, stored};
use crate::postgres::{PostgresStore, opt_stored, retry_on_conflict};

macro_rules! in_force {
    () => {
        " WHERE m.seq = ended_seq AND m.lease = ended_lease AND m.account_id = $3 AND m.lease_session = $4 \
         AND m.state = 'leased' AND m.lease_until > $5"
    };
}

/// A delivered message is remembered for a day, and as long as it could be put in again.
const END: &str = concat!(
    "UPDATE agent_mailbox m SET \
     state = CASE WHEN outcome = 'done' THEN 'done' WHEN outcome = 'retry' AND m.attempts - free < $6 THEN 'queued' \
     ELSE 'dead' END, \
     done_at = CASE WHEN outcome = 'retry' AND m.attempts - free < $6 THEN NULL ELSE $5 END, \
     available_at = CASE outcome WHEN 'retry' THEN retry_at ELSE m.available_at END, \
     untold_since = CASE WHEN outcome = 'done' OR outcome = 'retry' AND m.attempts - free < $6 THEN NULL ELSE $5 END, \
     forget_at = CASE outcome WHEN 'done' THEN greatest($5 + interval '24 hours', m.expires_at) END, \
     body = CASE outcome WHEN 'done' THEN '' ELSE m.body END, attempts = m.attempts - free, lapses = 0, last_code = code, \
     last_detail = detail, lease = NULL, lease_until = NULL, lease_session = NULL \
     FROM unnest($1::bigint[], $2::text[], $7::text[], $8::bigint[], $9::timestamptz[], $10::text[], $11::text[]) \
     AS ended (ended_seq, ended_lease, outcome, free, retry_at, code, detail)",
    in_force!(),
    " RETURNING ended_lease, ",
    columns!()
);

const EXTEND: &str = concat!(
    "UPDATE agent_mailbox m SET lease_until = $6 FROM unnest($1::bigint[], $2::text[]) AS ended (ended_seq, ended_lease)",
    in_force!(),
    " RETURNING lease"
);

/// The session that has the leases, and the time.
#[derive(Clone, Copy)]
struct Holder<'a> {
    account_id: &'a str,
    session_tag: &'a str,
    now: Timestamp,
}

/// What [`Mailboxes::end_leases`](crate::store::Mailboxes::end_leases) says.
pub(super) async fn end_leases(
    store: &PostgresStore,
    account_id: &str,
    session_tag: &str,
    ends: &[LeaseEnd],
    now: Timestamp,
    max_attempts: i64,
) -> Result<Vec<LeaseEnded>, StoreError> {
    let pool = store.pool()?;
    // Of two ends of one lease the first counts.
    let mut seen = HashSet::new();
    let first: Vec<Option<i64>> = ends
        .iter()
        .map(|end| seq_of_lease(&end.lease).filter(|_| seen.insert(end.lease.as_str())))
        .collect();
    let rows: Vec<(i64, &LeaseEnd)> = first
        .iter()
        .zip(ends)
        .filter_map(|(seq, end)| Some(((*seq)?, end)))
        .collect();
    if rows.is_empty() {
        return Ok(vec![LeaseEnded::Lost; ends.len()]);
    }
    let holder = Holder {
        account_id,
        session_tag,
        now,
    };
    let mut ended = retry_on_conflict!(end_once(pool, holder, &rows, max_attempts))?;
    // By lease: of two leases of one message, one was in force.
    Ok(first
        .into_iter()
        .zip(ends)
        .map(|(seq, end)| match seq.and_then(|_| ended.remove(&end.lease)) {
            None => LeaseEnded::Lost,
            Some(row) => match row.state {
                MailboxState::Done => LeaseEnded::Done(row),
                MailboxState::Dead => LeaseEnded::Dead(row),
                MailboxState::Queued | MailboxState::Leased => LeaseEnded::Waits(row),
            },
        })
        .collect())
}

/// Returns the messages, by the lease that was in force.
async fn end_once(
    pool: &PgPool,
    holder: Holder<'_>,
    ends: &[(i64, &LeaseEnd)],
    max_attempts: i64,
) -> Result<HashMap<String, MailboxRow>, sqlx::Error> {
    let is_free = |end: &LeaseEnd| end.free && end.outcome == MailboxOutcome::Retry;
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, &BTreeSet::from([holder.account_id])).await?;
    let rows = sqlx::query(END)
        .bind(ends.iter().map(|(seq, _)| *seq).collect::<Vec<_>>())
        .bind(ends.iter().map(|(_, end)| stored(&end.lease)).collect::<Vec<_>>())
        .bind(stored(holder.account_id))
        .bind(stored(holder.session_tag))
        .bind(Time(holder.now))
        .bind(max_attempts)
        .bind(ends.iter().map(|(_, end)| end.outcome.as_str()).collect::<Vec<_>>())
        .bind(ends.iter().map(|(_, end)| i64::from(is_free(end))).collect::<Vec<_>>())
        .bind(ends.iter().map(|(_, end)| Time(end.available_at)).collect::<Vec<_>>())
        .bind(
            ends.iter()
                .map(|(_, end)| opt_stored(end.code.as_deref()))
                .collect::<Vec<_>>(),
        )
        .bind(
            ends.iter()
                .map(|(_, end)| opt_stored(end.detail.as_deref()))
                .collect::<Vec<_>>(),
        )
        .fetch_all(&mut *transaction)
        .await?;
    let ended = rows
        .iter()
        .map(|row| Ok((text_column(row, "ended_lease")?, mailbox_row(row)?)))
        .collect::<Result<HashMap<_, _>, sqlx::Error>>()?;
    let mut changes = UsageChanges::default();
    ended.values().for_each(|row| changes.ended(row));
    save(&mut transaction, &changes).await?;
    transaction.commit().await?;
    Ok(ended)
}

/// What [`Mailboxes::extend_leases`](crate::store::Mailboxes::extend_leases) says.
pub(super) async fn extend_leases(
    store: &PostgresStore,
    account_id: &str,
    session_tag: &str,
    leases: &[String],
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    let pool = store.pool()?;
    let seqs: Vec<Option<i64>> = leases.iter().map(|lease| seq_of_lease(lease)).collect();
    let rows: Vec<(i64, &str)> = seqs
        .iter()
        .zip(leases)
        .filter_map(|(seq, lease)| Some(((*seq)?, lease.as_str())))
        .collect();
    if rows.is_empty() {
        return Ok(vec![false; leases.len()]);
    }
    let holder = Holder {
        account_id,
        session_tag,
        now,
    };
    let extended = retry_on_conflict!(extend_once(pool, holder, &rows, until))?;
    // A lease that is not the message's last one has the same number and another token.
    let extended: HashSet<&str> = extended.iter().map(String::as_str).collect();
    Ok(leases.iter().map(|lease| extended.contains(lease.as_str())).collect())
}

/// Returns the leases that were in force.
async fn extend_once(
    pool: &PgPool,
    holder: Holder<'_>,
    leases: &[(i64, &str)],
    until: Timestamp,
) -> Result<Vec<String>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, &BTreeSet::from([holder.account_id])).await?;
    let extended: Vec<String> = sqlx::query_scalar(EXTEND)
        .bind(leases.iter().map(|(seq, _)| *seq).collect::<Vec<_>>())
        .bind(leases.iter().map(|(_, lease)| stored(lease)).collect::<Vec<_>>())
        .bind(stored(holder.account_id))
        .bind(stored(holder.session_tag))
        .bind(Time(holder.now))
        .bind(Time(until))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(extended.into_iter().map(read).collect())
}
