//! `registry.mailbox_status`, `registry.mailbox_list` and `registry.mailbox_action` (PROTOCOL.md section 21.3).

use std::sync::Arc;

use agentnet_protocol::Envelope;
use agentnet_protocol::mailbox::{MailboxAction, MailboxState};
use agentnet_protocol::preview::payload_preview;
use agentnet_protocol::rpc::{
    MAX_ACTION_MESSAGES, MailboxActionReply, MailboxActionRequest, MailboxItem, MailboxListReply, MailboxListRequest,
    MailboxStatusReply, MailboxStatusRequest, Reply as _, RpcError,
};
use agentnet_store::model::{Account, MailboxChoice, MailboxEnd, MailboxQuery, MailboxRow};

use super::authorize::authorize;
use super::{store_failed, unknown_account};
use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::mailbox::notices::Subject;
use crate::paging::{mailbox_cursor, mailbox_position};
use crate::rpc::Call;
use crate::truncate_reply::truncate_reply;

/// Messages that are read at a time: large ones must not fill the memory.
const CHUNK_MESSAGES: usize = 32;
/// How often messages of a state are changed in one request, each time [`MAX_ACTION_MESSAGES`]: a further request goes on.
const MAX_ACTION_ROUNDS: usize = 100;

/// How full a mailbox is, or all of them.
pub(in crate::rpc) async fn status(
    ctx: &Arc<Context>,
    request: MailboxStatusRequest,
    call: &Call,
) -> Result<String, RpcError> {
    let account_id = match (request.account_id, request.username) {
        (None, None) => None,
        named => Some(find(ctx, named).await?.account_id),
    };
    call.check_may_read(ctx, account_id.as_deref())?;
    let counts = ctx
        .store
        .mailbox_counts(account_id.as_deref())
        .await
        .map_err(store_failed)?;
    let limits = &ctx.mailbox.limits;
    Ok(MailboxStatusReply {
        queued: counts.queued,
        leased: counts.leased,
        dead: counts.dead,
        bytes: counts.bytes,
        oldest_queued_at: counts.oldest_queued_at.map(|at| at.to_string()),
        limit_messages: account_id.is_some().then_some(limits.max_messages),
        limit_bytes: if account_id.is_some() {
            limits.max_bytes
        } else {
            limits.total_bytes
        },
        account_id,
        generated_at: now_text(),
    }
    .encode())
}

/// The account that a request names; the id takes precedence.
async fn find(ctx: &Context, named: (Option<String>, Option<String>)) -> Result<Account, RpcError> {
    let found = match named {
        (Some(account_id), _) => ctx.store.account_by_id(&account_id).await,
        (None, Some(username)) if !username.is_empty() => ctx.store.account_by_username(&username).await,
        (None, Some(_)) => return Err(RpcError::USERNAME_REQUIRED),
        (None, None) => return Err(RpcError::new("account_id or username is required")),
    };
    found.map_err(store_failed)?.ok_or_else(unknown_account)
}

/// Messages of a mailbox, oldest first.
pub(in crate::rpc) async fn list(
    ctx: &Arc<Context>,
    request: MailboxListRequest,
    call: &Call,
) -> Result<String, RpcError> {
    let after_seq = mailbox_position(request.cursor.as_deref())?;
    let account = find(ctx, (request.account_id, request.username)).await?;
    call.check_may_read(ctx, Some(&account.account_id))?;
    let mut query = MailboxQuery {
        account_id: account.account_id,
        state: request.state,
        after_seq,
        limit: 0,
    };
    let mut items: Vec<(i64, MailboxItem)> = Vec::new();
    let end = loop {
        query.limit = CHUNK_MESSAGES.min(request.limit - items.len());
        let page = ctx.store.mailbox_messages(&query).await.map_err(store_failed)?;
        items.extend(page.items.into_iter().map(|row| (row.seq, item(row))));
        let last = items.last().map(|(seq, _)| *seq);
        if !page.more || items.len() >= request.limit {
            break last.filter(|_| page.more);
        }
        query.after_seq = last.unwrap_or(query.after_seq);
    };
    let mut reply = MailboxListReply {
        account_id: query.account_id,
        limit: request.limit,
        generated_at: now_text(),
        ..MailboxListReply::default()
    };
    truncate_reply(ctx.max_reply(), items, shortened, |messages, last| {
        reply.messages = messages;
        reply.next_cursor = last.copied().or(end).map(mailbox_cursor);
        (reply.encode(), std::mem::take(&mut reply.messages))
    })
}

fn item(row: MailboxRow) -> MailboxItem {
    let preview = match row.body.is_empty() {
        true => String::new(),
        false => {
            Envelope::decode(row.body).map_or_else(|_| String::new(), |read| payload_preview(&read.payload.view()))
        }
    };
    MailboxItem {
        message_id: row.message_id,
        from_account_id: row.from_account_id,
        to_account_id: row.account_id,
        thread_id: Some(row.thread_id).filter(|thread_id| !thread_id.is_empty()),
        kind: row.kind,
        bytes: row.bytes,
        state: row.state.as_str().to_owned(),
        attempts: row.attempts,
        queued_at: row.queued_at.to_string(),
        expires_at: row.expires_at.to_string(),
        done_at: row.done_at.map(|at| at.to_string()),
        last_code: row.last_code,
        last_detail: row.last_detail,
        preview,
    }
}

fn shortened(item: &MailboxItem) -> MailboxItem {
    MailboxItem {
        last_detail: None,
        preview: String::new(),
        ..item.clone()
    }
}

/// Queues dead messages again, or deletes messages.
pub(in crate::rpc) async fn action(ctx: &Arc<Context>, request: MailboxActionRequest) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    let changed = match (request.message_ids.is_empty(), request.state) {
        (true, Some(state)) => change_state(ctx, &request.account_id, request.action, state).await?,
        _ => {
            let choice = MailboxChoice::Messages(request.message_ids);
            change(ctx, &request.account_id, request.action, &choice).await?
        }
    };
    tracing::info!(account_id = %request.account_id, action = %request.action, changed, "messages in a mailbox were changed");
    Ok(MailboxActionReply {
        changed: i64::try_from(changed).unwrap_or(i64::MAX),
        generated_at: now_text(),
    }
    .encode())
}

async fn change_state(
    ctx: &Context,
    account_id: &str,
    action: MailboxAction,
    state: MailboxState,
) -> Result<usize, RpcError> {
    let choice = MailboxChoice::State(state, MAX_ACTION_MESSAGES);
    let mut total = 0;
    for _ in 0..MAX_ACTION_ROUNDS {
        let changed = change(ctx, account_id, action, &choice).await?;
        total += changed;
        if changed < MAX_ACTION_MESSAGES {
            break;
        }
    }
    Ok(total)
}

async fn change(
    ctx: &Context,
    account_id: &str,
    action: MailboxAction,
    choice: &MailboxChoice,
) -> Result<usize, RpcError> {
    let notices = &ctx.mailbox.notices;
    let (now, limits) = (Now::read().time, &ctx.mailbox.limits);
    let rows = match action {
        MailboxAction::Requeue => ctx.store.requeue_messages(account_id, choice, now, limits).await,
        MailboxAction::Drop => ctx.store.drop_messages(account_id, choice, now).await,
    };
    let rows = rows.map_err(store_failed)?;
    match action {
        MailboxAction::Requeue => {
            for row in &rows {
                notices.queued(&Subject::from(row)).await;
            }
        }
        MailboxAction::Drop => notices.tell(MailboxEnd::Dropped, &rows).await,
    }
    Ok(rows.len())
}
