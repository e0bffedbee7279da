//! What one account may see of threads, in SQLite: counters of its own beside those of the thread.

use std::collections::BTreeMap;

use agentnet_protocol::Timestamp;
use agentnet_protocol::limits::MAX_PARTICIPANTS;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::error::failed;
use super::statement_batches::statement_batches;
use super::texts_column;
use crate::case_fold::fold_case;
use crate::error::StoreError;
use crate::model::{Page, Thread, ThreadQuery};
use crate::page::{fetch_limit, page};
use crate::thread_deltas::ThreadDelta;

const SELECT: &str = "SELECT thread_id, created_by_account_id, created_at, updated_at, message_count, byte_count, \
     approx_tokens, latest_checkpoint_end, last_message_at, participants FROM agent_thread_views WHERE ";

/// Counters stop at the largest number, as those of the threads. Of too many participants those stay that are recorded already;
/// the list is made anew only if it changes.
const ON_CONFLICT: &str = " ON CONFLICT (thread_id, account_id) DO UPDATE SET \
     created_by_account_id = CASE WHEN excluded.created_at < created_at THEN excluded.created_by_account_id \
     ELSE created_by_account_id END, \
     created_at = MIN(created_at, excluded.created_at), \
     updated_at = MAX(updated_at, excluded.updated_at), \
     message_count = MIN(9223372036854775807, message_count + excluded.message_count), \
     byte_count = MIN(9223372036854775807, byte_count + excluded.byte_count), \
     approx_tokens = MIN(9223372036854775807, approx_tokens + excluded.approx_tokens), \
     latest_checkpoint_end = MAX(latest_checkpoint_end, excluded.latest_checkpoint_end), \
     last_message_at = MAX(last_message_at, excluded.last_message_at), \
     participants = CASE WHEN participants = excluded.participants THEN participants ELSE \
     (SELECT json_group_array(account) FROM (SELECT account FROM (SELECT value AS account, 0 AS is_new \
     FROM json_each(agent_thread_views.participants) UNION ALL SELECT value, 1 FROM json_each(excluded.participants)) \
     GROUP BY account ORDER BY MIN(is_new), account LIMIT ";

/// The part of a thread that an account may see.
pub(super) async fn view(pool: &SqlitePool, thread_id: &str, account_id: &str) -> Result<Option<Thread>, StoreError> {
    let row = view_query(thread_id, account_id)
        .build()
        .fetch_optional(pool)
        .await
        .map_err(failed)?;
    row.as_ref().map(thread).transpose()
}

/// The parts of threads that an account may see.
pub(super) async fn views(
    pool: &SqlitePool,
    query: &ThreadQuery,
    account_id: &str,
) -> Result<Page<Thread>, StoreError> {
    let rows = page_query(query, account_id)
        .build()
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    page(&rows, query.limit, thread)
}

/// Creates or advances the views of a batch.
pub(super) async fn add_to_views(
    connection: &mut SqliteConnection,
    views: &BTreeMap<(&str, &str), ThreadDelta<'_>>,
) -> Result<(), sqlx::Error> {
    let views: Vec<_> = views.iter().collect();
    for run in statement_batches(&views) {
        let mut sql = QueryBuilder::<Sqlite>::new(
            "INSERT INTO agent_thread_views (thread_id, account_id, thread_id_search, created_by_account_id, created_at, \
             updated_at, message_count, byte_count, approx_tokens, latest_checkpoint_end, last_message_at, participants) ",
        );
        sql.push_values(run, |mut row, ((thread_id, account_id), delta)| {
            row.push_bind((*thread_id).to_owned())
                .push_bind((*account_id).to_owned())
                .push_bind(fold_case(thread_id))
                .push_bind(delta.created_by.map(str::to_owned))
                .push_bind(delta.created_at.as_micros())
                .push_bind(delta.updated_at.as_micros())
                .push_bind(delta.message_count)
                .push_bind(delta.byte_count)
                .push_bind(delta.approx_tokens)
                .push_bind(delta.checkpoint_end)
                .push_bind(delta.last_message_at.unwrap_or(delta.updated_at).as_micros())
                .push_bind(serde_json::Value::from_iter(delta.participants.iter().copied()).to_string());
        });
        sql.push(ON_CONFLICT)
            .push_bind(i64::try_from(MAX_PARTICIPANTS).unwrap_or(i64::MAX))
            .push(")) END");
        sql.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// The statement of one view.
pub(super) fn view_query(thread_id: &str, account_id: &str) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("thread_id = ").push_bind(thread_id.to_owned());
    sql.push(" AND account_id = ").push_bind(account_id.to_owned());
    sql
}

/// The statement of one page: along the rows of the account.
pub(super) fn page_query(query: &ThreadQuery, account_id: &str) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("account_id = ").push_bind(account_id.to_owned());
    // The account itself takes part in all of them.
    if let Some(participant) = query.participant.as_deref().filter(|id| *id != account_id) {
        sql.push(" AND EXISTS (SELECT 1 FROM json_each(participants) WHERE value = ")
            .push_bind(participant.to_owned())
            .push(")");
    }
    if let Some(before) = &query.before {
        sql.push(" AND (last_message_at, thread_id) < (")
            .push_bind(before.at.as_micros());
        sql.push(", ").push_bind(before.id.clone()).push(")");
    }
    if !query.text.is_empty() {
        sql.push(" AND INSTR(thread_id_search, ")
            .push_bind(fold_case(&query.text))
            .push(") > 0");
    }
    sql.push(" ORDER BY last_message_at DESC, thread_id DESC LIMIT ")
        .push_bind(fetch_limit(query.limit));
    sql
}

fn thread(row: &SqliteRow) -> Result<Thread, StoreError> {
    let time = |column| row.try_get(column).map(Timestamp::from_micros).map_err(failed);
    let mut participants = texts_column(row, "participants")?;
    participants.sort_unstable();
    Ok(Thread {
        thread_id: row.try_get("thread_id").map_err(failed)?,
        created_by_account_id: row.try_get("created_by_account_id").map_err(failed)?,
        participants,
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
        message_count: row.try_get("message_count").map_err(failed)?,
        byte_count: row.try_get("byte_count").map_err(failed)?,
        approx_tokens: row.try_get("approx_tokens").map_err(failed)?,
        latest_checkpoint_end: row.try_get("latest_checkpoint_end").map_err(failed)?,
        last_message_at: Some(time("last_message_at")?),
    })
}
