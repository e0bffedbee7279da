//! What operators and the sweep do to messages of mailboxes.

use std::collections::BTreeSet;

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::MailboxState;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _};

use super::row::{columns, mailbox_rows, state_column, text_column};
use super::usage::{lock, save};
use crate::error::StoreError;
use crate::mailbox_admission::UsageChanges;
use crate::model::{MailboxChoice, MailboxRow};
use crate::postgres::value::{Time, read, stored};
use crate::postgres::{PostgresStore, retry_on_conflict};

/// Numbers are given in the order in which the messages had been put in. `$2` is the choice, `$3` its limit, `$4` the time.
macro_rules! requeue {
    ($choice:literal) => {
        concat!(
            "WITH chosen AS (SELECT seq AS old_seq FROM agent_mailbox WHERE account_id = $1 AND state = 'dead' \
             AND expires_at > $4 AND ",
            $choice,
            " ORDER BY seq LIMIT $3), numbered AS (SELECT old_seq, nextval('agent_mailbox_seq_seq') AS new_seq FROM \
             (SELECT old_seq FROM chosen ORDER BY old_seq) AS sorted) \
             UPDATE agent_mailbox SET seq = new_seq, state = 'queued', attempts = 0, available_at = $4, done_at = NULL \
             FROM numbered WHERE seq = old_seq RETURNING ",
            columns!()
        )
    };
}

/// `$2` is the choice, `$3` its limit.
macro_rules! drop_chosen {
    ($choice:literal) => {
        concat!(
            "WITH chosen AS (SELECT seq AS old_seq FROM agent_mailbox WHERE account_id = $1 AND ",
            $choice,
            " ORDER BY seq LIMIT $3) DELETE FROM agent_mailbox USING chosen WHERE seq = old_seq RETURNING ",
            columns!()
        )
    };
}

const REQUEUE_MESSAGES: &str = requeue!("message_id = ANY($2)");
const REQUEUE_STATE: &str = requeue!("state = ANY($2)");
const DROP_MESSAGES: &str = drop_chosen!("message_id = ANY($2) AND state IN ('queued', 'leased', 'dead')");
const DROP_STATE: &str = drop_chosen!("state = ANY($2)");

macro_rules! is_expired {
    () => {
        " WHERE done_at IS NULL AND expires_at <= $1 AND (state = 'queued' OR lease_until <= $1)"
    };
}

macro_rules! is_given_up {
    () => {
        " WHERE done_at IS NULL AND attempts > 0 AND state IN ('queued', 'leased') AND attempts >= $2 \
         AND (state = 'queued' OR lease_until <= $1)"
    };
}

/// A change of messages of several accounts: `find` selects them without locks, `change` changes those that still are so.
struct Sweep {
    find: &'static str,
    change: &'static str,
}

pub(super) const FIND_EXPIRED: &str = concat!(
    "SELECT seq, account_id FROM agent_mailbox",
    is_expired!(),
    " ORDER BY expires_at LIMIT $2"
);
const EXPIRE: Sweep = Sweep {
    find: FIND_EXPIRED,
    change: concat!(
        "DELETE FROM agent_mailbox",
        is_expired!(),
        " AND seq = ANY($2) RETURNING ",
        columns!()
    ),
};

pub(super) const FIND_GIVEN_UP: &str = concat!(
    "SELECT seq, account_id FROM agent_mailbox",
    is_given_up!(),
    " ORDER BY seq LIMIT $3"
);
const BURY: Sweep = Sweep {
    find: FIND_GIVEN_UP,
    change: concat!(
        "UPDATE agent_mailbox SET state = 'dead', done_at = $1, lease = NULL, lease_until = NULL, lease_session = NULL",
        is_given_up!(),
        " AND seq = ANY($3) RETURNING ",
        columns!()
    ),
};

pub(super) const FIND_OLD: &str = "(SELECT seq, account_id FROM agent_mailbox WHERE state = 'done' AND done_at < $1 LIMIT $3) \
     UNION ALL (SELECT seq, account_id FROM agent_mailbox WHERE state = 'dead' AND done_at < $2 LIMIT $3) LIMIT $3";
const PRUNE: Sweep = Sweep {
    find: FIND_OLD,
    change: "DELETE FROM agent_mailbox WHERE (state = 'done' AND done_at < $1 OR state = 'dead' AND done_at < $2) \
             AND seq = ANY($3) RETURNING account_id, state, bytes",
};

/// What [`Mailboxes::requeue_messages`](crate::store::Mailboxes::requeue_messages) says.
pub(super) async fn requeue_messages(
    store: &PostgresStore,
    account_id: &str,
    choice: &MailboxChoice,
    now: Timestamp,
) -> Result<Vec<MailboxRow>, StoreError> {
    let pool = store.pool()?;
    let sql = match choice {
        MailboxChoice::Messages(_) => REQUEUE_MESSAGES,
        MailboxChoice::State(MailboxState::Dead, _) => REQUEUE_STATE,
        MailboxChoice::State(..) => return Ok(Vec::new()),
    };
    let statement = || chosen(sql, account_id, choice).bind(Time(now));
    retry_on_conflict!(change(pool, account_id, statement(), UsageChanges::requeued))
}

