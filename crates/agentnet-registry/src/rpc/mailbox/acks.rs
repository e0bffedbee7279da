//! `registry.mailbox_ack` and `registry.mailbox_extend` (PROTOCOL.md section 21.3).

use std::sync::Arc;

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::{FREE_CODES, MailboxOutcome};
use agentnet_protocol::rpc::{
    MailboxAckItem, MailboxAckReply, MailboxAckRequest, MailboxExtendRequest, Reply as _, RpcError,
};
use agentnet_store::model::{LeaseEnd, MailboxQuery};

use super::authorize::{authorize, check_known_session};
use super::store_failed;
use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::mailbox::push::retry_delay_ms;

/// The code of a message that goes back because an earlier one of its sender does. It costs no attempt.
const OUT_OF_ORDER: &str = "out_of_order";
/// Codes after which a message may be delivered again at once.
const IMMEDIATE_CODES: [&str; 2] = [OUT_OF_ORDER, "shutting_down"];
/// When a message may be delivered again whose receiver had no time for it, in milliseconds.
const FREE_DELAY_MS: i64 = 1_000;

/// A session has dealt with messages.
pub(in crate::rpc) async fn ack(ctx: &Arc<Context>, request: MailboxAckRequest) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    check_known_session(ctx, &request.account_id, &request.session_tag).await?;
    let now = Now::read().time;
    let mut ends = Vec::with_capacity(request.acks.len());
    for ack in request.acks {
        ends.push(lease_end(ctx, &request.account_id, ack, now).await?);
    }
    let lost = end_leases(ctx, &request.account_id, &request.session_tag, &ends).await?;
    Ok(reply(ends.len() - lost.len(), lost))
}

/// A session needs more time for messages.
pub(in crate::rpc) async fn extend(ctx: &Arc<Context>, request: MailboxExtendRequest) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    check_known_session(ctx, &request.account_id, &request.session_tag).await?;
    let now = Now::read().time;
    let until = now.saturating_add_millis(request.lease_ms.into());
    let (account_id, session_tag, leases) = (&request.account_id, &request.session_tag, &request.leases);
    let extended = ctx
        .store
        .extend_leases(account_id, session_tag, leases, now, until)
        .await;
    let extended = extended.map_err(store_failed)?;
    let lost: Vec<String> = leases
        .iter()
        .zip(&extended)
        .filter(|(_, extended)| !**extended)
        .map(|(lease, _)| lease.clone())
        .collect();
    Ok(reply(leases.len() - lost.len(), lost))
}

fn reply(acked: usize, lost: Vec<String>) -> String {
    MailboxAckReply {
        acked: i64::try_from(acked).unwrap_or(i64::MAX),
        lost,
        generated_at: now_text(),
    }
    .encode()
}

/// Ends leases in the store, and tells of what has become of the messages; returns the leases that were over.
pub(super) async fn end_leases(
    ctx: &Context,
    account_id: &str,
    session_tag: &str,
    ends: &[LeaseEnd],
) -> Result<Vec<String>, RpcError> {
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let (now, max) = (Now::read().time, ctx.config.mailbox_max_attempts);
    let ended = ctx.store.end_leases(account_id, session_tag, ends, now, max).await;
    let ended = ended.map_err(store_failed)?;
    Ok(ctx.mailbox.notices.ended(ends, ended).await)
}

async fn lease_end(ctx: &Context, account_id: &str, ack: MailboxAckItem, now: Timestamp) -> Result<LeaseEnd, RpcError> {
    let code = ack.code.as_deref().unwrap_or_default();
    let free = FREE_CODES.contains(&code) || code == OUT_OF_ORDER;
    let delay_ms = match (ack.outcome, ack.delay_ms) {
        (MailboxOutcome::Retry, Some(delay_ms)) => delay_ms,
        (MailboxOutcome::Retry, None) if IMMEDIATE_CODES.contains(&code) => 0,
        (MailboxOutcome::Retry, None) if free => FREE_DELAY_MS,
        (MailboxOutcome::Retry, None) => retry_delay_ms(attempts(ctx, account_id, &ack.lease).await?),
        (MailboxOutcome::Done | MailboxOutcome::Dead, _) => 0,
    };
    Ok(LeaseEnd {
        outcome: ack.outcome,
        available_at: now.saturating_add_millis(delay_ms.into()),
        free,
        code: ack.code,
        detail: ack.detail,
        lease: ack.lease,
    })
}

/// How often a leased message was attempted, this time included; 1 if the lease names no message.
async fn attempts(ctx: &Context, account_id: &str, lease: &str) -> Result<i64, RpcError> {
    let seq: Option<i64> = lease.rsplit_once('-').and_then(|(_, seq)| seq.parse().ok());
    let Some(seq) = seq.filter(|seq| *seq > 0) else {
        return Ok(1);
    };
    let query = MailboxQuery {
        account_id: account_id.to_owned(),
        state: None,
        after_seq: seq - 1,
        limit: 1,
    };
    let page = ctx.store.mailbox_messages(&query).await.map_err(store_failed)?;
    let row = page.items.first().filter(|row| row.seq == seq);
    Ok(row.map_or(1, |row| row.attempts))
}
