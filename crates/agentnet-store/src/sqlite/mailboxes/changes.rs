//! What operators and the sweep do to messages of mailboxes.

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::MailboxState;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite, Transaction};

use super::ends::end_messages;
use super::leases::release_behind;
use super::row::{columns, mailbox_rows, save_usage};
use crate::dead_letters::RequeueSelection;
use crate::error::StoreError;
use crate::lease_selection::Lapsed;
use crate::mailbox_admission::UsageChanges;
use crate::model::{MailboxChoice, MailboxEnd, MailboxLimits, MailboxRow};
use crate::sqlite::SqliteStore;
use crate::sqlite::error::failed;
use crate::sqlite::statement_batches::statement_batches;

/// A replaced row gets the next `seq`.
const REQUEUE: &str = "INSERT OR REPLACE INTO agent_mailbox (account_id, message_id, from_account_id, thread_id, kind, \
     body, bytes, ack, state, attempts, available_at, last_code, last_detail, queued_at, expires_at) \
     SELECT account_id, message_id, from_account_id, thread_id, kind, body, bytes, ack, 'queued', 0, ";

pub(super) const EXPIRED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_mailbox INDEXED BY idx_agent_mailbox_expires \
     WHERE done_at IS NULL AND expires_at <= ?1 AND (state = 'queued' OR lease_until <= ?1) ORDER BY expires_at LIMIT ?2"
);

/// The messages behind an earlier one of their sender that was leased with them were not begun.
pub(super) const BURY: &str = concat!(
    "UPDATE agent_mailbox SET state = 'dead', done_at = ?1, untold_since = ?1, lease = NULL, lease_until = NULL, \
     lease_session = NULL WHERE seq IN (SELECT seq FROM agent_mailbox m INDEXED BY idx_agent_mailbox_attempts \
     WHERE done_at IS NULL AND attempts > 0 AND state IN ('queued', 'leased') AND attempts >= ?2 \
     AND (state = 'queued' OR lease_until <= ?1 AND NOT EXISTS (SELECT 1 FROM agent_mailbox e \
     WHERE e.account_id = m.account_id AND e.from_account_id = m.from_account_id AND e.state = 'leased' \
     AND e.seq < m.seq)) LIMIT ?3) RETURNING ",
    columns!()
);

pub(super) const PRUNE: &str = "DELETE FROM agent_mailbox WHERE untold_since IS NULL AND seq IN (\
     SELECT seq FROM agent_mailbox WHERE forget_at <= ?1 UNION ALL \
     SELECT seq FROM agent_mailbox WHERE state = 'dead' AND done_at < ?2 LIMIT ?3) \
     RETURNING account_id, CASE state WHEN 'dead' THEN bytes ELSE 0 END AS dead_bytes";

/// How many messages of each sender wait or are leased.
pub(super) const SENDERS: &str = "SELECT from_account_id, COUNT(*) FROM agent_mailbox WHERE account_id = ? \
     AND state IN ('queued', 'leased') GROUP BY from_account_id";

/// Dead letters of one state that one call looks at.
const MAX_CANDIDATES: usize = 10_000;

/// What [`Mailboxes::requeue_messages`](crate::store::Mailboxes::requeue_messages) says.
pub(super) async fn requeue_messages(
    store: &SqliteStore,
    account_id: &str,
    choice: &MailboxChoice,
    now: Timestamp,
    limits: &MailboxLimits,
) -> Result<Vec<MailboxRow>, StoreError> {
    // Those that a limit keeps out make room for others of the same choice.
    let (candidates, limit) = match choice {
        MailboxChoice::Messages(_) => (choice.clone(), usize::MAX),
        MailboxChoice::State(state, limit) => (MailboxChoice::State(*state, MAX_CANDIDATES), *limit),
    };
    let mut sql = QueryBuilder::new("SELECT seq, from_account_id FROM agent_mailbox WHERE expires_at > ");
    sql.push_bind(now.as_micros()).push(" AND ");
    if !push_choice(&mut sql, account_id, &candidates, &[MailboxState::Dead]) {
        return Ok(Vec::new());
    }
    let mut transaction = store.begin_write().await?;
    let senders: Vec<(String, i64)> = sqlx::query_as(SENDERS)
        .bind(account_id)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    let mut selection = RequeueSelection::new(limits, senders.into_iter().collect());
    for row in sql.build().fetch_all(&mut *transaction).await.map_err(failed)? {
        let sender = row.try_get("from_account_id").map_err(failed)?;
        selection.offer(row.try_get("seq").map_err(failed)?, sender);
    }
    let chosen = selection.into_chosen(limit);
    let rows = requeue(&mut transaction, &chosen, now).await.map_err(failed)?;
    let mut changes = UsageChanges::default();
    rows.iter().for_each(|row| changes.requeued(row));
    save_usage(&mut transaction, &changes).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(rows)
}