/// What [`Mailboxes::drop_messages`](crate::store::Mailboxes::drop_messages) says.
pub(super) async fn drop_messages(
    store: &PostgresStore,
    account_id: &str,
    choice: &MailboxChoice,
) -> Result<Vec<MailboxRow>, StoreError> {
    let pool = store.pool()?;
    let sql = match choice {
        MailboxChoice::Messages(_) => DROP_MESSAGES,
        MailboxChoice::State(MailboxState::Done, _) => return Ok(Vec::new()),
        MailboxChoice::State(..) => DROP_STATE,
    };
    retry_on_conflict!(change(pool, account_id, chosen(sql, account_id, choice), deleted))
}

/// What [`Mailboxes::expire_messages`](crate::store::Mailboxes::expire_messages) says.
pub(super) async fn expire_messages(
    store: &PostgresStore,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<MailboxRow>, StoreError> {
    let pool = store.pool()?;
    let bound = |sql| sqlx::query(sql).bind(Time(now));
    retry_on_conflict!(async {
        let rows = sweep(pool, &EXPIRE, bound, limit, |changes, rows| {
            let rows = mailbox_rows(rows)?;
            rows.iter().for_each(|row| deleted(changes, row));
            Ok(rows)
        })
        .await?;
        Ok::<_, sqlx::Error>(rows.unwrap_or_default())
    })
}

/// What [`Mailboxes::bury_messages`](crate::store::Mailboxes::bury_messages) says.
pub(super) async fn bury_messages(
    store: &PostgresStore,
    now: Timestamp,
    max_attempts: i64,
    limit: usize,
) -> Result<Vec<MailboxRow>, StoreError> {
    let pool = store.pool()?;
    let bound = |sql| sqlx::query(sql).bind(Time(now)).bind(max_attempts);
    retry_on_conflict!(async {
        let rows = sweep(pool, &BURY, bound, limit, |changes, rows| {
            let rows = mailbox_rows(rows)?;
            rows.iter().for_each(|row| changes.ended(row));
            Ok(rows)
        })
        .await?;
        Ok::<_, sqlx::Error>(rows.unwrap_or_default())
    })
}

/// What [`Mailboxes::prune_mailboxes`](crate::store::Mailboxes::prune_mailboxes) says.
pub(super) async fn prune_mailboxes(
    store: &PostgresStore,
    done_before: Timestamp,
    dead_before: Timestamp,
    limit: usize,
) -> Result<u64, StoreError> {
    let pool = store.pool()?;
    let bound = |sql| sqlx::query(sql).bind(Time(done_before)).bind(Time(dead_before));
    retry_on_conflict!(async {
        let pruned = sweep(pool, &PRUNE, bound, limit, |changes, rows| {
            for row in rows {
                let account_id = text_column(row, "account_id")?;
                changes.deleted(&account_id, state_column(row)?, row.try_get("bytes")?);
            }
            Ok(rows.len() as u64)
        })
        .await?;
        Ok::<_, sqlx::Error>(pruned.unwrap_or_default())
    })
}

/// Counts a row that was deleted.
fn deleted(changes: &mut UsageChanges, row: &MailboxRow) {
    changes.deleted(&row.account_id, row.state, row.bytes);
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// A statement with the account, the choice and its limit.
fn chosen(sql: &'static str, account_id: &str, choice: &MailboxChoice) -> Statement<'static> {
    let (values, limit) = match choice {
        MailboxChoice::Messages(ids) => (ids.iter().map(|id| stored(id).into_owned()).collect(), usize::MAX),
        MailboxChoice::State(state, limit) => (vec![state.as_str().to_owned()], *limit),
    };
    sqlx::query(sql)
        .bind(stored(account_id).into_owned())
        .bind(values)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
}

/// Changes messages of one account, and the counters.
async fn change(
    pool: &PgPool,
    account_id: &str,
    statement: Statement<'static>,
    count: impl Fn(&mut UsageChanges, &MailboxRow),
) -> Result<Vec<MailboxRow>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, &BTreeSet::from([account_id])).await?;
    let rows = mailbox_rows(&statement.fetch_all(&mut *transaction).await?)?;
    let mut changes = UsageChanges::default();
    rows.iter().for_each(|row| count(&mut changes, row));
    save(&mut transaction, &changes).await?;
    transaction.commit().await?;
    Ok(rows)
}

/// Changes messages of several accounts, and the counters; `None` if there is nothing to do. `bound` binds the parameters that
/// the statements share; the next one is the limit of the first, the numbers of the second.
async fn sweep<T>(
    pool: &PgPool,
    sweep: &Sweep,
    bound: impl Fn(&'static str) -> Statement<'static>,
    limit: usize,
    count: impl Fn(&mut UsageChanges, &[PgRow]) -> Result<T, sqlx::Error>,
) -> Result<Option<T>, sqlx::Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found: Vec<(i64, String)> = bound(sweep.find)
        .bind(limit)
        .fetch_all(pool)
        .await?
        .iter()
        .map(|row| Ok((row.try_get("seq")?, row.try_get("account_id").map(read)?)))
        .collect::<Result<_, sqlx::Error>>()?;
    if found.is_empty() {
        return Ok(None);
    }
    let accounts: BTreeSet<&str> = found.iter().map(|(_, account_id)| account_id.as_str()).collect();
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, &accounts).await?;
    let rows = bound(sweep.change)
        .bind(found.iter().map(|(seq, _)| *seq).collect::<Vec<_>>())
        .fetch_all(&mut *transaction)
        .await?;
    let mut changes = UsageChanges::default();
    let outcome = count(&mut changes, &rows)?;
    save(&mut transaction, &changes).await?;
    transaction.commit().await?;
    Ok(Some(outcome))
}
