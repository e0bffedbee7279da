//! Ends messages that were not delivered in time, or were attempted too often, and forgets old ones (PROTOCOL.md section 21.5).
//!
//! Every registry does this; the store gives each message to one of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_store::model::{MailboxEnd, UntoldEnd};
use agentnet_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::clock::Now;
use crate::context::Context;

/// Messages that are ended in one transaction, and transactions of one sweep.
const BATCH: usize = 100;
const MAX_BATCHES: usize = 100;
/// Old messages that one sweep forgets.
const MAX_PRUNED: usize = 5_000;
/// An end that a registry has not told for longer, it does not tell any more: it was killed, or lost the server or the database.
const MIN_UNTOLD_AGE: Duration = Duration::from_secs(10);
const MILLIS_PER_DAY: i128 = 24 * 60 * 60 * 1000;
/// How often the messages are counted, for the metrics.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);

/// Sweeps once per `gc_interval` until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(ctx.config.gc_interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let store = ctx.database.retrying();
    let mut failing = false;
    let mut counted_at: Option<Instant> = None;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        // Without a connection, nobody would hear of it.
        if !ctx.database.is_up() || !ctx.is_connected() {
            continue;
        }
        let is_due = counted_at.is_none_or(|at| at.elapsed() >= COUNT_INTERVAL.max(ctx.config.gc_interval));
        if is_due {
            counted_at = Some(Instant::now());
        }
        match sweep(&ctx, store.as_ref(), is_due, &stop).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "old messages in mailboxes cannot be removed; trying again");
                }
            }
        }
    }
}

async fn sweep(ctx: &Context, store: &dyn Store, count: bool, stop: &CancellationToken) -> Result<(), StoreError> {
    let notices = &ctx.mailbox.notices;
    let mut expired = 0;
    for _ in 0..MAX_BATCHES {
        let rows = store.expire_messages(Now::read().time, BATCH).await?;
        notices.tell(MailboxEnd::Expired, &rows).await;
        expired += rows.len();
        if rows.len() < BATCH || stop.is_cancelled() {
            break;
        }
    }
    let mut dead = 0;
    for _ in 0..MAX_BATCHES {
        let max = ctx.config.mailbox_max_attempts;
        let rows = store.bury_messages(Now::read().time, max, BATCH).await?;
        notices.tell(MailboxEnd::Dead, &rows).await;
        dead += rows.len();
        if rows.len() < BATCH || stop.is_cancelled() {
            break;
        }
    }
    if expired + dead > 0 {
        tracing::info!(expired, dead, "messages in mailboxes were not delivered");
    }
    tell_again(ctx, store, stop).await?;
    let now = Now::read().time;
    let dead_before = now.saturating_add_millis(-MILLIS_PER_DAY * i128::from(ctx.config.mailbox_dead_days));
    store.prune_mailboxes(now, dead_before, MAX_PRUNED).await?;
    if count {
        ctx.metrics.mailbox.set_counts(store.mailbox_counts(None).await?);
    }
    Ok(())
}

/// Tells the ends that no registry has told: that of a dead letter that made room, and those of a registry that was killed.
async fn tell_again(ctx: &Context, store: &dyn Store, stop: &CancellationToken) -> Result<(), StoreError> {
    let notices = &ctx.mailbox.notices;
    let age = i128::try_from(ctx.config.gc_interval.max(MIN_UNTOLD_AGE).as_millis()).unwrap_or(i128::MAX);
    for _ in 0..MAX_BATCHES {
        let now = Now::read().time;
        let untold = store.untold_ends(now.saturating_add_millis(-age), now, BATCH).await?;
        for UntoldEnd { end, row } in &untold {
            notices.publish_end(*end, row).await;
        }
        notices
            .note_told(untold.iter().map(|untold| untold.row.seq).collect())
            .await;
        if untold.len() < BATCH || stop.is_cancelled() {
            break;
        }
    }
    Ok(())
}