/// Lets these messages wait again, behind all others.
async fn requeue(
    connection: &mut SqliteConnection,
    seqs: &[i64],
    now: Timestamp,
) -> Result<Vec<MailboxRow>, sqlx::Error> {
    let mut requeued = Vec::with_capacity(seqs.len());
    for run in statement_batches(seqs) {
        let mut sql = QueryBuilder::<Sqlite>::new(REQUEUE);
        sql.push_bind(now.as_micros())
            .push(", last_code, last_detail, queued_at, expires_at FROM agent_mailbox WHERE seq IN (");
        let mut places = sql.separated(", ");
        for seq in run {
            places.push_bind(*seq);
        }
        sql.push(concat!(") ORDER BY seq RETURNING ", columns!()));
        requeued.extend(sql.build().fetch_all(&mut *connection).await?);
    }
    mailbox_rows(&requeued)
}

/// What [`Mailboxes::drop_messages`](crate::store::Mailboxes::drop_messages) says.
pub(super) async fn drop_messages(
    store: &SqliteStore,
    account_id: &str,
    choice: &MailboxChoice,
    now: Timestamp,
) -> Result<Vec<MailboxRow>, StoreError> {
    let kept = [MailboxState::Queued, MailboxState::Leased, MailboxState::Dead];
    let mut sql = QueryBuilder::new(concat!("SELECT ", columns!(), " FROM agent_mailbox WHERE "));
    if !push_choice(&mut sql, account_id, choice, &kept) {
        return Ok(Vec::new());
    }
    let mut transaction = store.begin_write().await?;
    let rows = sql.build().fetch_all(&mut *transaction).await.map_err(failed)?;
    end_all(transaction, &rows, MailboxEnd::Dropped, now)
        .await
        .map_err(failed)
}

/// What [`Mailboxes::expire_messages`](crate::store::Mailboxes::expire_messages) says.
pub(super) async fn expire_messages(
    store: &SqliteStore,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<MailboxRow>, StoreError> {
    let mut transaction = store.begin_write().await?;
    let rows = sqlx::query(EXPIRED)
        .bind(now.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    end_all(transaction, &rows, MailboxEnd::Expired, now)
        .await
        .map_err(failed)
}

/// Ends messages that were read; returns them as they were.
async fn end_all(
    mut transaction: Transaction<'_, Sqlite>,
    rows: &[SqliteRow],
    end: MailboxEnd,
    now: Timestamp,
) -> Result<Vec<MailboxRow>, sqlx::Error> {
    let rows = mailbox_rows(rows)?;
    let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    end_messages(&mut transaction, &seqs, end, now, now).await?;
    let mut changes = UsageChanges::default();
    for row in &rows {
        changes.deleted(&row.account_id, row.state, row.bytes);
    }
    save_usage(&mut transaction, &changes).await?;
    transaction.commit().await?;
    Ok(rows)
}

/// What [`Mailboxes::bury_messages`](crate::store::Mailboxes::bury_messages) says.
pub(super) async fn bury_messages(
    store: &SqliteStore,
    now: Timestamp,
    max_attempts: i64,
    limit: usize,
) -> Result<Vec<MailboxRow>, StoreError> {
    let mut transaction = store.begin_write().await?;
    let rows = sqlx::query(BURY)
        .bind(now.as_micros())
        .bind(max_attempts)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    let rows = mailbox_rows(&rows).map_err(failed)?;
    let mut changes = UsageChanges::default();
    for row in &rows {
        changes.ended(row);
        let lapsed = Lapsed::of(row);
        release_behind(&mut transaction, &row.account_id, &lapsed, now)
            .await
            .map_err(failed)?;
    }
    save_usage(&mut transaction, &changes).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(rows)
}

/// What [`Mailboxes::prune_mailboxes`](crate::store::Mailboxes::prune_mailboxes) says.
pub(super) async fn prune_mailboxes(
    store: &SqliteStore,
    now: Timestamp,
    dead_before: Timestamp,
    limit: usize,
) -> Result<u64, StoreError> {
    let mut transaction = store.begin_write().await?;
    let rows = sqlx::query(PRUNE)
        .bind(now.as_micros())
        .bind(dead_before.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    let mut changes = UsageChanges::default();
    for row in &rows {
        let account_id: &str = row.try_get("account_id").map_err(failed)?;
        let dead_bytes = row.try_get("dead_bytes").map_err(failed)?;
        changes.deleted(account_id, MailboxState::Dead, dead_bytes);
    }
    save_usage(&mut transaction, &changes).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(rows.len() as u64)
}

/// Adds the condition of a choice, its order and its limit; `false` if it can mean no message in one of these states.
pub(super) fn push_choice(
    sql: &mut QueryBuilder<Sqlite>,
    account_id: &str,
    choice: &MailboxChoice,
    states: &[MailboxState],
) -> bool {
    sql.push("account_id = ").push_bind(account_id.to_owned());
    match choice {
        MailboxChoice::Messages(ids) => {
            if ids.is_empty() {
                return false;
            }
            sql.push(" AND message_id IN (");
            let mut values = sql.separated(", ");
            for id in ids {
                values.push_bind(id.clone());
            }
            sql.push(") AND state IN (");
            let mut values = sql.separated(", ");
            for state in states {
                values.push_bind(state.as_str());
            }
            sql.push(") ORDER BY seq");
        }
        MailboxChoice::State(state, limit) => {
            if !states.contains(state) {
                return false;
            }
            sql.push(" AND state = ")
                .push_bind(state.as_str())
                .push(" ORDER BY seq LIMIT ")
                .push_bind(i64::try_from(*limit).unwrap_or(i64::MAX));
        }
    }
    true
}
