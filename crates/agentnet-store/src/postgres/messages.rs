//! The message history in PostgreSQL.

use std::collections::HashSet;

use agentnet_protocol::json::{Kind, ObjectWriter, Value};
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::error::{failed, row_outcome};
use super::layout::Layout;
use super::thread_views::add_to_views;
use super::threads::add_to_threads;
use super::value::{Time, read, stored};
use super::{
    PostgresStore, json_column, lossless_json, opt_stored, opt_text_column, retry_on_conflict, text_column, time_column,
};
use crate::bisect;
use crate::error::StoreError;
use crate::model::{Appended, Message, MessageQuery, NewMessage, Page};
use crate::page::{fetch_limit, page};
use crate::store::Messages;
use crate::thread_deltas::{thread_deltas, view_deltas};
use crate::visibility::{Rows, Walk, walks};

macro_rules! columns {
    () => {
        "message_id, thread_id, parent_message_id, from_agent, from_account_id, from_session_tag, to_account_id, to_agent, \
         kind, schema_version, idempotency_key, payload, payload_text, trace_id, sent_at, received_at, metadata, issuer"
    };
}

macro_rules! new_rows {
    () => {
        concat!(
            "SELECT message_id, thread_id, parent_message_id, from_agent, from_account_id, from_session_tag, to_account_id, \
             to_agent, kind, schema_version, idempotency_key, payload::jsonb, payload_text, trace_id, sent_at, received_at, \
             metadata::jsonb, issuer FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
             $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], \
             $15::timestamptz[], $16::timestamptz[], $17::text[], $18::text[]) AS new (",
            columns!(),
            ")"
        )
    };
}

const INSERT: &str = concat!(
    "INSERT INTO agent_messages (",
    columns!(),
    ") ",
    new_rows!(),
    " ON CONFLICT (message_id) DO NOTHING RETURNING message_id"
);

/// Where the history is one table a month, a table of the ids alone says which are new.
const INSERT_MONTHLY: &str = concat!(
    "WITH fresh AS (INSERT INTO agent_message_ids (message_id) SELECT unnest($1::text[]) \
     ON CONFLICT DO NOTHING RETURNING message_id) INSERT INTO agent_messages (",
    columns!(),
    ") ",
    new_rows!(),
    " WHERE message_id IN (SELECT message_id FROM fresh) RETURNING message_id"
);

const SELECT: &str = "SELECT message_id, thread_id, parent_message_id, COALESCE(from_agent, '') AS from_agent, \
     from_account_id, from_session_tag, to_account_id, to_agent, kind, schema_version, idempotency_key, \
     payload::text AS payload, payload_text, trace_id, sent_at, received_at, metadata ->> 'ttl_ms' AS ttl_ms, \
     metadata ->> 'expires_at' AS expires_at, COALESCE(metadata ->> 'auth_scheme', '') AS auth_scheme, issuer \
     FROM agent_messages WHERE TRUE";

#[async_trait]
impl Messages for PostgresStore {
    async fn append_messages(&self, messages: &[NewMessage]) -> Result<Appended, StoreError> {
        let (pool, layout) = (self.pool()?, self.layout());
        if messages.is_empty() {
            return Ok(Appended::default());
        }
        retry_on_conflict!(bisect::append(&layout, || pool.begin(), messages))
    }

    async fn messages(&self, query: &MessageQuery) -> Result<Page<Message>, StoreError> {
        let rows = page_query(query)
            .build()
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        page(&rows, query.limit, message)
    }
}

impl bisect::Append for Layout {
    type Database = Postgres;

    async fn append(&self, connection: &mut PgConnection, messages: &[NewMessage]) -> Result<usize, sqlx::Error> {
        append(*self, connection, &messages.iter().collect::<Vec<_>>()).await
    }

    fn row_outcome(error: &sqlx::Error) -> bisect::RowOutcome {
        row_outcome(error)
    }
}

