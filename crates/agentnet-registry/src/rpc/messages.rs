//! `registry.thread_messages` and `registry.message_search` (PROTOCOL.md sections 6 and 6.1, with decisions 0.3, 0.4 and
//! 0.10).

use std::sync::Arc;

use agentnet_protocol::cursor::Cursor;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::rpc::{
    HistoryMessage, MessageSearchReply, MessageSearchRequest, Reply as _, RpcError, ThreadMessagesReply,
    ThreadMessagesRequest,
};
use agentnet_protocol::{RawJson, Timestamp};
use agentnet_store::model::{Message, MessageQuery, Position};

use super::threads::position;
use super::{Call, failed};
use crate::clock::now_text;
use crate::context::Context;
use crate::truncate_reply::truncate_reply;

/// Messages that are read at a time: large ones fill a reply before many of them are in memory.
const CHUNK_MESSAGES: usize = 32;

/// Arrays and objects of a reply that a payload stands in: the reply, its messages, the message.
const LEVELS_AROUND_PAYLOAD: usize = 3;

/// One page, and the cursor behind it if there are more.
type Found = (Vec<(Cursor, HistoryMessage)>, Option<Cursor>);

/// One thread's messages, newest first.
pub(super) async fn thread_messages(
    ctx: &Arc<Context>,
    request: ThreadMessagesRequest,
    call: &Call,
) -> Result<String, RpcError> {
    let query = MessageQuery {
        thread_id: Some(request.thread_id.clone()),
        before: position(request.cursor.as_deref())?,
        visible_to: call.visible_to(ctx),
        ..MessageQuery::default()
    };
    let (items, end) = find(ctx, query, request.limit, "thread_messages_failed").await?;
    let mut reply = ThreadMessagesReply {
        thread_id: request.thread_id,
        limit: request.limit,
        cursor: request.cursor,
        next_cursor: None,
        messages: Vec::new(),
        generated_at: now_text(),
    };
    truncate_reply(ctx.max_reply(), items, shortened, |messages, last| {
        reply.messages = messages;
        reply.next_cursor = last.or(end.as_ref()).map(Cursor::encode);
        (reply.encode(), std::mem::take(&mut reply.messages))
    })
}

/// Messages by filters, newest first.
pub(super) async fn message_search(
    ctx: &Arc<Context>,
    request: MessageSearchRequest,
    call: &Call,
) -> Result<String, RpcError> {
    let filters = &request.filters;
    let time = |text: &Option<String>, error| match text {
        Some(text) => Timestamp::parse(text).map(Some).ok_or(RpcError::new(error)),
        None => Ok(None),
    };
    let query = MessageQuery {
        message_id: filters.message_id.clone(),
        thread_id: filters.thread_id.clone(),
        from_account_id: filters.from_account_id.clone(),
        to_account_id: filters.to_account_id.clone(),
        kind: filters.kind.clone(),
        from: time(&filters.from_ts, "from_ts_invalid")?,
        to: time(&filters.to_ts, "to_ts_invalid")?,
        before: position(request.cursor.as_deref())?,
        visible_to: call.visible_to(ctx),
        limit: 0,
    };
    let (items, end) = find(ctx, query, request.limit, "message_search_failed").await?;
    let mut reply = MessageSearchReply {
        filters: request.filters,
        limit: request.limit,
        cursor: request.cursor,
        next_cursor: None,
        messages: Vec::new(),
        generated_at: now_text(),
    };
    truncate_reply(ctx.max_reply(), items, shortened, |messages, last| {
        reply.messages = messages;
        reply.next_cursor = last.or(end.as_ref()).map(Cursor::encode);
        (reply.encode(), std::mem::take(&mut reply.messages))
    })
}

/// Reads until the page is full, or its payloads alone fill the reply.
async fn find(ctx: &Context, mut query: MessageQuery, limit: usize, error: &'static str) -> Result<Found, RpcError> {
    let max = ctx.max_reply();
    let mut items = Vec::new();
    let mut payload_bytes = 0;
    loop {
        query.limit = CHUNK_MESSAGES.min(limit - items.len());
        let page = ctx.store.messages(&query).await.map_err(failed(error))?;
        for message in page.items {
            let cursor = Cursor {
                sent_at: message.sent_at,
                message_id: message.message_id.clone(),
            };
            payload_bytes += message.payload.get().len();
            let item = history_message(message);
            let is_readable = item.payload.fits_inside(LEVELS_AROUND_PAYLOAD);
            items.push((cursor, if is_readable { item } else { shortened(&item) }));
        }
        let last = items.last().map(|(cursor, _): &(Cursor, _)| cursor.clone());
        if !page.more || items.len() >= limit || payload_bytes > max {
            return Ok((items, last.filter(|_| page.more)));
        }
        query.before = last.map(|cursor| Position {
            at: cursor.sent_at,
            id: cursor.message_id,
        });
    }
}

fn history_message(message: Message) -> HistoryMessage {
    HistoryMessage {
        message_id: message.message_id,
        thread_id: message.thread_id,
        parent_message_id: message.parent_message_id,
        from_account_id: message.from_account_id,
        from_session_tag: message.from_session_tag,
        to_account_id: message.to_account_id,
        to_agent: message.to_agent,
        kind: message.kind,
        schema_version: message.schema_version,
        idempotency_key: message.idempotency_key,
        payload: message.payload,
        trace_id: message.trace_id,
        sent_at: message.sent_at.to_string(),
        received_at: message.received_at.to_string(),
        status: "received".to_owned(),
        metadata: RawJson::empty_object(),
        from_agent: Some(message.from_agent),
        ttl_ms: message.ttl_ms,
        expires_at: message.expires_at,
    }
}

/// A message with a payload that is too large or too deeply nested for any reply: without it, but with its size in the metadata.
fn shortened(message: &HistoryMessage) -> HistoryMessage {
    let bytes = message.payload.get().len();
    let metadata = ObjectWriter::new()
        .bool("payload_omitted", true)
        .int("payload_bytes", bytes as u64)
        .finish();
    HistoryMessage {
        payload: RawJson::null(),
        metadata: RawJson::parse(metadata).unwrap_or_else(|_| RawJson::empty_object()),
        ..message.clone()
    }
}
