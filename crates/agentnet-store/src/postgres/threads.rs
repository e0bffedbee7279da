//! Threads, their counters and their participants in PostgreSQL.

use std::collections::BTreeMap;

use agentnet_protocol::Timestamp;
use agentnet_protocol::limits::MAX_PARTICIPANTS;
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row as _};

use super::error::failed;
use super::layout::Layout;
use super::value::{Time, stored};
use super::{
    PostgresStore, opt_stored, opt_text_column, opt_time_column, retry_on_conflict, text_column, texts, texts_column,
    thread_views, time_column,
};
use crate::case_fold::fold_case;
use crate::error::StoreError;
use crate::model::{Page, Pruned, Thread, ThreadQuery};
use crate::page::{fetch_limit, page};
use crate::store::Threads;
use crate::thread_deltas::ThreadDelta;

const SELECT: &str = "SELECT thread_id, created_by_account_id, participants::text AS participants, created_at, updated_at, \
     message_count, byte_count, approx_tokens, latest_checkpoint_end, last_message_at FROM agent_threads WHERE ";

/// Counters stop at the largest number instead of failing: the sums are taken in `numeric`. Of too many participants those
/// stay that are recorded already.
const UPSERT: &str = "INSERT INTO agent_threads AS t (thread_id, thread_id_search, created_by_account_id, participants, \
     created_at, updated_at, message_count, byte_count, approx_tokens, latest_checkpoint_end, last_message_at) \
     SELECT thread_id, thread_id_search, created_by, participants::jsonb, created_at, updated_at, message_count, \
     byte_count, approx_tokens, checkpoint_end, last_message_at FROM unnest($1::text[], $2::text[], $3::text[], \
     $4::text[], $5::timestamptz[], $6::timestamptz[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], \
     $11::timestamptz[]) AS new (thread_id, thread_id_search, created_by, participants, created_at, updated_at, \
     message_count, byte_count, approx_tokens, checkpoint_end, last_message_at) \
     ON CONFLICT (thread_id) DO UPDATE SET \
     participants = CASE WHEN t.participants @> excluded.participants \
     OR jsonb_array_length(t.participants) >= $12 THEN t.participants ELSE \
     (SELECT jsonb_agg(account ORDER BY account COLLATE \"C\") FROM \
     (SELECT account FROM (SELECT jsonb_array_elements_text(t.participants) AS account, FALSE AS is_new \
     UNION ALL SELECT jsonb_array_elements_text(excluded.participants), TRUE) AS named \
     GROUP BY account ORDER BY bool_and(is_new), account COLLATE \"C\" LIMIT $12) AS recorded) END, \
     created_by_account_id = CASE WHEN excluded.created_at < t.created_at THEN excluded.created_by_account_id \
     ELSE t.created_by_account_id END, \
     created_at = LEAST(t.created_at, excluded.created_at), \
     updated_at = GREATEST(t.updated_at, excluded.updated_at), \
     message_count = LEAST(9223372036854775807, t.message_count::numeric + excluded.message_count)::bigint, \
     byte_count = LEAST(9223372036854775807, t.byte_count::numeric + excluded.byte_count)::bigint, \
     approx_tokens = LEAST(9223372036854775807, t.approx_tokens::numeric + excluded.approx_tokens)::bigint, \
     latest_checkpoint_end = GREATEST(t.latest_checkpoint_end, excluded.latest_checkpoint_end), \
     last_message_at = GREATEST(t.last_message_at, excluded.last_message_at)";

/// One registry at a time, and no thread to which a message is being added.
const PRUNE: &str = "WITH old AS (SELECT thread_id FROM agent_threads WHERE updated_at < $1 \
     ORDER BY updated_at, thread_id COLLATE \"C\" LIMIT $2 FOR UPDATE SKIP LOCKED), \
     gone AS (DELETE FROM agent_threads t USING old WHERE t.thread_id = old.thread_id RETURNING 1), \
     views AS (DELETE FROM agent_thread_views v USING old WHERE v.thread_id = old.thread_id COLLATE \"C\"), \
     removed AS (DELETE FROM agent_messages m USING old WHERE m.thread_id = old.thread_id RETURNING m.message_id) \
     SELECT (SELECT count(*) FROM gone) AS threads, (SELECT count(*) FROM removed) AS messages, \
     ARRAY(SELECT message_id FROM removed WHERE $3) AS ids";
/// Where the history is one table a month.
const PRUNE_IDS: &str = "DELETE FROM agent_message_ids WHERE message_id = ANY($1)";
/// The lock that one registry holds while it removes old threads: "threads" as a number.
pub(super) const PRUNE_LOCK: i64 = 0x74_6872_6561_6473;

/// The time that threads are listed by.
const ACTIVITY: &str = "COALESCE(last_message_at, updated_at)";