/// Stores the messages whose ids are new, and adds all to their threads; returns how many were new.
pub(super) async fn append(
    layout: Layout,
    connection: &mut PgConnection,
    messages: &[&NewMessage],
) -> Result<usize, sqlx::Error> {
    let mut ids = HashSet::with_capacity(messages.len());
    let is_first: Vec<bool> = messages
        .iter()
        .map(|new| ids.insert(new.message.message_id.as_str()))
        .collect();
    let mut first: Vec<&Message> = messages
        .iter()
        .zip(&is_first)
        .filter(|(_, is_first)| **is_first)
        .map(|(new, _)| &new.message)
        .collect();
    // One order for all writers: two of them may hold the same messages.
    first.sort_unstable_by(|a, b| a.message_id.cmp(&b.message_id));
    let stored = insert(layout, connection, &first).await?;
    let offered = || {
        let messages = messages.iter().zip(&is_first);
        messages.map(|(new, is_first)| (*new, *is_first && stored.contains(&new.message.message_id)))
    };
    add_to_threads(connection, &thread_deltas(offered())).await?;
    add_to_views(connection, &view_deltas(offered())).await?;
    Ok(stored.len())
}

/// Inserts the messages whose ids are not in the history yet; returns those ids.
async fn insert(
    layout: Layout,
    connection: &mut PgConnection,
    messages: &[&Message],
) -> Result<HashSet<String>, sqlx::Error> {
    let payloads: Vec<_> = messages
        .iter()
        .map(|message| lossless_json::columns(&message.payload))
        .collect();
    let texts = |read: fn(&Message) -> &str| messages.iter().map(|m| stored(read(m))).collect::<Vec<_>>();
    let opt_texts =
        |read: fn(&Message) -> Option<&str>| messages.iter().map(|m| opt_stored(read(m))).collect::<Vec<_>>();
    let inserted: Vec<String> = sqlx::query_scalar(match layout {
        Layout::Whole => INSERT,
        Layout::Monthly => INSERT_MONTHLY,
    })
    .bind(texts(|m| &m.message_id))
    .bind(texts(|m| &m.thread_id))
    .bind(opt_texts(|m| m.parent_message_id.as_deref()))
    .bind(texts(|m| &m.from_agent))
    .bind(opt_texts(|m| m.from_account_id.as_deref()))
    .bind(opt_texts(|m| m.from_session_tag.as_deref()))
    .bind(opt_texts(|m| m.to_account_id.as_deref()))
    .bind(texts(|m| &m.to_agent))
    .bind(texts(|m| &m.kind))
    .bind(texts(|m| &m.schema_version))
    .bind(opt_texts(|m| m.idempotency_key.as_deref()))
    .bind(payloads.iter().map(|columns| columns.jsonb).collect::<Vec<_>>())
    .bind(payloads.iter().map(|columns| columns.text).collect::<Vec<_>>())
    .bind(opt_texts(|m| m.trace_id.as_deref()))
    .bind(messages.iter().map(|m| Time(m.sent_at)).collect::<Vec<_>>())
    .bind(messages.iter().map(|m| Time(m.received_at)).collect::<Vec<_>>())
    .bind(messages.iter().map(|m| metadata(m)).collect::<Vec<_>>())
    .bind(opt_texts(|m| m.issuer.as_deref()))
    .fetch_all(connection)
    .await?;
    Ok(inserted.into_iter().map(read).collect())
}

/// The Python implementation's metadata column.
fn metadata(message: &Message) -> String {
    let mut object = ObjectWriter::new();
    match message.ttl_ms.as_deref() {
        None => object.null("ttl_ms"),
        Some(text) => match Value::parse(text).map(|value| value.kind()) {
            Ok(Kind::Integer(number)) => object.raw("ttl_ms", number),
            _ => object.text("ttl_ms", &stored(text)),
        },
    };
    object
        .nullable_text("expires_at", opt_stored(message.expires_at.as_deref()).as_deref())
        .text("auth_scheme", &stored(&message.auth_scheme))
        .finish()
}

