//! `registry.thread_status` and `registry.thread_list` (PROTOCOL.md sections 6 and 8, with decisions 0.1 and 0.4).

use std::sync::Arc;

use agentnet_protocol::cursor::Cursor;
use agentnet_protocol::limits::MAX_PARTICIPANTS;
use agentnet_protocol::rpc::{
    Reply as _, RpcError, ThreadListReply, ThreadListRequest, ThreadStatusReply, ThreadStatusRequest, ThreadSummary,
};
use agentnet_protocol::{json, thread};
use agentnet_store::model::{Position, Thread, ThreadQuery};

use super::{Call, failed};
use crate::clock::now_text;
use crate::context::Context;
use crate::truncate_reply::{TOO_LARGE, truncate_reply};

/// Participants that are shown of a thread if all of them do not fit into a reply.
const MAX_SHORT_PARTICIPANTS: usize = 20;

/// One thread's counters.
pub(super) async fn thread_status(
    ctx: &Arc<Context>,
    request: ThreadStatusRequest,
    call: &Call,
) -> Result<String, RpcError> {
    let visible_to = call.visible_to(ctx);
    let config = &ctx.config;
    let found = ctx
        .store
        .thread(&request.thread_id, visible_to.as_deref())
        .await
        .map_err(failed("thread_status_failed"))?;
    let thread = summary(found.ok_or(RpcError::NOT_FOUND)?);
    let (soft, hard) = request
        .limits
        .resolve(config.thread_soft_limit_tokens, config.thread_hard_limit_tokens);
    let mut reply = ThreadStatusReply {
        participants_full: thread.participants.len() >= MAX_PARTICIPANTS,
        thread,
        soft_limit_tokens: soft,
        hard_limit_tokens: hard,
        thread_keep_tail_messages: config.thread_keep_tail_messages,
        token_estimate_chars_per_token: config.token_estimate_chars_per_token,
        generated_at: now_text(),
    };
    let mut text = reply.encode();
    if text.len() > ctx.max_reply() {
        reply.thread = shortened(&reply.thread);
        text = reply.encode();
    }
    if text.len() > ctx.max_reply() {
        Err(TOO_LARGE)
    } else {
        Ok(text)
    }
}

/// Threads, latest activity first.
pub(super) async fn thread_list(
    ctx: &Arc<Context>,
    request: ThreadListRequest,
    call: &Call,
) -> Result<String, RpcError> {
    let config = &ctx.config;
    let mut reply = ThreadListReply {
        query: request.query.clone(),
        limit: request.limit,
        participant_account_id: request.participant_account_id.clone(),
        participant_username: request.participant_username.clone(),
        ..ThreadListReply::default()
    };
    let before = position(request.cursor.as_deref())?;
    let username = request.participant_username.as_deref().filter(|name| !name.is_empty());
    if let (None, Some(username)) = (&request.participant_account_id, username) {
        let found = ctx
            .store
            .account_by_username(username)
            .await
            .map_err(failed("thread_list_failed"))?;
        let Some(account) = found else {
            reply.generated_at = now_text();
            return Ok(reply.encode());
        };
        reply.participant_account_id = Some(account.account_id);
    }
    let query = ThreadQuery {
        text: json::trim(&request.query).to_owned(),
        participant: reply.participant_account_id.clone(),
        before,
        visible_to: call.visible_to(ctx),
        limit: request.limit,
    };
    let page = ctx.store.threads(&query).await.map_err(failed("thread_list_failed"))?;
    let (soft, hard) = request
        .limits
        .resolve(config.thread_soft_limit_tokens, config.thread_hard_limit_tokens);
    reply.limits = Some((soft, hard, config.token_estimate_chars_per_token));
    let items: Vec<(Cursor, ThreadSummary)> = page
        .items
        .into_iter()
        .map(|thread| (cursor(&thread), summary(thread)))
        .collect();
    let end = items.last().filter(|_| page.more).map(|(cursor, _)| cursor.clone());
    reply.generated_at = now_text();
    truncate_reply(ctx.max_reply(), items, shortened, |threads, last| {
        reply.results = threads;
        reply.next_cursor = last.or(end.as_ref()).map(Cursor::encode);
        (reply.encode(), std::mem::take(&mut reply.results))
    })
}

/// The position of a cursor in the order of threads or messages.
pub(super) fn position(cursor: Option<&str>) -> Result<Option<Position>, RpcError> {
    let cursor = Cursor::decode(cursor.unwrap_or_default()).map_err(|_| RpcError::CURSOR_INVALID)?;
    Ok(cursor.map(|cursor| Position {
        at: cursor.sent_at,
        id: cursor.message_id,
    }))
}

/// Threads are paged like messages: by the time of the last activity, then by id.
fn cursor(thread: &Thread) -> Cursor {
    Cursor {
        sent_at: thread.last_message_at.unwrap_or(thread.updated_at),
        message_id: thread.thread_id.clone(),
    }
}

fn summary(thread: Thread) -> ThreadSummary {
    ThreadSummary {
        pending_messages: thread::pending_messages(thread.message_count, thread.latest_checkpoint_end),
        thread_id: thread.thread_id,
        created_by_account_id: thread.created_by_account_id,
        participants: thread.participants,
        created_at: thread.created_at.to_string(),
        updated_at: thread.updated_at.to_string(),
        message_count: thread.message_count,
        byte_count: thread.byte_count,
        approx_tokens: thread.approx_tokens,
        latest_checkpoint_end: thread.latest_checkpoint_end,
        last_message_at: thread.last_message_at.map(|at| at.to_string()),
        status: thread::STATUS.to_owned(),
    }
}

fn shortened(thread: &ThreadSummary) -> ThreadSummary {
    let mut thread = thread.clone();
    thread.participants.truncate(MAX_SHORT_PARTICIPANTS);
    thread
}
