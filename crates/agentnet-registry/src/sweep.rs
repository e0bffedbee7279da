//! What has to be done again and again: eviction, retention, forgetting nonces (PROTOCOL.md sections 7.3 and 10.2).

use std::sync::Arc;
use std::time::Instant;

use agentnet_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::clock::Now;
use crate::context::Context;
use crate::{disk, oversized, takeover};

/// Threads that one sweep removes.
const THREADS: usize = 500;
const MILLIS_PER_DAY: i128 = 24 * 60 * 60 * 1000;

/// Sweeps every GC interval until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(ctx.config.gc_interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let store = ctx.database.patient();
    let mut failing = false;
    let mut looked: Option<Instant> = None;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let now = Now::read();
        ctx.nonces.forget(now.instant);
        let evicted = ctx.presence.evict(now);
        if evicted > 0 {
            tracing::info!(evicted, "sessions went silent");
            ctx.bell.ring();
        }
        ctx.tasks.spawn(disk::look(Arc::clone(&ctx)));
        if !ctx.database.is_up() {
            continue;
        }
        if looked.is_none_or(|at| now.instant.saturating_duration_since(at) >= oversized::LOOK) {
            looked = Some(now.instant);
            ctx.tasks.spawn(oversized::look(Arc::clone(&ctx)));
        }
        if ctx.adoptions.take_failed()
            && let Err(error) = takeover::load_profiles(&ctx).await
        {
            tracing::debug!(%error, "profiles cannot be read");
            ctx.adoptions.failed();
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

/// Removes what is older than its retention.
async fn retain(ctx: &Context, store: &dyn Store, now: Now) -> Result<(), StoreError> {
    let days_ago = |days: u32| now.time.saturating_add_millis(-MILLIS_PER_DAY * i128::from(days));
    let sessions = store
        .prune_sessions(days_ago(ctx.config.session_retention_days))
        .await?;
    let pruned = store
        .prune_threads(days_ago(ctx.config.thread_retention_days), THREADS)
        .await?;
    if sessions + pruned.threads > 0 {
        tracing::info!(
            sessions,
            threads = pruned.threads,
            messages = pruned.messages,
            "removed by retention"
        );
    }
    Ok(())
}
