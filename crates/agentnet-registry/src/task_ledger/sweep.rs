//! Ends leases, deadlines and cancellations that are over, and forgets old tasks (PROTOCOL.md sections 22.7 and 22.8).
//!
//! Every registry does this; the store gives each task to one of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_store::model::{MailboxChoice, MailboxEnd};
use agentnet_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::messages::MILLIS_PER_DAY;
use crate::clock::Now;
use crate::context::Context;

/// How often leases and deadlines are looked at.
const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// Tasks that are changed in one transaction, and transactions of one sweep.
const BATCH: usize = 100;
const MAX_BATCHES: usize = 100;
/// Old tasks that one sweep forgets.
const MAX_PRUNED: usize = 1_000;
/// How often old tasks are looked for, and tasks are counted for the metrics; at least one sweep lies between.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Sweeps once a second until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TICK_INTERVAL.min(ctx.config.gc_interval));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let store = ctx.database.retrying();
    let mut failing = false;
    let mut kept_up_at: Option<Instant> = None;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        // Without a connection, no worker is heard and nobody hears of the end.
        if !ctx.database.is_up() || !ctx.is_connected() {
            continue;
        }
        let interval = UPKEEP_INTERVAL.min(ctx.config.gc_interval);
        let is_due = kept_up_at.is_none_or(|at| at.elapsed() >= interval);
        if is_due {
            kept_up_at = Some(Instant::now());
        }
        match sweep(&ctx, store.as_ref(), is_due, &stop).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "leases and deadlines of tasks cannot be ended; trying again");
                }
            }
        }
    }
}

async fn sweep(ctx: &Context, store: &dyn Store, upkeep: bool, stop: &CancellationToken) -> Result<(), StoreError> {
    let grace_ms = i64::try_from(ctx.config.task_cancel_grace.as_millis()).unwrap_or(i64::MAX);
    for _ in 0..MAX_BATCHES {
        let changed = store.tick_tasks(Now::read().time, grace_ms, BATCH).await?;
        for (task, events) in &changed {
            let (state, code) = (task.state.as_str(), task.code.as_deref().unwrap_or_default());
            tracing::info!(task_id = %task.task_id, state, code, "the time of a task, or of its worker, is over");
            ctx.task_ledger.notices.changed(task, events).await;
        }
        if changed.len() < BATCH || stop.is_cancelled() {
            break;
        }
    }
    if upkeep {
        let days = i128::from(ctx.config.task_retention_days);
        let before = Now::read().time.saturating_add_millis(-MILLIS_PER_DAY * days);
        let pruned = store.prune_tasks(before, MAX_PRUNED).await?;
        if pruned > 0 {
            tracing::info!(pruned, "tasks were removed by retention");
        }
        ctx.metrics.tasks.set_counts(&store.task_counts().await?);
    }
    Ok(())
}

/// Takes messages about tasks that have ended out of mailboxes until `stop`.
pub(crate) async fn run_withdrawals(ctx: Arc<Context>, stop: CancellationToken) {
    let store = ctx.database.retrying();
    let withdrawals = &ctx.task_ledger.notices.withdrawals;
    while let Some(withdrawal) = stop.run_until_cancelled(withdrawals.next()).await {
        let choice = MailboxChoice::Messages(withdrawal.message_ids);
        let dropped = store
            .drop_messages(&withdrawal.account_id, &choice, Now::read().time)
            .await;
        match dropped {
            Ok(dropped) => ctx.mailbox.notices.tell(MailboxEnd::Dropped, &dropped).await,
            Err(error) => tracing::debug!(%error, "messages about a task that has ended stay in a mailbox"),
        }
    }
}
