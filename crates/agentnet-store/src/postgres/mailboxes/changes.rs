//! What operators and the sweep do to messages of mailboxes.

use std::collections::BTreeSet;

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::MailboxState;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _, Transaction};

use super::ends::end_messages;
use super::leases::release_behind;
use super::row::{columns, mailbox_rows, text_column};
use super::usage::{lock, save};
use crate::dead_letters::RequeueSelection;
use crate::error::StoreError;
use crate::lease_selection::Lapsed;
use crate::mailbox_admission::UsageChanges;
use crate::model::{MailboxChoice, MailboxEnd, MailboxLimits, MailboxRow};
use crate::postgres::value::{Time, read, stored};
use crate::postgres::{PostgresStore, retry_on_conflict};

/// `$2` is the choice, `$3` the time.
macro_rules! dead_letters {
    ($choice:literal) => {
        concat!(
            "SELECT seq, from_account_id FROM agent_mailbox WHERE account_id = $1 AND state = 'dead' AND expires_at > $3 AND ",
            $choice,
            " ORDER BY seq LIMIT $4"
        )
    };
}

const DEAD_MESSAGES: &str = dead_letters!("message_id = ANY($2)");
const DEAD_STATE: &str = dead_letters!("state = ANY($2)");
/// Dead letters that one call looks at.
const MAX_CANDIDATES: i64 = 10_000;

/// How many messages of each sender wait or are leased.
const SENDERS: &str = "SELECT from_account_id, count(*) FROM agent_mailbox WHERE account_id = $1 \
     AND state IN ('queued', 'leased') GROUP BY from_account_id";

/// Numbers are given in the order in which the messages had been put in.
const REQUEUE: &str = concat!(
    "WITH numbered AS (SELECT old_seq, nextval('agent_mailbox_seq_seq') AS new_seq FROM \
     (SELECT old_seq FROM unnest($1::bigint[]) AS chosen (old_seq) ORDER BY old_seq) AS sorted) \
     UPDATE agent_mailbox SET seq = new_seq, state = 'queued', attempts = 0, lapses = 0, available_at = $2, done_at = NULL, \
     untold_since = NULL FROM numbered WHERE seq = old_seq RETURNING ",
    columns!()
);

/// `$2` is the choice, `$3` its limit.
macro_rules! undelivered {
    ($choice:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM agent_mailbox WHERE account_id = $1 AND ",
            $choice,
            " ORDER BY seq LIMIT $3"
        )
    };
}

const UNDELIVERED_MESSAGES: &str = undelivered!("message_id = ANY($2) AND state IN ('queued', 'leased', 'dead')");
const UNDELIVERED_STATE: &str = undelivered!("state = ANY($2)");

macro_rules! is_expired {
    () => {
        " WHERE done_at IS NULL AND expires_at <= $1 AND (state = 'queued' OR lease_until <= $1)"
    };
}

/// The messages behind an earlier one of their sender that was leased with them were not begun.
macro_rules! is_given_up {
    () => {
        " WHERE m.done_at IS NULL AND m.attempts > 0 AND m.state IN ('queued', 'leased') AND m.attempts >= $2 \
         AND (m.state = 'queued' OR m.lease_until <= $1 AND NOT EXISTS (SELECT 1 FROM agent_mailbox e \
         WHERE e.account_id = m.account_id AND e.from_account_id = m.from_account_id AND e.state = 'leased' \
         AND e.seq < m.seq))"
    };
}

/// A change of messages of several accounts: `find` selects them without locks, `change` changes, or selects again, those that
/// still are so.
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
        "SELECT ",
        columns!(),
        " FROM agent_mailbox",
        is_expired!(),
        " AND seq = ANY($2)"
    ),
};

pub(super) const FIND_GIVEN_UP: &str = concat!(
    "SELECT m.seq, m.account_id FROM agent_mailbox m",
    is_given_up!(),
    " ORDER BY m.seq LIMIT $3"
);
const BURY: Sweep = Sweep {
    find: FIND_GIVEN_UP,
    change: concat!(
        "UPDATE agent_mailbox m SET state = 'dead', done_at = $1, untold_since = $1, lease = NULL, lease_until = NULL, \
         lease_session = NULL",
        is_given_up!(),
        " AND m.seq = ANY($3) RETURNING ",
        columns!()
    ),
};

pub(super) const FIND_OLD: &str = "(SELECT seq, account_id FROM agent_mailbox WHERE forget_at <= $1 \
     AND untold_since IS NULL LIMIT $3) UNION ALL (SELECT seq, account_id FROM agent_mailbox WHERE state = 'dead' \
     AND done_at < $2 AND untold_since IS NULL LIMIT $3) LIMIT $3";
const PRUNE: Sweep = Sweep {
    find: FIND_OLD,
    change: "DELETE FROM agent_mailbox WHERE (forget_at <= $1 OR state = 'dead' AND done_at < $2) \
             AND untold_since IS NULL AND seq = ANY($3) \
             RETURNING account_id, CASE state WHEN 'dead' THEN bytes ELSE 0 END AS dead_bytes",
};

