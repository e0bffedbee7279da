//! Periodic upkeep: eviction, retention, expired nonces, checks of disk and accounts (PROTOCOL.md sections 7.3 and 10.2).

use std::sync::Arc;
use std::time::Instant;

use agentnet_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::clock::Now;
use crate::context::Context;
use crate::tasks::Phase;
use crate::{blobs, oversized, restore_sessions};

/// Threads that one sweep removes.
const MAX_PRUNED_THREADS: usize = 500;
/// Invites are kept for so long after their time is over: what was done with them can be looked up.
const INVITE_RETENTION_DAYS: u32 = 30;
/// Void credentials are known for longer than any credential lives.
const VOIDED_RETENTION_DAYS: u32 = 400;
const MILLIS_PER_DAY: i128 = 24 * 60 * 60 * 1000;

/// Sweeps once per `gc_interval` until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(ctx.config.gc_interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let store = ctx.database.retrying();
    let mut failing = false;
    let mut accounts_checked: Option<Instant> = None;
    let mut blobs_swept: Option<Instant> = None;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let now = Now::read();
        ctx.nonces.forget(now.instant);
        let evicted = ctx.presence.evict(now);
        if evicted > 0 {
            tracing::info!(evicted, "silent sessions were evicted");
            ctx.flush.notify();
        }
        let checker = Arc::clone(&ctx);
        ctx.tasks.spawn(Phase::Requests, async move {
            checker.disk.check(checker.store.as_ref()).await;
        });
        if !ctx.database.is_up() {
            continue;
        }
        if accounts_checked.is_none_or(|at| now.instant.saturating_duration_since(at) >= oversized::CHECK_INTERVAL) {
            accounts_checked = Some(now.instant);
            let checker = Arc::clone(&ctx);
            ctx.tasks.spawn(Phase::Requests, async move {
                let (store, max) = (checker.store.as_ref(), checker.config.max_metadata_bytes);
                checker.oversized.check(store, max).await;
            });
        }
        if ctx.pending_lookups.take_failed()
            && let Err(error) = restore_sessions::load_profiles(&ctx).await
        {
            tracing::debug!(%error, "profiles cannot be read");
            ctx.pending_lookups.failed();
        }
        if ctx.blobs.is_some()
            && blobs_swept.is_none_or(|at| now.instant.saturating_duration_since(at) >= blobs::sweep::INTERVAL)
        {
            blobs_swept = Some(now.instant);
            let sweeper = Arc::clone(&ctx);
            ctx.tasks.spawn(Phase::Background, async move {
                if let Some(blobs) = &sweeper.blobs
                    && let Err(error) = blobs.sweep(now.time).await
                {
                    tracing::debug!(%error, "old blobs cannot be removed");
                }
            });
        }
        match retain(&ctx, store.as_ref(), now).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "old sessions and threads cannot be removed; trying again");
                }
                failing = true;
            }
        }
    }
}

/// Removes sessions and threads that are older than their retention, and invites that cannot be used any more.
async fn retain(ctx: &Context, store: &dyn Store, now: Now) -> Result<(), StoreError> {
    let days_ago = |days: u32| now.time.saturating_add_millis(-MILLIS_PER_DAY * i128::from(days));
    let sessions = store
        .prune_sessions(days_ago(ctx.config.session_retention_days))
        .await?;
    let pruned = store
        .prune_threads(days_ago(ctx.config.thread_retention_days), MAX_PRUNED_THREADS)
        .await?;
    if sessions + pruned.threads > 0 {
        tracing::info!(
            sessions,
            threads = pruned.threads,
            messages = pruned.messages,
            "removed by retention"
        );
    }
    if ctx.members.is_some() {
        store.prune_invites(days_ago(INVITE_RETENTION_DAYS)).await?;
        store.prune_voided_nkeys(days_ago(VOIDED_RETENTION_DAYS)).await?;
    }
    Ok(())
}
