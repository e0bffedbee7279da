//! What operators and the sweep do to messages of mailboxes.

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::MailboxState;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::row::{columns, mailbox_rows, save_usage, state_column};
use crate::error::StoreError;
use crate::mailbox_admission::UsageChanges;
use crate::model::{MailboxChoice, MailboxRow};
use crate::sqlite::SqliteStore;
use crate::sqlite::error::failed;

/// A replaced row gets the next `seq`.
const REQUEUE: &str = "INSERT OR REPLACE INTO agent_mailbox (account_id, message_id, from_account_id, thread_id, kind, \
     body, bytes, ack, state, attempts, available_at, last_code, last_detail, queued_at, expires_at) \
     SELECT account_id, message_id, from_account_id, thread_id, kind, body, bytes, ack, 'queued', 0, ";

pub(super) const EXPIRE: &str = concat!(
    "DELETE FROM agent_mailbox WHERE seq IN (SELECT seq FROM agent_mailbox INDEXED BY idx_agent_mailbox_expires \
     WHERE done_at IS NULL AND expires_at <= ?1 AND (state = 'queued' OR lease_until <= ?1) \
     ORDER BY expires_at LIMIT ?2) RETURNING ",
    columns!()
);

pub(super) const BURY: &str = concat!(
    "UPDATE agent_mailbox SET state = 'dead', done_at = ?1, lease = NULL, lease_until = NULL, lease_session = NULL \
     WHERE seq IN (SELECT seq FROM agent_mailbox INDEXED BY idx_agent_mailbox_attempts WHERE done_at IS NULL \
     AND attempts > 0 AND state IN ('queued', 'leased') AND attempts >= ?2 AND (state = 'queued' OR lease_until <= ?1) \
     LIMIT ?3) RETURNING ",
    columns!()
);

pub(super) const PRUNE: &str = "DELETE FROM agent_mailbox WHERE seq IN (\
     SELECT seq FROM agent_mailbox WHERE state = 'done' AND done_at < ?1 UNION ALL \
     SELECT seq FROM agent_mailbox WHERE state = 'dead' AND done_at < ?2 LIMIT ?3) RETURNING account_id, state, bytes";

/// What [`Mailboxes::requeue_messages`](crate::store::Mailboxes::requeue_messages) says.
pub(super) async fn requeue_messages(
    store: &SqliteStore,
    account_id: &str,
    choice: &MailboxChoice,
    now: Timestamp,
) -> Result<Vec<MailboxRow>, StoreError> {
    let mut sql = QueryBuilder::new(REQUEUE);
    sql.push_bind(now.as_micros())
        .push(", last_code, last_detail, queued_at, expires_at FROM agent_mailbox WHERE expires_at > ")
        .push_bind(now.as_micros())
        .push(" AND ");
    if !push_choice(&mut sql, account_id, choice, &[MailboxState::Dead]) {
        return Ok(Vec::new());
    }
    sql.push(concat!(" RETURNING ", columns!()));
    change(store, &mut sql, UsageChanges::requeued).await
}

/// What [`Mailboxes::drop_messages`](crate::store::Mailboxes::drop_messages) says.
pub(super) async fn drop_messages(
    store: &SqliteStore,
    account_id: &str,
    choice: &MailboxChoice,
) -> Result<Vec<MailboxRow>, StoreError> {
    let kept = [MailboxState::Queued, MailboxState::Leased, MailboxState::Dead];
    let mut sql = QueryBuilder::new("DELETE FROM agent_mailbox WHERE seq IN (SELECT seq FROM agent_mailbox WHERE ");
    if !push_choice(&mut sql, account_id, choice, &kept) {
        return Ok(Vec::new());
    }
    sql.push(concat!(") RETURNING ", columns!()));
    change(store, &mut sql, deleted).await
}

/// What [`Mailboxes::expire_messages`](crate::store::Mailboxes::expire_messages) says.
pub(super) async fn expire_messages(
    store: &SqliteStore,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<MailboxRow>, StoreError> {
    let mut transaction = store.begin_write().await?;
    let rows = sqlx::query(EXPIRE)
        .bind(now.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    let rows = mailbox_rows(&rows).map_err(failed)?;
    let mut changes = UsageChanges::default();
    rows.iter().for_each(|row| deleted(&mut changes, row));
    save_usage(&mut transaction, &changes).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
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
    rows.iter().for_each(|row| changes.ended(row));
    save_usage(&mut transaction, &changes).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(rows)
}

/// What [`Mailboxes::prune_mailboxes`](crate::store::Mailboxes::prune_mailboxes) says.
pub(super) async fn prune_mailboxes(
    store: &SqliteStore,
    done_before: Timestamp,
    dead_before: Timestamp,
    limit: usize,
) -> Result<u64, StoreError> {
    let mut transaction = store.begin_write().await?;
    let rows = sqlx::query(PRUNE)
        .bind(done_before.as_micros())
        .bind(dead_before.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    let mut changes = UsageChanges::default();
    for row in &rows {
        let account_id: &str = row.try_get("account_id").map_err(failed)?;
        let bytes = row.try_get("bytes").map_err(failed)?;
        changes.deleted(account_id, state_column(row).map_err(failed)?, bytes);
    }
    save_usage(&mut transaction, &changes).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(rows.len() as u64)
}

/// Counts a row that was deleted.
fn deleted(changes: &mut UsageChanges, row: &MailboxRow) {
    changes.deleted(&row.account_id, row.state, row.bytes);
}

/// Changes the messages that an operator chose, and the counters.
async fn change(
    store: &SqliteStore,
    sql: &mut QueryBuilder<Sqlite>,
    count: impl Fn(&mut UsageChanges, &MailboxRow) + Send,
) -> Result<Vec<MailboxRow>, StoreError> {
    let mut transaction = store.begin_write().await?;
    let rows = sql.build().fetch_all(&mut *transaction).await.map_err(failed)?;
    let rows = mailbox_rows(&rows).map_err(failed)?;
    let mut changes = UsageChanges::default();
    rows.iter().for_each(|row| count(&mut changes, row));
    save_usage(&mut transaction, &changes).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(rows)
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
