//! Tells the other registries every second that this one runs, and checks whether it could receive everything meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Now;
use crate::context::Context;
use crate::peers::PEER_TIMEOUT;

/// How often a registry announces that it runs.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Announces until `stop` that this registry runs, then that it stops.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(BEAT_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut dropped = ctx.dropped();
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let now = Now::read();
        ctx.presence.detect_pause(PEER_TIMEOUT, now);
        if !ctx.is_connected() {
            ctx.presence.reset_silence_from(now);
        }
        if std::mem::replace(&mut dropped, ctx.dropped()) != dropped {
            ctx.presence.missed(now);
        }
        if ctx.is_connected() {
            ctx.peer_events.beat(false).await;
        }
    }
    if ctx.is_connected() {
        ctx.peer_events.beat(true).await;
    }
}
