//! Threads, their counters and their participants in SQLite.

use std::collections::{BTreeMap, HashMap, HashSet};

use agentnet_protocol::Timestamp;
use agentnet_protocol::limits::MAX_PARTICIPANTS;
use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::SqliteStore;
use super::error::failed;
use super::statement_batches::statement_batches;
use super::thread_views::{view, views};
use crate::case_fold::fold_case;
use crate::error::StoreError;
use crate::model::{Page, Pruned, Thread, ThreadQuery};
use crate::page::{fetch_limit, page};
use crate::store::Threads;
use crate::thread_deltas::ThreadDelta;

const SELECT: &str = "SELECT t.thread_id, t.created_by_account_id, t.created_at, t.updated_at, t.message_count, \
     t.byte_count, t.approx_tokens, t.latest_checkpoint_end, t.last_message_at FROM ";

/// Counters stop at the largest number instead of wrapping: a sum beyond it becomes a float in SQLite, and `MIN` takes the
/// number then.
const ON_CONFLICT: &str = " ON CONFLICT (thread_id) DO UPDATE SET \
     created_by_account_id = CASE WHEN excluded.created_at < created_at THEN excluded.created_by_account_id \
     ELSE created_by_account_id END, \
     created_at = MIN(created_at, excluded.created_at), \
     updated_at = MAX(updated_at, excluded.updated_at), \
     message_count = MIN(9223372036854775807, message_count + excluded.message_count), \
     byte_count = MIN(9223372036854775807, byte_count + excluded.byte_count), \
     approx_tokens = MIN(9223372036854775807, approx_tokens + excluded.approx_tokens), \
     latest_checkpoint_end = MAX(latest_checkpoint_end, excluded.latest_checkpoint_end), \
     last_message_at = COALESCE(MAX(last_message_at, excluded.last_message_at), last_message_at, \
     excluded.last_message_at) RETURNING thread_id, activity_at, \
     (SELECT COUNT(*) FROM agent_thread_participants AS p WHERE p.thread_id = agent_threads.thread_id)";

/// The threads that a retention step removes; each of its statements selects them anew, in one transaction.
macro_rules! old_threads {
    () => {
        "(SELECT thread_id FROM agent_threads WHERE updated_at < ? ORDER BY updated_at, thread_id LIMIT ?)"
    };
}

pub(super) const PRUNE_MESSAGES: &str = concat!("DELETE FROM agent_messages WHERE thread_id IN ", old_threads!());
pub(super) const PRUNE_PARTICIPANTS: &str = concat!(
    "DELETE FROM agent_thread_participants WHERE thread_id IN ",
    old_threads!()
);
pub(super) const PRUNE_VIEWS: &str = concat!("DELETE FROM agent_thread_views WHERE thread_id IN ", old_threads!());
pub(super) const PRUNE_THREADS: &str = concat!("DELETE FROM agent_threads WHERE thread_id IN ", old_threads!());

#[async_trait]
impl Threads for SqliteStore {
    async fn thread(&self, thread_id: &str, visible_to: Option<&str>) -> Result<Option<Thread>, StoreError> {
        if let Some(account_id) = visible_to {
            return view(&self.read, thread_id, account_id).await;
        }
        let mut sql = QueryBuilder::<Sqlite>::new(SELECT);
        sql.push("agent_threads t WHERE t.thread_id = ")
            .push_bind(thread_id.to_owned());
        // One transaction, so that the thread and its participants are of one moment.
        let mut snapshot = self.read.begin().await.map_err(failed)?;
        let Some(row) = sql.build().fetch_optional(&mut *snapshot).await.map_err(failed)? else {
            return Ok(None);
        };
        let mut found = [thread(&row)?];
        add_participants(&mut snapshot, &mut found).await?;
        snapshot.rollback().await.map_err(failed)?;
        let [thread] = found;
        Ok(Some(thread))
    }

    async fn threads(&self, query: &ThreadQuery) -> Result<Page<Thread>, StoreError> {
        if let Some(account_id) = &query.visible_to {
            return views(&self.read, query, account_id).await;
        }
        let mut sql = page_query(query);
        let mut snapshot = self.read.begin().await.map_err(failed)?;
        let rows = sql.build().fetch_all(&mut *snapshot).await.map_err(failed)?;
        let mut found = page(&rows, query.limit, thread)?;
        add_participants(&mut snapshot, &mut found.items).await?;
        snapshot.rollback().await.map_err(failed)?;
        Ok(found)
    }

