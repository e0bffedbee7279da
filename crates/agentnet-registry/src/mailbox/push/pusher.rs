//! Delivers the messages of one account, one after the other, until another account waits for its turn.

use std::time::Duration;

use agentnet_store::StoreError;
use agentnet_store::model::{LeaseEnd, LeaseQuery, LeasedRow};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::delivery::Delivery;
use super::{lease_end, session_tag, session_tag_of};
use crate::clock::Now;
use crate::context::Context;
use crate::peers::PEER_TIMEOUT;

/// Bytes of the one message of a lease.
const MAX_BYTES: usize = 1 << 20;
/// How long an account is left alone after a failure.
const FAILURE_DELAY: Duration = Duration::from_secs(1);

/// Delivers until there are no more messages, the account cannot take them, another account needs the place among those to which
/// messages are delivered at the same time, or `stop`.
pub(super) async fn run(ctx: &Context, account_id: &str, places: &Semaphore, stop: &CancellationToken) {
    let recipients = &ctx.mailbox.notices.recipients;
    while !stop.is_cancelled() && ctx.presence.push_targets(account_id).is_some() {
        // What comes from here on is asked for once more.
        recipients.remove(account_id);
        match deliver_next(ctx, account_id, stop).await {
            Ok(true) if places.available_permits() == 0 => break,
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::debug!(%error, %account_id, "messages of a mailbox cannot be delivered");
                stop.run_until_cancelled(tokio::time::sleep(FAILURE_DELAY)).await;
                break;
            }
        }
    }
    // Behind all others.
    recipients.add(account_id);
}

/// Delivers one message; `false` if there is none.
async fn deliver_next(ctx: &Context, account_id: &str, stop: &CancellationToken) -> Result<bool, StoreError> {
    let now = Now::read().time;
    let query = LeaseQuery {
        account_id: account_id.to_owned(),
        session_tag: session_tag(ctx),
        token: format!("{:032x}", rand::random::<u128>()),
        max: 1,
        max_bytes: MAX_BYTES,
        exclusive: true,
        pushing: other_pushers(ctx),
        now,
        until: lease_end(now),
        max_attempts: ctx.config.mailbox_max_attempts,
    };
    let leased = ctx.store.lease_messages(&query).await?;
    let Some(row) = leased.messages.into_iter().next() else {
        return Ok(false);
    };
    let lease = row.lease.clone();
    if let Some(end) = deliver(ctx, account_id, row, stop).await? {
        tracing::debug!(%account_id, %lease, outcome = %end.outcome, "delivered a message of a mailbox");
        finish(ctx, account_id, end).await?;
    }
    Ok(true)
}

/// The session tags of the registries that run: what a registry was delivering that is gone need not wait for the end of its
/// lease. `None` while this registry may not have heard of all. Its own lease of an earlier run lasts until its end.
fn other_pushers(ctx: &Context) -> Option<Vec<String>> {
    let now = Now::read();
    if !ctx.presence.has_heard_for(PEER_TIMEOUT, now) {
        return None;
    }
    let others = ctx.peers.heard_server_ids(now.instant).into_iter();
    let tags = others.map(|server_id| session_tag_of(&server_id));
    Some(tags.chain([session_tag(ctx)]).collect())
}

/// Delivers a message; `None` if the lease was lost.
async fn deliver(
    ctx: &Context,
    account_id: &str,
    row: LeasedRow,
    stop: &CancellationToken,
) -> Result<Option<LeaseEnd>, StoreError> {
    match Delivery::begin(ctx, account_id, row, stop).await? {
        Some(delivery) => delivery.run().await,
        None => Ok(None),
    }
}

/// Ends a lease, and tells of it.
async fn finish(ctx: &Context, account_id: &str, end: LeaseEnd) -> Result<(), StoreError> {
    let (now, max) = (Now::read().time, ctx.config.mailbox_max_attempts);
    let ends = [end];
    let ended = ctx
        .store
        .end_leases(account_id, &session_tag(ctx), &ends, now, max)
        .await?;
    ctx.mailbox.notices.ended(&ends, ended).await;
    Ok(())
}