/// The statement of one page: of one walk of an index, or of several, of each of which a page is read.
pub(super) fn page_query(query: &MessageQuery) -> QueryBuilder<Postgres> {
    let walks = walks(query);
    let mut sql = QueryBuilder::new("");
    if let [walk] = &walks[..] {
        push_walk(&mut sql, walk);
        return sql;
    }
    for (place, walk) in walks.iter().enumerate() {
        sql.push(if place == 0 {
            "SELECT * FROM (("
        } else {
            ") UNION ALL ("
        });
        push_walk(&mut sql, walk);
    }
    sql.push(")) AS visible");
    push_page(&mut sql, query);
    sql
}

/// Order and length of a page.
fn push_page(sql: &mut QueryBuilder<Postgres>, query: &MessageQuery) {
    sql.push(" ORDER BY sent_at DESC, message_id COLLATE \"C\" DESC LIMIT ")
        .push_bind(fetch_limit(query.limit));
}

/// The statement of a page of one walk.
fn push_walk(sql: &mut QueryBuilder<Postgres>, Walk { query, rows }: &Walk) {
    sql.push(SELECT);
    let filters = [
        ("message_id", &query.message_id),
        ("thread_id", &query.thread_id),
        ("from_account_id", &query.from_account_id),
        ("to_account_id", &query.to_account_id),
        ("kind", &query.kind),
    ];
    for (column, value) in filters {
        if let Some(value) = value {
            sql.push(" AND ")
                .push(column)
                .push(" = ")
                .push_bind(stored(value).into_owned());
        }
    }
    if let Some(from) = query.from {
        sql.push(" AND sent_at >= ").push_bind(Time(from));
    }
    if let Some(to) = query.to {
        sql.push(" AND sent_at <= ").push_bind(Time(to));
    }
    if let Some(before) = &query.before {
        sql.push(" AND (sent_at, message_id COLLATE \"C\") < (")
            .push_bind(Time(before.at))
            .push(", ")
            .push_bind(stored(&before.id).into_owned())
            .push(")");
    }
    push_rows(sql, rows);
    push_page(sql, query);
}

/// The condition of the rows that are in the result.
fn push_rows(sql: &mut QueryBuilder<Postgres>, rows: &Rows) {
    let bound = |account: &str| stored(account).into_owned();
    match rows {
        Rows::All => {}
        Rows::IssuedBy(account) => {
            sql.push(" AND issuer = ").push_bind(bound(account));
        }
        Rows::NotIssuedBy(account) => {
            sql.push(" AND (from_account_id IS DISTINCT FROM ")
                .push_bind(bound(account))
                .push(" OR issuer IS DISTINCT FROM ")
                .push_bind(bound(account))
                .push(")");
        }
        Rows::VisibleTo(account) => {
            sql.push(" AND (to_account_id = ")
                .push_bind(bound(account))
                .push(" OR (from_account_id = ")
                .push_bind(bound(account))
                .push(" AND issuer = ")
                .push_bind(bound(account))
                .push("))");
        }
        Rows::None => {
            sql.push(" AND FALSE");
        }
    }
}

fn message(row: &PgRow) -> Result<Message, StoreError> {
    Ok(Message {
        message_id: text_column(row, "message_id")?,
        thread_id: text_column(row, "thread_id")?,
        parent_message_id: opt_text_column(row, "parent_message_id")?,
        from_agent: text_column(row, "from_agent")?,
        from_account_id: opt_text_column(row, "from_account_id")?,
        from_session_tag: opt_text_column(row, "from_session_tag")?,
        to_account_id: opt_text_column(row, "to_account_id")?,
        to_agent: text_column(row, "to_agent")?,
        kind: text_column(row, "kind")?,
        schema_version: text_column(row, "schema_version")?,
        idempotency_key: opt_text_column(row, "idempotency_key")?,
        payload: json_column(row, "payload", "payload_text")?,
        trace_id: opt_text_column(row, "trace_id")?,
        sent_at: time_column(row, "sent_at")?,
        received_at: time_column(row, "received_at")?,
        ttl_ms: opt_text_column(row, "ttl_ms")?,
        expires_at: opt_text_column(row, "expires_at")?,
        auth_scheme: text_column(row, "auth_scheme")?,
        issuer: opt_text_column(row, "issuer")?,
    })
}
