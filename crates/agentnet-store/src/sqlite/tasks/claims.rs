//! Claiming tasks for a session.

use std::collections::BTreeSet;

use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::read::tasks_by_seq;
use super::row::{columns, event_columns, event_row, task_row};
use super::write::save;
use crate::model::{StoredTaskEvent, Task, TaskClaimQuery};
use crate::sqlite::SqliteStore;
use crate::task_batch::{TaskBatch, lease_range};

macro_rules! claimable {
    () => {
        " AND state = 'submitted' AND attempt < max_attempts AND not_before <= "
    };
}

const FOR_ACCOUNT: &str = "SELECT seq, priority, not_before FROM agent_tasks INDEXED BY idx_agent_tasks_for_account \
     WHERE capability IS NULL AND assignee_account_id = ";
const FOR_CAPABILITY: &str = " UNION ALL SELECT seq, priority, not_before FROM agent_tasks \
     INDEXED BY idx_agent_tasks_for_capability WHERE capability IS NOT NULL AND capability = ";
const ONE: &str = "SELECT seq FROM agent_tasks INDEXED BY idx_agent_tasks_id WHERE task_id = ";

/// The tasks of an earlier call with this token, while their leases are in force. `?1` is the beginning of the leases, `?2` the
/// first text behind all that begin so.
pub(super) const REPEATED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_tasks INDEXED BY idx_agent_tasks_lease WHERE lease IS NOT NULL AND lease >= ?1 AND lease < ?2 \
     AND lease = ?1 || task_id AND lease_session = ?3 AND lease_until > ?4 ORDER BY priority DESC, not_before, seq"
);

const CLAIMED_EVENT: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM agent_task_events WHERE task_id = ? AND kind = 'claimed' ORDER BY seq DESC LIMIT 1"
);

/// The tasks that a claim gets, each with the events that claiming it has made.
pub(super) type Claimed = Vec<(Task, Vec<StoredTaskEvent>)>;

/// Claims tasks in a transaction; also whether that is more than an earlier call with the token has claimed.
pub(super) async fn claim_in(
    transaction: &mut SqliteConnection,
    query: &TaskClaimQuery,
) -> Result<(Claimed, bool), sqlx::Error> {
    let repeated = repeated(transaction, query).await?;
    if !repeated.is_empty() {
        return Ok((repeated, false));
    }
    let seqs = candidates(transaction, query).await?;
    let tasks = tasks_by_seq(transaction, &seqs).await?;
    let ids: Vec<String> = tasks.iter().map(|task| task.task_id.clone()).collect();
    let mut batch = TaskBatch::new(tasks);
    let claimed = batch.claim(query, &ids);
    let has_changed = !claimed.is_empty();
    if has_changed {
        save(transaction, &batch).await?;
    }
    Ok((claimed, has_changed))
}

/// Whether there is something to claim, or an earlier call with this token has claimed something.
pub(super) async fn is_worth_it(store: &SqliteStore, query: &TaskClaimQuery) -> Result<bool, sqlx::Error> {
    let mut connection = store.read.acquire().await?;
    if !candidates(&mut connection, query).await?.is_empty() {
        return Ok(true);
    }
    let (first, behind) = lease_range(query);
    let repeated = sqlx::query(REPEATED)
        .bind(first)
        .bind(behind)
        .bind(&query.session_tag)
        .bind(query.now.as_micros())
        .fetch_optional(&mut *connection)
        .await?;
    Ok(repeated.is_some())
}

/// The tasks that an earlier call with this token has claimed: its reply was lost.
async fn repeated(connection: &mut SqliteConnection, query: &TaskClaimQuery) -> Result<Claimed, sqlx::Error> {
    let (first, behind) = lease_range(query);
    let rows = sqlx::query(REPEATED)
        .bind(first)
        .bind(behind)
        .bind(&query.session_tag)
        .bind(query.now.as_micros())
        .fetch_all(&mut *connection)
        .await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        let task = task_row(row)?;
        let event = sqlx::query(CLAIMED_EVENT)
            .bind(&task.task_id)
            .fetch_optional(&mut *connection)
            .await?;
        let events = event.iter().map(event_row).collect::<Result<_, _>>()?;
        claimed.push((task, events));
    }
    Ok(claimed)
}

/// The next tasks for the session, in their order.
async fn candidates(connection: &mut SqliteConnection, query: &TaskClaimQuery) -> Result<Vec<i64>, sqlx::Error> {
    let rows = candidates_query(query).build().fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get("seq")).collect()
}

/// The statement of [`candidates`]: it walks the index of the account and that of each capability, and merges what they give.
pub(super) fn candidates_query(query: &TaskClaimQuery) -> QueryBuilder<Sqlite> {
    let now = query.now.as_micros();
    if let Some(task_id) = &query.task_id {
        let mut sql = QueryBuilder::new(ONE);
        sql.push_bind(task_id.clone())
            .push(" AND (capability IS NULL AND assignee_account_id = ")
            .push_bind(query.account_id.clone());
        if !query.capabilities.is_empty() {
            sql.push(" OR capability IN (");
            let mut values = sql.separated(", ");
            for capability in &query.capabilities {
                values.push_bind(capability.clone());
            }
            sql.push(")");
        }
        sql.push(concat!(")", claimable!())).push_bind(now);
        push_deadline(&mut sql, now);
        return sql;
    }
    let mut sql = QueryBuilder::new(FOR_ACCOUNT);
    sql.push_bind(query.account_id.clone());
    sql.push(claimable!()).push_bind(now);
    push_deadline(&mut sql, now);
    // Each once: the limit counts rows.
    let capabilities: BTreeSet<&String> = query.capabilities.iter().collect();
    for capability in capabilities {
        sql.push(FOR_CAPABILITY).push_bind(capability.clone());
        sql.push(claimable!()).push_bind(now);
        push_deadline(&mut sql, now);
    }
    sql.push(" ORDER BY priority DESC, not_before, seq LIMIT ")
        .push_bind(i64::try_from(query.max).unwrap_or(i64::MAX));
    sql
}

fn push_deadline(sql: &mut QueryBuilder<Sqlite>, now: i64) {
    sql.push(" AND (deadline_at IS NULL OR deadline_at > ")
        .push_bind(now)
        .push(")");
}
