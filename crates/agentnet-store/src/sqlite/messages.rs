//! The message history in SQLite.

use std::collections::HashSet;

use agentnet_protocol::Timestamp;
use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::error::{failed, row_outcome};
use super::statement_batches::statement_batches;
use super::thread_views::add_to_views;
use super::threads::add_to_threads;
use super::{BEGIN_WRITE, SqliteStore, json_column};
use crate::bisect;
use crate::error::StoreError;
use crate::model::{Appended, Message, MessageQuery, NewMessage, Page};
use crate::page::{fetch_limit, page};
use crate::store::Messages;
use crate::thread_deltas::{thread_deltas, view_deltas};
use crate::visibility::{Rows, Walk, walks};

/// `OR FAIL`: a failed statement keeps the rows before its failure, and so SQLite notes no page for undoing it. Whatever fails
/// here is undone with its transaction or savepoint ([`bisect`]); where there is no room, SQLite itself ends the transaction.
const INSERT: &str = "INSERT OR FAIL INTO agent_messages (message_id, thread_id, parent_message_id, from_agent, \
     from_account_id, from_session_tag, to_account_id, to_agent, kind, schema_version, idempotency_key, payload, \
     trace_id, sent_at, received_at, ttl_ms, expires_at, auth_scheme, issuer) ";

/// The rows that the statement before has inserted: it holds the write lock, so they are its own.
const INSERTED: &str = "SELECT message_id FROM agent_messages WHERE rowid > ? AND rowid <= ?";

const SELECT: &str = "SELECT message_id, thread_id, parent_message_id, from_agent, from_account_id, from_session_tag, \
     to_account_id, to_agent, kind, schema_version, idempotency_key, payload, trace_id, sent_at, received_at, ttl_ms, \
     expires_at, auth_scheme, issuer FROM agent_messages";

#[async_trait]
impl Messages for SqliteStore {
    async fn append_messages(&self, messages: &[NewMessage]) -> Result<Appended, StoreError> {
        if messages.is_empty() {
            return Ok(Appended::default());
        }
        self.check_file()?;
        let appended = bisect::append(&Append, || self.write.begin_with(BEGIN_WRITE), messages)
            .await
            .map_err(failed)?;
        // Only what is in the file at its path is there after the next start.
        self.check_file()?;
        Ok(appended)
    }

    async fn messages(&self, query: &MessageQuery) -> Result<Page<Message>, StoreError> {
        let rows = page_query(query).build().fetch_all(&self.read).await.map_err(failed)?;
        page(&rows, query.limit, message)
    }
}

/// Appends a batch to SQLite.
struct Append;

impl bisect::Append for Append {
    type Database = Sqlite;

    async fn append(&self, connection: &mut SqliteConnection, messages: &[NewMessage]) -> Result<usize, sqlx::Error> {
        append(connection, &messages.iter().collect::<Vec<_>>()).await
    }

    fn row_outcome(error: &sqlx::Error) -> bisect::RowOutcome {
        row_outcome(error)
    }
}

/// Stores the messages whose ids are new, and adds all to their threads; returns how many were new.
pub(super) async fn append(connection: &mut SqliteConnection, messages: &[&NewMessage]) -> Result<usize, sqlx::Error> {
    let mut ids = HashSet::with_capacity(messages.len());
    let is_first: Vec<bool> = messages
        .iter()
        .map(|new| ids.insert(new.message.message_id.as_str()))
        .collect();
    let first: Vec<&Message> = messages
        .iter()
        .zip(&is_first)
        .filter(|(_, is_first)| **is_first)
        .map(|(new, _)| &new.message)
        .collect();
    let mut stored = HashSet::with_capacity(first.len());
    for run in statement_batches(&first) {
        insert(connection, run, &mut stored).await?;
    }
    let offered = || {
        let messages = messages.iter().zip(&is_first);
        messages.map(|(new, is_first)| (*new, *is_first && stored.contains(new.message.message_id.as_str())))
    };
    add_to_threads(connection, &thread_deltas(offered())).await?;
    add_to_views(connection, &view_deltas(offered())).await?;
    Ok(stored.len())
}

/// Inserts the messages whose ids are not in the history yet, and notes those ids.
async fn insert<'a>(
    connection: &mut SqliteConnection,
    messages: &[&'a Message],
    stored: &mut HashSet<&'a str>,
) -> Result<(), sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new(INSERT);
    sql.push_values(messages, |mut row, message| {
        row.push_bind(message.message_id.clone())
            .push_bind(message.thread_id.clone())
            .push_bind(message.parent_message_id.clone())
            .push_bind(message.from_agent.clone())
            .push_bind(message.from_account_id.clone())
            .push_bind(message.from_session_tag.clone())
            .push_bind(message.to_account_id.clone())
            .push_bind(message.to_agent.clone())
            .push_bind(message.kind.clone())
            .push_bind(message.schema_version.clone())
            .push_bind(message.idempotency_key.clone())
            .push_bind(message.payload.get().to_owned())
            .push_bind(message.trace_id.clone())
            .push_bind(message.sent_at.as_micros())
            .push_bind(message.received_at.as_micros())
            .push_bind(message.ttl_ms.clone())
            .push_bind(message.expires_at.clone())
            .push_bind(message.auth_scheme.clone())
            .push_bind(message.issuer.clone());
    });
    sql.push(" ON CONFLICT (message_id) DO NOTHING");
    let done = sql.build().execute(&mut *connection).await?;
    let ids = || messages.iter().map(|message| message.message_id.as_str());
    let new = i64::try_from(done.rows_affected()).unwrap_or(i64::MAX);
    // Almost always all are new. Where some are not, the new ones have the last row numbers, one after the other.
    if done.rows_affected() == messages.len() as u64 {
        stored.extend(ids());
    } else if new > 0 {
        let last = done.last_insert_rowid();
        let rows = sqlx::query_scalar(INSERTED).bind(last - new).bind(last);
        let inserted: HashSet<String> = rows.fetch_all(connection).await?.into_iter().collect();
        stored.extend(ids().filter(|id| inserted.contains(*id)));
    }
    Ok(())
}

