//! `registry.mailbox_lease` (PROTOCOL.md section 21.3).

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::mailbox::MailboxOutcome;
use agentnet_protocol::rpc::{LeasedMessage, MailboxLeaseReply, MailboxLeaseRequest, Reply as _, RpcError};
use agentnet_store::model::{LeaseEnd, LeaseQuery, Leased, LeasedRow};

use super::authorize::{authorize, check_session};
use super::{readable, store_failed};
use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::mailbox::BYTES_AROUND_MESSAGE;
use crate::rpc::Call;
use crate::rpc::hold::Hold;

/// How often it asks while messages are there that may not be delivered yet.
const RECHECK_INTERVAL: Duration = Duration::from_secs(2);
/// A character of two bytes has six where it is escaped.
const MAX_ESCAPED_GROWTH: usize = 3;
/// The code of a message that no reply has room for.
const TOO_LARGE: &str = "mailbox_too_large";

/// Gives a session the next messages of its account.
pub(in crate::rpc) async fn lease(
    ctx: &Arc<Context>,
    request: MailboxLeaseRequest,
    call: &mut Call,
) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    let waiters = &ctx.mailbox.notices.waiters;
    let mut waiter = (request.wait_ms > 0)
        .then(|| waiters.join(&request.account_id))
        .flatten();
    let hold = Hold::new(ctx, request.wait_ms);
    loop {
        check_session(ctx, &request.account_id, &request.session_tag).await?;
        let reply = take(ctx, &request).await?;
        let Some(waiter) = waiter.as_mut().filter(|_| reply.messages.is_empty()) else {
            return Ok(reply.encode());
        };
        let recheck = (reply.remaining > 0).then_some(RECHECK_INTERVAL);
        if !hold.wait(call, waiter.woken(), recheck).await {
            return Ok(MailboxLeaseReply {
                generated_at: now_text(),
                ..reply
            }
            .encode());
        }
    }
}

/// Leases what is there now.
async fn take(ctx: &Context, request: &MailboxLeaseRequest) -> Result<MailboxLeaseReply, RpcError> {
    let now = Now::read().time;
    let overhead = BYTES_AROUND_MESSAGE * (request.max + 1);
    let query = LeaseQuery {
        account_id: request.account_id.clone(),
        session_tag: request.session_tag.clone(),
        token: request.lease_id.clone().unwrap_or_else(random_token),
        max: request.max,
        max_bytes: ctx.max_reply().saturating_sub(overhead) / MAX_ESCAPED_GROWTH,
        exclusive: false,
        pushing: None,
        now,
        until: now.saturating_add_millis(request.lease_ms.into()),
        max_attempts: ctx.config.mailbox_max_attempts,
    };
    let leased = ctx.store.lease_messages(&query).await.map_err(store_failed)?;
    fit(ctx, request, leased).await
}

/// A new token of leases.
fn random_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The reply, cut to what the server takes: the other messages go back.
async fn fit(ctx: &Context, request: &MailboxLeaseRequest, leased: Leased) -> Result<MailboxLeaseReply, RpcError> {
    let mut ends = Vec::new();
    let mut reply = MailboxLeaseReply {
        remaining: leased.remaining,
        ..MailboxLeaseReply::default()
    };
    let mut is_cut = false;
    for row in leased.messages {
        let (lease, queued_at) = (row.lease.clone(), row.queued_at);
        let Some(message) = message(row) else {
            ends.push(end(lease, MailboxOutcome::Dead, Some("message_invalid")));
            continue;
        };
        if !is_cut {
            reply.messages.push(message);
            is_cut = reply.encode().len() > ctx.max_reply();
            if !is_cut {
                continue;
            }
            reply.messages.pop();
            if reply.messages.is_empty() {
                // No reply has room for it.
                ends.push(end(lease, MailboxOutcome::Dead, Some(TOO_LARGE)));
                is_cut = false;
                continue;
            }
        }
        tracing::debug!(%lease, %queued_at, "a message goes back: the reply has no room for it");
        ends.push(end(lease, MailboxOutcome::Retry, None));
        reply.remaining += 1;
    }
    if !ends.is_empty() {
        super::acks::end_leases(ctx, &request.account_id, &request.session_tag, &ends).await?;
    }
    reply.generated_at = now_text();
    Ok(reply)
}

fn message(row: LeasedRow) -> Option<LeasedMessage> {
    Some(LeasedMessage {
        lease: row.lease,
        seq: row.seq,
        attempt: row.attempt,
        queued_at: row.queued_at.to_string(),
        envelope: readable(row.body)?,
    })
}

fn end(lease: String, outcome: MailboxOutcome, code: Option<&str>) -> LeaseEnd {
    LeaseEnd {
        lease,
        outcome,
        available_at: Now::read().time,
        free: true,
        code: code.map(str::to_owned),
        detail: None,
    }
}