    async fn prune_threads(&self, before: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut transaction = self.begin_write().await?;
        let mut removed = [0; 4];
        for (removed, statement) in
            removed
                .iter_mut()
                .zip([PRUNE_MESSAGES, PRUNE_PARTICIPANTS, PRUNE_VIEWS, PRUNE_THREADS])
        {
            let done = sqlx::query(statement)
                .bind(before.as_micros())
                .bind(limit)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            *removed = done.rows_affected();
        }
        transaction.commit().await.map_err(failed)?;
        let [messages, _, _, threads] = removed;
        Ok(Pruned { threads, messages })
    }
}

/// Creates or advances the threads of a batch, and their participants.
pub(super) async fn add_to_threads(
    connection: &mut SqliteConnection,
    threads: &BTreeMap<&str, ThreadDelta<'_>>,
) -> Result<(), sqlx::Error> {
    let threads: Vec<(&str, &ThreadDelta<'_>)> = threads.iter().map(|(id, delta)| (*id, delta)).collect();
    for run in statement_batches(&threads) {
        let written = upsert_threads(connection, run).await?;
        let full = nearly_full(connection, run, &written).await?;
        let mut participants = Vec::new();
        for (thread_id, delta) in run {
            let known = full.get(*thread_id);
            let mut room = known.map_or(usize::MAX, |known| MAX_PARTICIPANTS.saturating_sub(known.len()));
            let at = written.get(*thread_id).map(|thread| thread.activity);
            let at = at.unwrap_or(delta.updated_at.as_micros());
            participants.extend(
                delta
                    .participants
                    .iter()
                    .filter(|account_id| {
                        let is_known = known.is_some_and(|known| known.contains(**account_id));
                        is_known || room.checked_sub(1).map(|less| room = less).is_some()
                    })
                    .map(|account_id| (*thread_id, *account_id, at)),
            );
        }
        for run in statement_batches(&participants) {
            upsert_participants(connection, run).await?;
        }
        carry_activity(connection, run).await?;
    }
    Ok(())
}

/// The participants of those threads that this batch could give more of them than are recorded.
async fn nearly_full(
    connection: &mut SqliteConnection,
    threads: &[(&str, &ThreadDelta<'_>)],
    written: &HashMap<String, Written>,
) -> Result<HashMap<String, HashSet<String>>, sqlx::Error> {
    let mut found = HashMap::new();
    for (thread_id, delta) in threads {
        let Some(before) = written.get(*thread_id).map(|thread| thread.participants) else {
            continue;
        };
        if before.saturating_add(delta.participants.len()) > MAX_PARTICIPANTS {
            let mut query = participants_query(std::iter::once(*thread_id));
            let rows = query.build().fetch_all(&mut *connection).await?;
            let known: Result<HashSet<String>, _> = rows.iter().map(|row| row.try_get(1)).collect();
            found.insert((*thread_id).to_owned(), known?);
        }
    }
    Ok(found)
}

/// A thread's row after it was written.
struct Written {
    activity: i64,
    /// How many are recorded from before this batch.
    participants: usize,
}

/// Writes the threads' rows.
async fn upsert_threads(
    connection: &mut SqliteConnection,
    threads: &[(&str, &ThreadDelta<'_>)],
) -> Result<HashMap<String, Written>, sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new(
        "INSERT INTO agent_threads (thread_id, thread_id_search, created_by_account_id, created_at, updated_at, \
         message_count, byte_count, approx_tokens, latest_checkpoint_end, last_message_at) ",
    );
    sql.push_values(threads, |mut row, (thread_id, delta)| {
        row.push_bind((*thread_id).to_owned())
            .push_bind(fold_case(thread_id))
            .push_bind(delta.created_by.map(str::to_owned))
            .push_bind(delta.created_at.as_micros())
            .push_bind(delta.updated_at.as_micros())
            .push_bind(delta.message_count)
            .push_bind(delta.byte_count)
            .push_bind(delta.approx_tokens)
            .push_bind(delta.checkpoint_end)
            .push_bind(delta.last_message_at.map(Timestamp::as_micros));
    });
    sql.push(ON_CONFLICT);
    let rows = sql.build().fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let written = Written {
                activity: row.try_get(1)?,
                participants: usize::try_from(row.try_get::<i64, _>(2)?).unwrap_or_default(),
            };
            Ok((row.try_get(0)?, written))
        })
        .collect()
}

async fn upsert_participants(
    connection: &mut SqliteConnection,
    participants: &[(&str, &str, i64)],
) -> Result<(), sqlx::Error> {
    let mut sql =
        QueryBuilder::<Sqlite>::new("INSERT INTO agent_thread_participants (thread_id, account_id, activity_at) ");
    sql.push_values(participants, |mut row, (thread_id, account_id, at)| {
        row.push_bind((*thread_id).to_owned())
            .push_bind((*account_id).to_owned())
            .push_bind(*at);
    });
    sql.push(
        " ON CONFLICT (thread_id, account_id) DO UPDATE SET activity_at = excluded.activity_at \
         WHERE activity_at <> excluded.activity_at",
    );
    sql.build().execute(connection).await?;
    Ok(())
}

/// Gives the threads' last activity to the participants that the batch does not name.
async fn carry_activity(
    connection: &mut SqliteConnection,
    threads: &[(&str, &ThreadDelta<'_>)],
) -> Result<(), sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new(
        "UPDATE agent_thread_participants AS p SET activity_at = t.activity_at FROM agent_threads t \
         WHERE t.thread_id = p.thread_id AND p.activity_at <> t.activity_at AND p.thread_id IN (",
    );
    let mut ids = sql.separated(", ");
    for (thread_id, _) in threads {
        ids.push_bind((*thread_id).to_owned());
    }
    sql.push(")");
    sql.build().execute(connection).await?;
    Ok(())
}

/// The statement of one page: along the participant's rows if one is asked for, else along all threads.
pub(super) fn page_query(query: &ThreadQuery) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(SELECT);
    let key = if let Some(participant) = &query.participant {
        sql.push(
            "agent_thread_participants p CROSS JOIN agent_threads t ON t.thread_id = p.thread_id WHERE p.account_id = ",
        );
        sql.push_bind(participant.clone());
        ["p.activity_at", "p.thread_id"]
    } else {
        sql.push("agent_threads t WHERE TRUE");
        ["t.activity_at", "t.thread_id"]
    };
    if let Some(before) = &query.before {
        sql.push(format_args!(" AND ({}, {}) < (", key[0], key[1]))
            .push_bind(before.at.as_micros());
        sql.push(", ").push_bind(before.id.clone()).push(")");
    }
    if !query.text.is_empty() {
        sql.push(" AND INSTR(t.thread_id_search, ")
            .push_bind(fold_case(&query.text))
            .push(") > 0");
    }
    sql.push(format_args!(" ORDER BY {} DESC, {} DESC LIMIT ", key[0], key[1]))
        .push_bind(fetch_limit(query.limit));
    sql
}

/// Reads the participants of these threads, sorted.
async fn add_participants(connection: &mut SqliteConnection, threads: &mut [Thread]) -> Result<(), StoreError> {
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    for run in statement_batches(threads) {
        let rows = participants_query(run.iter().map(|thread| thread.thread_id.as_str()))
            .build()
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        for row in rows {
            let thread_id = row.try_get(0).map_err(failed)?;
            found
                .entry(thread_id)
                .or_default()
                .push(row.try_get(1).map_err(failed)?);
        }
    }
    for thread in threads {
        thread.participants = found.remove(&thread.thread_id).unwrap_or_default();
    }
    Ok(())
}

/// The statement that reads the participants of some threads.
pub(super) fn participants_query<'a>(thread_ids: impl Iterator<Item = &'a str>) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("SELECT thread_id, account_id FROM agent_thread_participants WHERE thread_id IN (");
    let mut ids = sql.separated(", ");
    for thread_id in thread_ids {
        ids.push_bind(thread_id.to_owned());
    }
    sql.push(") ORDER BY thread_id, account_id");
    sql
}

fn thread(row: &SqliteRow) -> Result<Thread, StoreError> {
    let last_message_at: Option<i64> = row.try_get("last_message_at").map_err(failed)?;
    Ok(Thread {
        thread_id: row.try_get("thread_id").map_err(failed)?,
        created_by_account_id: row.try_get("created_by_account_id").map_err(failed)?,
        participants: Vec::new(),
        created_at: Timestamp::from_micros(row.try_get("created_at").map_err(failed)?),
        updated_at: Timestamp::from_micros(row.try_get("updated_at").map_err(failed)?),
        message_count: row.try_get("message_count").map_err(failed)?,
        byte_count: row.try_get("byte_count").map_err(failed)?,
        approx_tokens: row.try_get("approx_tokens").map_err(failed)?,
        latest_checkpoint_end: row.try_get("latest_checkpoint_end").map_err(failed)?,
        last_message_at: last_message_at.map(Timestamp::from_micros),
    })
}
