//! What one account may see of threads, in PostgreSQL: counters of its own beside those of the thread.

use std::collections::BTreeMap;

use agentnet_protocol::limits::MAX_PARTICIPANTS;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::value::{Time, stored};
use super::{opt_stored, texts};
use crate::case_fold::fold_case;
use crate::model::ThreadQuery;
use crate::page::fetch_limit;
use crate::thread_deltas::ThreadDelta;

macro_rules! views {
    ($end:literal) => {
        concat!(
            "SELECT thread_id, created_by_account_id, participants::text AS participants, created_at, updated_at, \
             message_count, byte_count, approx_tokens, latest_checkpoint_end, last_message_at FROM agent_thread_views WHERE ",
            $end
        )
    };
}

/// The part of a thread that an account may see.
pub(super) const VIEW: &str = views!("thread_id = $1 AND account_id = $2");

/// As that of the threads.
const UPSERT: &str = "INSERT INTO agent_thread_views AS t (thread_id, account_id, thread_id_search, created_by_account_id, \
     participants, created_at, updated_at, message_count, byte_count, approx_tokens, latest_checkpoint_end, last_message_at) \
     SELECT thread_id, account_id, thread_id_search, created_by, participants::jsonb, created_at, updated_at, message_count, \
     byte_count, approx_tokens, checkpoint_end, last_message_at FROM unnest($1::text[], $2::text[], $3::text[], \
     $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], \
     $12::timestamptz[]) AS new (thread_id, account_id, thread_id_search, created_by, participants, created_at, updated_at, \
     message_count, byte_count, approx_tokens, checkpoint_end, last_message_at) \
     ON CONFLICT (thread_id, account_id) DO UPDATE SET \
     participants = CASE WHEN t.participants @> excluded.participants \
     OR jsonb_array_length(t.participants) >= $13 THEN t.participants ELSE \
     (SELECT jsonb_agg(account ORDER BY account COLLATE \"C\") FROM \
     (SELECT account FROM (SELECT jsonb_array_elements_text(t.participants) AS account, FALSE AS is_new \
     UNION ALL SELECT jsonb_array_elements_text(excluded.participants), TRUE) AS named \
     GROUP BY account ORDER BY bool_and(is_new), account COLLATE \"C\" LIMIT $13) AS recorded) END, \
     created_by_account_id = CASE WHEN excluded.created_at < t.created_at THEN excluded.created_by_account_id \
     ELSE t.created_by_account_id END, \
     created_at = LEAST(t.created_at, excluded.created_at), \
     updated_at = GREATEST(t.updated_at, excluded.updated_at), \
     message_count = LEAST(9223372036854775807, t.message_count::numeric + excluded.message_count)::bigint, \
     byte_count = LEAST(9223372036854775807, t.byte_count::numeric + excluded.byte_count)::bigint, \
     approx_tokens = LEAST(9223372036854775807, t.approx_tokens::numeric + excluded.approx_tokens)::bigint, \
     latest_checkpoint_end = GREATEST(t.latest_checkpoint_end, excluded.latest_checkpoint_end), \
     last_message_at = GREATEST(t.last_message_at, excluded.last_message_at)";

/// Creates or advances the views of a batch, in the order of their keys. The rows of their threads are locked.
pub(super) async fn add_to_views(
    connection: &mut PgConnection,
    views: &BTreeMap<(&str, &str), ThreadDelta<'_>>,
) -> Result<(), sqlx::Error> {
    if views.is_empty() {
        return Ok(());
    }
    let keys = |read: fn(&(&str, &str)) -> String| views.keys().map(read).collect::<Vec<_>>();
    let deltas = || views.values();
    let counts = |read: fn(&ThreadDelta<'_>) -> i64| deltas().map(read).collect::<Vec<_>>();
    let times = |read: fn(&ThreadDelta<'_>) -> Time| deltas().map(read).collect::<Vec<_>>();
    sqlx::query(UPSERT)
        .bind(keys(|(thread_id, _)| stored(thread_id).into_owned()))
        .bind(keys(|(_, account_id)| stored(account_id).into_owned()))
        .bind(keys(|(thread_id, _)| stored(&fold_case(thread_id)).into_owned()))
        .bind(deltas().map(|delta| opt_stored(delta.created_by)).collect::<Vec<_>>())
        .bind(deltas().map(|delta| texts(&delta.participants)).collect::<Vec<_>>())
        .bind(times(|delta| Time(delta.created_at)))
        .bind(times(|delta| Time(delta.updated_at)))
        .bind(counts(|delta| delta.message_count))
        .bind(counts(|delta| delta.byte_count))
        .bind(counts(|delta| delta.approx_tokens))
        .bind(counts(|delta| delta.checkpoint_end))
        .bind(times(|delta| Time(delta.last_message_at.unwrap_or(delta.updated_at))))
        .bind(i64::try_from(MAX_PARTICIPANTS).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    Ok(())
}

/// The statement of one page: along the rows of the account.
pub(super) fn page_query(query: &ThreadQuery, account_id: &str) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(views!("account_id = "));
    sql.push_bind(stored(account_id).into_owned());
    // The account itself takes part in all of them.
    if let Some(participant) = query.participant.as_deref().filter(|id| *id != account_id) {
        sql.push(" AND participants ? ")
            .push_bind(stored(participant).into_owned());
    }
    if let Some(before) = &query.before {
        sql.push(" AND (last_message_at, thread_id) < (")
            .push_bind(Time(before.at))
            .push(", ")
            .push_bind(stored(&before.id).into_owned())
            .push(")");
    }
    if !query.text.is_empty() {
        sql.push(" AND strpos(thread_id_search, ")
            .push_bind(stored(&fold_case(&query.text)).into_owned())
            .push(") > 0");
    }
    sql.push(" ORDER BY last_message_at DESC, thread_id DESC LIMIT ")
        .push_bind(fetch_limit(query.limit));
    sql
}
