//! The counters of accounts, and with them the locks of mailboxes.

use std::collections::BTreeSet;

use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, Postgres, Row as _, Transaction};

use super::row::text_column;
use crate::mailbox_admission::{Usage, UsageChanges};
use crate::postgres::value::stored;

/// Locks what it reads, in the order of the ids.
const LOCK: &str = "SELECT account_id, messages, bytes FROM agent_mailbox_accounts WHERE account_id = ANY($1) \
     ORDER BY account_id FOR UPDATE";
const CREATE: &str = "INSERT INTO agent_mailbox_accounts (account_id) SELECT account_id \
     FROM unnest($1::text[]) AS new (account_id) ORDER BY account_id COLLATE \"C\" ON CONFLICT (account_id) DO NOTHING";
const LOCK_TOTAL: &str = "SELECT bytes FROM agent_mailbox_accounts WHERE account_id = '' FOR UPDATE";
const ADD: &str = "UPDATE agent_mailbox_accounts a SET messages = a.messages + new.messages, bytes = a.bytes + new.bytes \
     FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS new (account_id, messages, bytes) \
     WHERE a.account_id = new.account_id";
const ADD_TOTAL: &str =
    "UPDATE agent_mailbox_accounts SET messages = messages + $1, bytes = bytes + $2 WHERE account_id = ''";

/// Locks the mailboxes of these accounts, and returns the counters of those that have had messages.
pub(super) async fn lock(
    connection: &mut PgConnection,
    accounts: &BTreeSet<&str>,
) -> Result<Vec<(String, Usage)>, sqlx::Error> {
    let rows = sqlx::query(LOCK)
        .bind(accounts.iter().map(|account_id| stored(account_id)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    rows.iter().map(usage).collect()
}

/// Begins a transaction that has locked the mailboxes of these accounts, and returns their counters. Missing rows are made
/// before: a transaction that holds locks makes none, since it could wait for another one that does the same.
pub(super) async fn begin_locked(
    pool: &PgPool,
    accounts: &BTreeSet<&str>,
) -> Result<(Transaction<'static, Postgres>, Vec<(String, Usage)>), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let mut locked = lock(&mut transaction, accounts).await?;
    if locked.len() < accounts.len() {
        transaction.rollback().await?;
        sqlx::query(CREATE)
            .bind(accounts.iter().map(|account_id| stored(account_id)).collect::<Vec<_>>())
            .execute(pool)
            .await?;
        transaction = pool.begin().await?;
        locked = lock(&mut transaction, accounts).await?;
    }
    Ok((transaction, locked))
}

/// Locks the counters of all accounts together, after those of single ones; returns their bytes.
pub(super) async fn lock_total(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(LOCK_TOTAL).fetch_one(connection).await
}

/// Adds to the counters of accounts that are locked, and of all.
pub(super) async fn save(connection: &mut PgConnection, changes: &UsageChanges) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let count = |read: fn(Usage) -> i64| changes.accounts().map(|(_, usage)| read(usage)).collect::<Vec<_>>();
    sqlx::query(ADD)
        .bind(
            changes
                .accounts()
                .map(|(account_id, _)| stored(account_id))
                .collect::<Vec<_>>(),
        )
        .bind(count(|usage| usage.messages))
        .bind(count(|usage| usage.bytes))
        .execute(&mut *connection)
        .await?;
    let total = changes.total();
    sqlx::query(ADD_TOTAL)
        .bind(total.messages)
        .bind(total.bytes)
        .execute(connection)
        .await?;
    Ok(())
}

fn usage(row: &PgRow) -> Result<(String, Usage), sqlx::Error> {
    let usage = Usage {
        messages: row.try_get("messages")?,
        bytes: row.try_get("bytes")?,
    };
    Ok((text_column(row, "account_id")?, usage))
}
