//! Sessions in PostgreSQL.

use std::collections::BTreeMap;

use agentnet_protocol::Timestamp;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::signing_scope::SigningScope;
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::error::failed;
use super::value::{Time, stored};
use super::{
    PostgresStore, json_column, lossless_json, opt_stored, opt_text_column, opt_time_column, retry_on_conflict,
    text_column, texts, texts_column, time_column,
};
use crate::error::StoreError;
use crate::model::{Session, check_metadata};
use crate::store::Sessions;

const ONLINE: &str = "online";
const OFFLINE: &str = "offline";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT session_tag, agent_id, account_id, username, server_id, connected_at, disconnected_at, last_seen, \
             status, COALESCE(metadata ->> 'name', agent_id) AS name, (metadata -> 'capabilities')::text AS capabilities, \
             (metadata -> 'metadata')::text AS metadata, metadata_text, COALESCE(metadata ->> 'signs', '') AS signs FROM agent_sessions WHERE ",
            $rest
        )
    };
}

/// The rows are locked in one order, so that two registries never wait for each other in a circle.
macro_rules! in_order {
    ($rest:literal) => {
        concat!(
            "WITH locked AS (SELECT session_tag FROM agent_sessions WHERE session_tag = ANY($1) \
             ORDER BY session_tag COLLATE \"C\" FOR UPDATE), new AS (SELECT session_tag, at FROM \
             unnest($1::text[], $2::timestamptz[]) AS new (session_tag, at) JOIN locked USING (session_tag)) \
             UPDATE agent_sessions s SET ",
            $rest
        )
    };
}

const BY_TAG: &str = select!("session_tag = $1");
const ALL_ONLINE: &str = select!("status = 'online' ORDER BY session_tag COLLATE \"C\"");
const UPSERT: &str = "INSERT INTO agent_sessions (session_tag, agent_id, account_id, username, server_id, connected_at, \
     disconnected_at, last_seen, status, metadata, metadata_text) \
     SELECT session_tag, agent_id, account_id, username, server_id, connected_at, disconnected_at, last_seen, status, \
     metadata::jsonb, metadata_text FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], \
     $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::text[]) \
     AS new (session_tag, agent_id, account_id, username, server_id, connected_at, disconnected_at, last_seen, status, \
     metadata, metadata_text) \
     ON CONFLICT (session_tag) DO UPDATE SET agent_id = excluded.agent_id, account_id = excluded.account_id, \
     username = excluded.username, server_id = excluded.server_id, disconnected_at = excluded.disconnected_at, \
     last_seen = excluded.last_seen, status = excluded.status, metadata = excluded.metadata, \
     metadata_text = excluded.metadata_text";
const TOUCH: &str =
    in_order!("last_seen = new.at FROM new WHERE s.session_tag = new.session_tag AND s.last_seen < new.at");
const END: &str = in_order!(
    "status = 'offline', last_seen = GREATEST(s.last_seen, new.at), disconnected_at = CASE s.status \
     WHEN 'offline' THEN COALESCE(s.disconnected_at, new.at) ELSE new.at END \
     FROM new WHERE s.session_tag = new.session_tag"
);
const PRUNE: &str = "DELETE FROM agent_sessions WHERE status = 'offline' AND \
     COALESCE(disconnected_at, last_seen) < $1 AND pg_try_advisory_xact_lock($2)";
/// The lock that one registry holds while it removes old sessions: "sessions" as a number.
const PRUNE_LOCK: i64 = 0x7365_7373_696f_6e73;

