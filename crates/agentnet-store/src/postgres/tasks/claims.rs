//! Claiming tasks for a session.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sqlx::postgres::PgPool;
use sqlx::{PgConnection, Row as _};

use super::row::{columns, event_columns, event_row, task_row};
use super::write::save;
use crate::error::StoreError;
use crate::model::{StoredTaskEvent, Task, TaskClaimQuery};
use crate::postgres::value::{Time, stored};
use crate::postgres::{PostgresStore, retry_on_conflict};
use crate::task_batch::{TaskBatch, lease_range};

/// Candidates beyond those that are wanted, since others may claim some of them at the same time.
const SPARE_CANDIDATES: i64 = 32;
/// How often a claim looks for other candidates.
const MAX_READS: u32 = 10;

macro_rules! claimable {
    () => {
        " AND state = 'submitted' AND attempt < max_attempts AND not_before <= $3 \
         AND (deadline_at IS NULL OR deadline_at > $3)"
    };
}

macro_rules! in_order {
    () => {
        " ORDER BY priority DESC, not_before, seq LIMIT $4"
    };
}

/// `$1` are capabilities, `$2` is the account, `$3` the time, `$4` the limit.
pub(super) const CANDIDATES: &str = concat!(
    "SELECT seq FROM ((SELECT seq, priority, not_before FROM agent_tasks \
     WHERE capability IS NULL AND assignee_account_id = $2",
    claimable!(),
    in_order!(),
    ") UNION ALL (SELECT t.seq, t.priority, t.not_before FROM unnest($1::text[]) AS wanted (wanted_capability) \
     CROSS JOIN LATERAL (SELECT seq, priority, not_before FROM agent_tasks \
     WHERE capability IS NOT NULL AND capability = wanted_capability",
    claimable!(),
    in_order!(),
    ") AS t)) AS candidates",
    in_order!()
);

const CANDIDATE: &str = concat!(
    "SELECT seq FROM agent_tasks WHERE task_id = $5 \
     AND (capability IS NULL AND assignee_account_id = $2 OR capability = ANY($1))",
    claimable!(),
    " LIMIT $4"
);

/// The expression of the state keeps the planner from walking the index of all tasks that are submitted.
const LOCK: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_tasks WHERE seq = ANY($1) AND state || '' = 'submitted' ORDER BY priority DESC, not_before, seq LIMIT $2 \
     FOR UPDATE SKIP LOCKED"
);

/// The tasks of an earlier call with this token, while their leases are in force. `$1` is the beginning of the leases, `$2` the
/// first text behind all that begin so.
pub(super) const REPEATED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_tasks WHERE lease IS NOT NULL AND lease >= $1 AND lease < $2 AND lease = $1 || task_id \
     AND lease_session = $3 AND lease_until > $4 ORDER BY priority DESC, not_before, seq"
);

const CLAIMED_EVENT: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM agent_task_events WHERE task_id = $1 AND kind = 'claimed' ORDER BY seq DESC LIMIT 1"
);

/// Calls with the same token come one after the other: the second one sees what the first has claimed.
const LOCK_TOKEN: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";

/// What [`Tasks::claim_tasks`](crate::store::Tasks::claim_tasks) says.
pub(super) async fn claim_tasks(
    store: &PostgresStore,
    query: &TaskClaimQuery,
) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, StoreError> {
    let pool = store.pool()?;
    retry_on_conflict!(claim_once(pool, query))
}

async fn claim_once(pool: &PgPool, query: &TaskClaimQuery) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let repeated = repeated(&mut connection, query).await?;
    if !repeated.is_empty() {
        return Ok(repeated);
    }
    drop(connection);
    let max = i64::try_from(query.max).unwrap_or(i64::MAX);
    let limit = max.saturating_add(SPARE_CANDIDATES);
    for _ in 0..MAX_READS {
        // Mostly there is nothing to claim: that needs no transaction.
        let candidates = candidates(pool, query, limit).await?;
        if candidates.is_empty() {
            break;
        }
        let claimed = claim_of(pool, query, &candidates, max).await?;
        // Others have claimed all candidates, and there may be more behind them.
        let is_short = claimed.is_empty() && i64::try_from(candidates.len()).is_ok_and(|found| found == limit);
        if !is_short {
            return Ok(claimed);
        }
    }
    Ok(Vec::new())
}

/// Claims those candidates that no other transaction has locked, unless a call with the same token has claimed something.
async fn claim_of(
    pool: &PgPool,
    query: &TaskClaimQuery,
    candidates: &[i64],
    max: i64,
) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query(LOCK_TOKEN)
        .bind(stored(&query.token))
        .execute(&mut *transaction)
        .await?;
    let repeated = repeated(&mut transaction, query).await?;
    if !repeated.is_empty() {
        transaction.rollback().await?;
        return Ok(repeated);
    }
    let rows = sqlx::query(LOCK)
        .bind(candidates)
        .bind(max)
        .fetch_all(&mut *transaction)
        .await?;
    let tasks = rows.iter().map(task_row).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<String> = tasks.iter().map(|task| task.task_id.clone()).collect();
    let mut batch = TaskBatch::new(tasks);
    let claimed = batch.claim(query, &ids);
    if claimed.is_empty() {
        transaction.rollback().await?;
        return Ok(claimed);
    }
    save(&mut transaction, &batch).await?;
    transaction.commit().await?;
    Ok(claimed)
}

/// The numbers of the next tasks for the session, in their order.
async fn candidates(pool: &PgPool, query: &TaskClaimQuery, limit: i64) -> Result<Vec<i64>, sqlx::Error> {
    let capabilities: BTreeSet<&str> = query.capabilities.iter().map(String::as_str).collect();
    let capabilities: Vec<Cow<'_, str>> = capabilities.into_iter().map(stored).collect();
    let sql = sqlx::query(match &query.task_id {
        None => CANDIDATES,
        Some(_) => CANDIDATE,
    });
    let mut sql = sql
        .bind(capabilities)
        .bind(stored(&query.account_id))
        .bind(Time(query.now))
        .bind(limit);
    if let Some(task_id) = &query.task_id {
        sql = sql.bind(stored(task_id));
    }
    let rows = sql.fetch_all(pool).await?;
    rows.iter().map(|row| row.try_get("seq")).collect()
}

/// The tasks that an earlier call with this token has claimed: its reply was lost.
async fn repeated(
    connection: &mut PgConnection,
    query: &TaskClaimQuery,
) -> Result<Vec<(Task, Vec<StoredTaskEvent>)>, sqlx::Error> {
    let (first, behind) = lease_range(query);
    let rows = sqlx::query(REPEATED)
        .bind(stored(&first))
        .bind(stored(&behind))
        .bind(stored(&query.session_tag))
        .bind(Time(query.now))
        .fetch_all(&mut *connection)
        .await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        let task = task_row(row)?;
        let event = sqlx::query(CLAIMED_EVENT)
            .bind(stored(&task.task_id))
            .fetch_optional(&mut *connection)
            .await?;
        let events = event.iter().map(event_row).collect::<Result<_, _>>()?;
        claimed.push((task, events));
    }
    Ok(claimed)
}