#[async_trait]
impl Threads for PostgresStore {
    async fn thread(&self, thread_id: &str, visible_to: Option<&str>) -> Result<Option<Thread>, StoreError> {
        if let Some(account_id) = visible_to {
            let row = sqlx::query(thread_views::VIEW)
                .bind(stored(thread_id).into_owned())
                .bind(stored(account_id).into_owned())
                .fetch_optional(self.pool()?)
                .await
                .map_err(failed)?;
            return row.as_ref().map(thread).transpose();
        }
        let mut sql = QueryBuilder::<Postgres>::new(SELECT);
        sql.push("thread_id = ").push_bind(stored(thread_id).into_owned());
        let row = sql.build().fetch_optional(self.pool()?).await.map_err(failed)?;
        row.as_ref().map(thread).transpose()
    }

    async fn threads(&self, query: &ThreadQuery) -> Result<Page<Thread>, StoreError> {
        let mut sql = match &query.visible_to {
            Some(account_id) => thread_views::page_query(query, account_id),
            None => page_query(query),
        };
        let rows = sql.build().fetch_all(self.pool()?).await.map_err(failed)?;
        page(&rows, query.limit, thread)
    }

    async fn prune_threads(&self, before: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (pool, monthly) = (self.pool()?, self.layout() == Layout::Monthly);
        retry_on_conflict!(async {
            let mut transaction = pool.begin().await?;
            let mine: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
                .bind(PRUNE_LOCK)
                .fetch_one(&mut *transaction)
                .await?;
            if !mine {
                return Ok(Pruned::default());
            }
            let row = sqlx::query(PRUNE)
                .bind(Time(before))
                .bind(limit)
                .bind(monthly)
                .fetch_one(&mut *transaction)
                .await?;
            let ids: Vec<String> = row.try_get("ids")?;
            if !ids.is_empty() {
                sqlx::query(PRUNE_IDS).bind(ids).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
            Ok::<_, sqlx::Error>(Pruned {
                threads: count("threads")?,
                messages: count("messages")?,
            })
        })
    }
}

/// Creates or advances the threads of a batch, in the order of their ids.
pub(super) async fn add_to_threads(
    connection: &mut PgConnection,
    threads: &BTreeMap<&str, ThreadDelta<'_>>,
) -> Result<(), sqlx::Error> {
    let deltas = || threads.values();
    let counts = |read: fn(&ThreadDelta<'_>) -> i64| deltas().map(read).collect::<Vec<_>>();
    sqlx::query(UPSERT)
        .bind(threads.keys().map(|id| stored(id)).collect::<Vec<_>>())
        .bind(
            threads
                .keys()
                .map(|id| stored(&fold_case(id)).into_owned())
                .collect::<Vec<_>>(),
        )
        .bind(deltas().map(|delta| opt_stored(delta.created_by)).collect::<Vec<_>>())
        .bind(deltas().map(|delta| texts(&delta.participants)).collect::<Vec<_>>())
        .bind(deltas().map(|delta| Time(delta.created_at)).collect::<Vec<_>>())
        .bind(deltas().map(|delta| Time(delta.updated_at)).collect::<Vec<_>>())
        .bind(counts(|delta| delta.message_count))
        .bind(counts(|delta| delta.byte_count))
        .bind(counts(|delta| delta.approx_tokens))
        .bind(counts(|delta| delta.checkpoint_end))
        .bind(
            deltas()
                .map(|delta| delta.last_message_at.map(Time))
                .collect::<Vec<_>>(),
        )
        .bind(i64::try_from(MAX_PARTICIPANTS).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    Ok(())
}

/// The statement of one page of all threads.
pub(super) fn page_query(query: &ThreadQuery) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("TRUE");
    if let Some(participant) = &query.participant {
        sql.push(" AND participants ? ")
            .push_bind(stored(participant).into_owned());
    }
    if let Some(before) = &query.before {
        sql.push(format_args!(" AND ({ACTIVITY}, thread_id COLLATE \"C\") < ("))
            .push_bind(Time(before.at))
            .push(", ")
            .push_bind(stored(&before.id).into_owned())
            .push(")");
    }
    if !query.text.is_empty() {
        sql.push(" AND strpos(COALESCE(thread_id_search, lower(thread_id)), ")
            .push_bind(stored(&fold_case(&query.text)).into_owned())
            .push(") > 0");
    }
    sql.push(format_args!(
        " ORDER BY {ACTIVITY} DESC, thread_id COLLATE \"C\" DESC LIMIT "
    ))
    .push_bind(fetch_limit(query.limit));
    sql
}

fn thread(row: &PgRow) -> Result<Thread, StoreError> {
    let count = |column| row.try_get(column).map_err(failed);
    let mut participants = texts_column(row, "participants")?;
    // The Python implementation adds to the end.
    participants.sort_unstable();
    participants.dedup();
    Ok(Thread {
        thread_id: text_column(row, "thread_id")?,
        created_by_account_id: opt_text_column(row, "created_by_account_id")?,
        participants,
        created_at: time_column(row, "created_at")?,
        updated_at: time_column(row, "updated_at")?,
        message_count: count("message_count")?,
        byte_count: count("byte_count")?,
        approx_tokens: count("approx_tokens")?,
        latest_checkpoint_end: count("latest_checkpoint_end")?,
        last_message_at: opt_time_column(row, "last_message_at")?,
    })
}