#[async_trait]
impl Sessions for PostgresStore {
    async fn upsert_sessions(&self, sessions: &[Session]) -> Result<(), StoreError> {
        sessions
            .iter()
            .try_for_each(|session| check_metadata(&session.metadata))?;
        let pool = self.pool()?;
        if sessions.is_empty() {
            return Ok(());
        }
        // Each tag once, with its last state and its first beginning, in one order for all writers.
        let mut last: BTreeMap<&str, (&Session, Timestamp)> = BTreeMap::new();
        for session in sessions {
            last.entry(&session.session_tag)
                .and_modify(|(state, _)| *state = session)
                .or_insert((session, session.connected_at));
        }
        let rows: Vec<(&Session, Timestamp)> = last.into_values().collect();
        let metadata: Vec<_> = rows
            .iter()
            .map(|(session, _)| lossless_json::columns(&session.metadata))
            .collect();
        let texts_of = |read: fn(&Session) -> &str| rows.iter().map(|(s, _)| stored(read(s))).collect::<Vec<_>>();
        let opt_texts_of =
            |read: fn(&Session) -> Option<&str>| rows.iter().map(|(s, _)| opt_stored(read(s))).collect::<Vec<_>>();
        let described: Vec<String> = rows
            .iter()
            .zip(&metadata)
            .map(|((session, _), metadata)| {
                let mut object = ObjectWriter::new();
                object
                    .text("name", &stored(&session.name))
                    .raw("capabilities", &texts(&session.capabilities))
                    .raw("metadata", metadata.jsonb);
                if !session.signs.is_none() {
                    object.text(SigningScope::MEMBER, &session.signs.to_string());
                }
                object.finish()
            })
            .collect();
        retry_on_conflict!(
            sqlx::query(UPSERT)
                .bind(texts_of(|s| &s.session_tag))
                .bind(texts_of(|s| &s.agent_id))
                .bind(opt_texts_of(|s| s.account_id.as_deref()))
                .bind(opt_texts_of(|s| s.username.as_deref()))
                .bind(texts_of(|s| &s.server_id))
                .bind(
                    rows.iter()
                        .map(|(_, connected_at)| Time(*connected_at))
                        .collect::<Vec<_>>()
                )
                .bind(
                    rows.iter()
                        .map(|(s, _)| s.disconnected_at.map(Time))
                        .collect::<Vec<_>>()
                )
                .bind(rows.iter().map(|(s, _)| Time(s.last_seen)).collect::<Vec<_>>())
                .bind(texts_of(|s| if s.online { ONLINE } else { OFFLINE }))
                .bind(&described)
                .bind(metadata.iter().map(|columns| columns.text).collect::<Vec<_>>())
                .execute(pool)
        )?;
        Ok(())
    }

    async fn touch_sessions(&self, seen: &[(String, Timestamp)]) -> Result<(), StoreError> {
        // The latest sign of life of each.
        timed(self, TOUCH, seen, Timestamp::max).await
    }

    async fn end_sessions(&self, ended: &[(String, Timestamp)]) -> Result<(), StoreError> {
        // The first end of each.
        timed(self, END, ended, |first, _| first).await
    }

    async fn session(&self, session_tag: &str) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query(BY_TAG)
            .bind(stored(session_tag).into_owned())
            .fetch_optional(self.pool()?)
            .await
            .map_err(failed)?;
        row.as_ref().map(session).transpose()
    }

    async fn online_sessions(&self) -> Result<Vec<Session>, StoreError> {
        let rows = sqlx::query(ALL_ONLINE).fetch_all(self.pool()?).await.map_err(failed)?;
        rows.iter().map(session).collect()
    }

    async fn prune_sessions(&self, before: Timestamp) -> Result<u64, StoreError> {
        let pruned = sqlx::query(PRUNE)
            .bind(Time(before))
            .bind(PRUNE_LOCK)
            .execute(self.pool()?)
            .await
            .map_err(failed)?;
        Ok(pruned.rows_affected())
    }
}

/// Runs a statement over tags, each with one time.
async fn timed(
    store: &PostgresStore,
    sql: &'static str,
    changes: &[(String, Timestamp)],
    of_two: fn(Timestamp, Timestamp) -> Timestamp,
) -> Result<(), StoreError> {
    let pool = store.pool()?;
    if changes.is_empty() {
        return Ok(());
    }
    let mut times: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for (tag, at) in changes {
        times
            .entry(tag)
            .and_modify(|known| *known = of_two(*known, *at))
            .or_insert(*at);
    }
    let tags: Vec<_> = times.keys().map(|tag| stored(tag)).collect();
    let at: Vec<Time> = times.values().copied().map(Time).collect();
    retry_on_conflict!(sqlx::query(sql).bind(&tags).bind(&at).execute(pool))?;
    Ok(())
}

fn session(row: &PgRow) -> Result<Session, StoreError> {
    let status: &str = row.try_get("status").map_err(failed)?;
    Ok(Session {
        session_tag: text_column(row, "session_tag")?,
        agent_id: text_column(row, "agent_id")?,
        account_id: opt_text_column(row, "account_id")?,
        username: opt_text_column(row, "username")?,
        server_id: text_column(row, "server_id")?,
        connected_at: time_column(row, "connected_at")?,
        disconnected_at: opt_time_column(row, "disconnected_at")?,
        last_seen: time_column(row, "last_seen")?,
        online: status == ONLINE,
        name: text_column(row, "name")?,
        capabilities: texts_column(row, "capabilities")?,
        metadata: json_column(row, "metadata", "metadata_text")?,
        signs: SigningScope::parse(&text_column(row, "signs")?),
    })
}