/// What [`Mailboxes::requeue_messages`](crate::store::Mailboxes::requeue_messages) says.
pub(super) async fn requeue_messages(
    store: &PostgresStore,
    account_id: &str,
    choice: &MailboxChoice,
    now: Timestamp,
    limits: &MailboxLimits,
) -> Result<Vec<MailboxRow>, StoreError> {
    let pool = store.pool()?;
    let (sql, limit) = match choice {
        MailboxChoice::Messages(_) => (DEAD_MESSAGES, usize::MAX),
        MailboxChoice::State(MailboxState::Dead, limit) => (DEAD_STATE, *limit),
        MailboxChoice::State(..) => return Ok(Vec::new()),
    };
    retry_on_conflict!(async {
        let mut transaction = pool.begin().await?;
        lock(&mut transaction, &BTreeSet::from([account_id])).await?;
        let senders: Vec<(String, i64)> = sqlx::query_as(SENDERS)
            .bind(stored(account_id).into_owned())
            .fetch_all(&mut *transaction)
            .await?;
        let senders = senders.into_iter().map(|(sender, waiting)| (read(sender), waiting));
        let mut selection = RequeueSelection::new(limits, senders.collect());
        // Those that a limit keeps out make room for others of the same choice.
        let candidates = sqlx::query(sql)
            .bind(stored(account_id).into_owned())
            .bind(chosen_values(choice))
            .bind(Time(now))
            .bind(MAX_CANDIDATES)
            .fetch_all(&mut *transaction)
            .await?;
        for row in &candidates {
            selection.offer(row.try_get("seq")?, text_column(row, "from_account_id")?);
        }
        let rows = sqlx::query(REQUEUE)
            .bind(selection.into_chosen(limit))
            .bind(Time(now))
            .fetch_all(&mut *transaction)
            .await?;
        let rows = mailbox_rows(&rows)?;
        let mut changes = UsageChanges::default();
        rows.iter().for_each(|row| changes.requeued(row));
        save(&mut transaction, &changes).await?;
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(rows)
    })
}

/// What [`Mailboxes::drop_messages`](crate::store::Mailboxes::drop_messages) says.
pub(super) async fn drop_messages(
    store: &PostgresStore,
    account_id: &str,
    choice: &MailboxChoice,
    now: Timestamp,
) -> Result<Vec<MailboxRow>, StoreError> {
    let pool = store.pool()?;
    let (sql, limit) = match choice {
        MailboxChoice::Messages(_) => (UNDELIVERED_MESSAGES, usize::MAX),
        MailboxChoice::State(MailboxState::Done, _) => return Ok(Vec::new()),
        MailboxChoice::State(_, limit) => (UNDELIVERED_STATE, *limit),
    };
    retry_on_conflict!(async {
        let mut transaction = pool.begin().await?;
        lock(&mut transaction, &BTreeSet::from([account_id])).await?;
        let rows = sqlx::query(sql)
            .bind(stored(account_id).into_owned())
            .bind(chosen_values(choice))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *transaction)
            .await?;
        let rows = end_all(&mut transaction, &rows, MailboxEnd::Dropped, now).await?;
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(rows)
    })
}

/// Ends messages that were read, and counts that; returns them as they were.
async fn end_all(
    connection: &mut PgConnection,
    rows: &[PgRow],
    end: MailboxEnd,
    now: Timestamp,
) -> Result<Vec<MailboxRow>, sqlx::Error> {
    let rows = mailbox_rows(rows)?;
    let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    end_messages(connection, &seqs, end, now, now).await?;
    let mut changes = UsageChanges::default();
    for row in &rows {
        changes.deleted(&row.account_id, row.state, row.bytes);
    }
    save(connection, &changes).await?;
    Ok(rows)
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
        let Some((mut transaction, rows)) = sweep(pool, &EXPIRE, bound, limit).await? else {
            return Ok(Vec::new());
        };
        let rows = end_all(&mut transaction, &rows, MailboxEnd::Expired, now).await?;
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(rows)
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
        let Some((mut transaction, rows)) = sweep(pool, &BURY, bound, limit).await? else {
            return Ok(Vec::new());
        };
        let rows = mailbox_rows(&rows)?;
        let lapsed: Vec<Lapsed> = rows.iter().map(Lapsed::of).collect();
        let accounts = rows.iter().map(|row| row.account_id.as_str());
        release_behind(&mut transaction, &accounts.zip(&lapsed).collect::<Vec<_>>(), now).await?;
        let mut changes = UsageChanges::default();
        rows.iter().for_each(|row| changes.ended(row));
        save(&mut transaction, &changes).await?;
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(rows)
    })
}

/// What [`Mailboxes::prune_mailboxes`](crate::store::Mailboxes::prune_mailboxes) says.
pub(super) async fn prune_mailboxes(
    store: &PostgresStore,
    now: Timestamp,
    dead_before: Timestamp,
    limit: usize,
) -> Result<u64, StoreError> {
    let pool = store.pool()?;
    let bound = |sql| sqlx::query(sql).bind(Time(now)).bind(Time(dead_before));
    retry_on_conflict!(async {
        let Some((mut transaction, rows)) = sweep(pool, &PRUNE, bound, limit).await? else {
            return Ok(0);
        };
        let mut changes = UsageChanges::default();
        for row in &rows {
            let account_id = text_column(row, "account_id")?;
            changes.deleted(&account_id, MailboxState::Dead, row.try_get("dead_bytes")?);
        }
        save(&mut transaction, &changes).await?;
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(rows.len() as u64)
    })
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// The values of a choice: message ids, or a state.
fn chosen_values(choice: &MailboxChoice) -> Vec<String> {
    match choice {
        MailboxChoice::Messages(ids) => ids.iter().map(|id| stored(id).into_owned()).collect(),
        MailboxChoice::State(state, _) => vec![state.as_str().to_owned()],
    }
}

/// Changes messages of several accounts, whose locks it takes; returns the transaction and the rows, `None` if there is nothing
/// to do. `bound` binds the parameters that the statements share; the next one is the limit of the first, the numbers of the
/// second.
async fn sweep(
    pool: &PgPool,
    sweep: &Sweep,
    bound: impl Fn(&'static str) -> Statement<'static>,
    limit: usize,
) -> Result<Option<(Transaction<'static, Postgres>, Vec<PgRow>)>, sqlx::Error> {
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
    Ok(Some((transaction, rows)))
}