/// The statement of one page: of one walk, or of several whose rows SQLite merges as it reads them.
pub(super) fn page_query(query: &MessageQuery) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("");
    for (place, walk) in walks(query).iter().enumerate() {
        sql.push(if place == 0 { "" } else { " UNION ALL " });
        push_walk(&mut sql, walk);
    }
    sql.push(" ORDER BY sent_at DESC, message_id DESC LIMIT ")
        .push_bind(fetch_limit(query.limit));
    sql
}

/// The statement of one walk. It walks one index backwards, which gives the order: that of the thread, with the kind if that
/// is asked for; else that of the sender, with the receiver; else that of receiver, kind or time.
fn push_walk(sql: &mut QueryBuilder<Sqlite>, Walk { query, rows }: &Walk) {
    let filters = [
        ("message_id", &query.message_id),
        ("thread_id", &query.thread_id),
        ("from_account_id", &query.from_account_id),
        ("to_account_id", &query.to_account_id),
        ("kind", &query.kind),
    ];
    // Named, since with bounds of time as well SQLite takes others.
    let index = match filters.map(|(_, value)| value.is_some()) {
        // The key of the table.
        [true, ..] => None,
        [_, true, _, _, true] => Some("idx_agent_messages_thread_kind"),
        [_, true, ..] => Some("idx_agent_messages_thread_sent_msg"),
        [_, _, true, true, _] => Some("idx_agent_messages_from_to"),
        [_, _, true, ..] => Some("idx_agent_messages_from_account"),
        [_, _, _, true, _] => Some("idx_agent_messages_to_account"),
        [.., true] => Some("idx_agent_messages_kind"),
        [..] => Some("idx_agent_messages_sent_at"),
    };
    sql.push(SELECT);
    if let Some(index) = index {
        sql.push(" INDEXED BY ").push(index);
    }
    sql.push(" WHERE TRUE");
    for (column, value) in filters {
        if let Some(value) = value {
            sql.push(" AND ").push(column).push(" = ").push_bind(value.clone());
        }
    }
    if let Some(from) = query.from {
        sql.push(" AND sent_at >= ").push_bind(from.as_micros());
    }
    if let Some(to) = query.to {
        sql.push(" AND sent_at <= ").push_bind(to.as_micros());
    }
    if let Some(before) = &query.before {
        sql.push(" AND (sent_at, message_id) < (")
            .push_bind(before.at.as_micros());
        sql.push(", ").push_bind(before.id.clone()).push(")");
    }
    push_rows(sql, rows);
}

/// The condition of the rows that are in the result. The column issuer, which lies behind the payload, is looked at last.
fn push_rows(sql: &mut QueryBuilder<Sqlite>, rows: &Rows) {
    match rows {
        Rows::All => {}
        Rows::IssuedBy(account) => {
            sql.push(" AND issuer = ").push_bind(account.clone());
        }
        Rows::NotIssuedBy(account) => {
            sql.push(" AND (from_account_id IS NOT ").push_bind(account.clone());
            sql.push(" OR issuer IS NOT ").push_bind(account.clone()).push(")");
        }
        Rows::VisibleTo(account) => {
            sql.push(" AND (to_account_id = ").push_bind(account.clone());
            sql.push(" OR (from_account_id = ").push_bind(account.clone());
            sql.push(" AND issuer = ").push_bind(account.clone()).push("))");
        }
        Rows::None => {
            sql.push(" AND FALSE");
        }
    }
}

fn message(row: &SqliteRow) -> Result<Message, StoreError> {
    Ok(Message {
        message_id: row.try_get("message_id").map_err(failed)?,
        thread_id: row.try_get("thread_id").map_err(failed)?,
        parent_message_id: row.try_get("parent_message_id").map_err(failed)?,
        from_agent: row.try_get("from_agent").map_err(failed)?,
        from_account_id: row.try_get("from_account_id").map_err(failed)?,
        from_session_tag: row.try_get("from_session_tag").map_err(failed)?,
        to_account_id: row.try_get("to_account_id").map_err(failed)?,
        to_agent: row.try_get("to_agent").map_err(failed)?,
        kind: row.try_get("kind").map_err(failed)?,
        schema_version: row.try_get("schema_version").map_err(failed)?,
        idempotency_key: row.try_get("idempotency_key").map_err(failed)?,
        payload: json_column(row, "payload")?,
        trace_id: row.try_get("trace_id").map_err(failed)?,
        sent_at: Timestamp::from_micros(row.try_get("sent_at").map_err(failed)?),
        received_at: Timestamp::from_micros(row.try_get("received_at").map_err(failed)?),
        ttl_ms: row.try_get("ttl_ms").map_err(failed)?,
        expires_at: row.try_get("expires_at").map_err(failed)?,
        auth_scheme: row.try_get("auth_scheme").map_err(failed)?,
        issuer: row.try_get("issuer").map_err(failed)?,
    })
}
