//! What registries tell each other on [`SUBJECT`]: `{"session_tag":…}` for a session that was issued, `{"nonce":…}` for a
//! nonce that was used, `{"rotated":…}` for an account that has another key, and a beat `{"registry":…, "number":…}` that says that a registry runs (with `"stops":true`, that it
//! does not any more). Unknown members and announcements are ignored, so that versions may be mixed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet_protocol::json::{Object, ObjectWriter};
use tokio_util::sync::CancellationToken;

use crate::clock::Now;
use crate::connect::is_up;
use crate::context::Context;
use crate::presence::hear;

/// Where registries tell each other what happened.
pub(crate) const SUBJECT: &str = "agentnet.registry.announce";
/// How often a registry says that it runs.
const BEAT: Duration = Duration::from_secs(1);
/// A registry that was silent for so long has gone.
const SILENCE: Duration = Duration::from_secs(4);
/// A nonce with its account is not longer.
const LONGEST_NONCE: usize = 1024;

/// A session was issued. Only its name is told: what it is, the others read from the store that they share.
pub(crate) async fn session(ctx: &Context, session_tag: &str) {
    publish(
        ctx,
        ObjectWriter::with_capacity(96)
            .text("session_tag", session_tag)
            .finish(),
    )
    .await;
}

/// A nonce was used up.
pub(crate) async fn nonce(ctx: &Context, nonce: &str) {
    if nonce.len() <= LONGEST_NONCE {
        publish(ctx, ObjectWriter::with_capacity(128).text("nonce", nonce).finish()).await;
    }
}

/// An account has another key. The others read it from the store.
pub(crate) async fn rotated(ctx: &Context, account_id: &str) {
    publish(
        ctx,
        ObjectWriter::with_capacity(96).text("rotated", account_id).finish(),
    )
    .await;
}

async fn beat(ctx: &Context, stops: bool) {
    let mut out = ObjectWriter::with_capacity(96);
    out.text("registry", &ctx.config.server_id)
        .text("number", &format!("{:016x}", ctx.number));
    if stops {
        out.bool("stops", true);
    }
    publish(ctx, out.finish()).await;
}

/// A lost announcement costs time, nothing else: the session's first hello does the same, and beats come again.
async fn publish(ctx: &Context, body: String) {
    if let Err(error) = ctx.client.publish(SUBJECT, body.into()).await {
        tracing::debug!(%error, "an announcement could not be sent");
    }
}

/// Another registry has something to tell.
pub(crate) fn hear(ctx: &Arc<Context>, body: &[u8], now: Now) {
    let Ok(Some(object)) = Object::parse_body(body) else {
        return;
    };
    let text = |name: &str| object.get(name).as_str();
    if let Some(tag) = text("session_tag") {
        hear::issued_elsewhere(ctx, tag.into_owned());
    } else if let Some(nonce) = text("nonce").filter(|nonce| nonce.len() <= LONGEST_NONCE) {
        ctx.nonces.used_elsewhere(&nonce, now.instant);
    } else if let Some(account_id) = text("rotated") {
        hear::rotated_elsewhere(ctx, account_id.into_owned());
    } else if let (Some(name), Some(number)) = (text("registry"), text("number")) {
        let Ok(number) = u64::from_str_radix(&number, 16) else {
            return;
        };
        let stops = object.get("stops").raw() == "true";
        if ctx.presence.replica(number, stops, now) {
            greet(ctx, &name, number);
        }
    }
}

/// Says of another registry that it is there; once, if it has this one's name.
fn greet(ctx: &Context, name: &str, number: u64) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if name == ctx.config.server_id && number != ctx.number {
        if !WARNED.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                server_id = name,
                "another registry has the same server id: sessions and metrics of the two cannot be told apart; \
                 give each its own REGISTRY_SERVER_ID"
            );
        }
    } else {
        tracing::info!(server_id = name, "another registry serves this network too");
    }
}

/// Says that this registry runs until `stop`, then that it stops.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(BEAT);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut dropped = ctx.dropped();
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let now = Now::read();
        ctx.presence.stay_awake(SILENCE, now);
        if !is_up(&ctx.client) {
            ctx.presence.deaf_until(now);
        }
        if std::mem::replace(&mut dropped, ctx.dropped()) != dropped {
            ctx.presence.missed(now);
        }
        if is_up(&ctx.client) {
            beat(&ctx, false).await;
        }
    }
    if is_up(&ctx.client) {
        beat(&ctx, true).await;
    }
}
