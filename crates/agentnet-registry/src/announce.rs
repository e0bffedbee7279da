//! What registries tell each other on [`SUBJECT`]: `{"session_tag":…}` for a session that was issued, `{"nonce":…}` for a
//! nonce that was used, `{"rotated":…}` for an account that has another key, and a beat `{"registry":…, "beat":…}` that says
//! that a registry runs (with `"stops":true`, that it does not any more). Each carries `number` and `mac`, which prove that
//! its sender shares the database (`peers`). Unknown members and announcements are ignored, so that versions may be mixed.
//!
//! Of somebody who proves nothing, a beat does nothing; the others cause a look into the store, which is harmless in bounded
//! number: registries of older versions speak so. Only so many a second are read: of a flood, requests must feel nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentnet_protocol::json::{Object, ObjectWriter};
use agentnet_protocol::limits::MAX_NAME_BYTES;
use agentnet_protocol::token_bucket::{RateLimit, TokenBucket};
use tokio_util::sync::CancellationToken;

use crate::clock::Now;
use crate::context::Context;
use crate::peers::{SILENCE, Speaker};
use crate::presence::hear;

/// Where registries tell each other what happened.
pub(crate) const SUBJECT: &str = "agentnet.registry.announce";
/// How often a registry says that it runs.
const BEAT: Duration = Duration::from_secs(1);
/// A nonce with its account is not longer.
const MAX_NONCE_BYTES: usize = 2 * MAX_NAME_BYTES + 1;
/// An announcement is not longer: a nonce of which every byte is escaped, and what stands around it.
const MAX_ANNOUNCEMENT_BYTES: usize = 6 * MAX_NONCE_BYTES + 256;
/// Announcements that prove nothing and are read, a second and at once: as many as registries of an older version make when
/// all their agents start.
const UNPROVEN_PER_SECOND: f64 = 1_000.0;
const UNPROVEN_BURST: u32 = 2_000;

/// A session was issued. Only its name is told: what it is, the others read from the store that they share.
pub(crate) async fn session(ctx: &Context, session_tag: &str) {
    tell(ctx, "session_tag", session_tag).await;
}

/// A nonce was used up.
pub(crate) async fn nonce(ctx: &Context, nonce: &str) {
    tell(ctx, "nonce", nonce).await;
}

/// An account has another key. The others read it from the store.
pub(crate) async fn rotated(ctx: &Context, account_id: &str) {
    tell(ctx, "rotated", account_id).await;
}

async fn tell(ctx: &Context, what: &str, name: &str) {
    let mut out = ObjectWriter::with_capacity(192);
    out.text(what, name).text("number", &ctx.peers.instance());
    publish(ctx, out.finish()).await;
}

async fn beat(ctx: &Context, stops: bool) {
    let mut out = ObjectWriter::with_capacity(256);
    out.text("registry", &ctx.config.server_id)
        .text("number", &ctx.peers.instance())
        .int("beat", ctx.peers.next_beat())
        .opt_text("database", ctx.peers.database());
    if stops {
        out.bool("stops", true);
    }
    publish(ctx, out.finish()).await;
}

/// A lost announcement costs time, nothing else: the session's first hello does the same, and beats come again.
async fn publish(ctx: &Context, body: String) {
    let body = ctx.peers.authenticated(body);
    if let Err(error) = ctx.client.publish(SUBJECT, body.into()).await {
        tracing::debug!(%error, "an announcement could not be sent");
    }
}

/// How many announcements of strangers may be read.
#[derive(Debug)]
pub(crate) struct UnprovenLimit {
    limit: RateLimit,
    start: Instant,
    bucket: Mutex<TokenBucket>,
}

impl Default for UnprovenLimit {
    fn default() -> Self {
        let limit = RateLimit::new(UNPROVEN_PER_SECOND, UNPROVEN_BURST);
        Self {
            limit,
            start: Instant::now(),
            bucket: Mutex::new(TokenBucket::full(&limit, 0.0)),
        }
    }
}

impl UnprovenLimit {
    fn take(&self, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.start).as_secs_f64();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(&self.limit, now)
    }
}

/// Somebody has something to tell. What is too long, or comes from a stranger when there were too many, is not read.
pub(crate) fn hear(ctx: &Arc<Context>, body: &[u8], now: Now) {
    if body.len() > MAX_ANNOUNCEMENT_BYTES {
        return ctx.metrics.announcements_dropped.add(1);
    }
    let speaker = ctx.peers.speaker(body);
    if speaker == Speaker::Stranger && !ctx.unproven.take(now.instant) {
        return ctx.metrics.announcements_dropped.add(1);
    }
    let Ok(Some(object)) = Object::parse_body(body) else {
        return;
    };
    let text = |name: &str| object.get(name).as_str();
    let known = speaker != Speaker::Stranger;
    if let Some(tag) = text("session_tag").filter(|tag| tag.len() <= MAX_NAME_BYTES) {
        hear::issued_elsewhere(ctx, tag.into_owned(), known);
    } else if let Some(nonce) = text("nonce").filter(|nonce| nonce.len() <= MAX_NONCE_BYTES) {
        ctx.nonces.used_elsewhere(&nonce, known, now.instant);
    } else if let Some(account_id) = text("rotated").filter(|id| id.len() <= MAX_NAME_BYTES) {
        hear::rotated_elsewhere(ctx, account_id.into_owned(), known);
    } else if let Some(name) = text("registry") {
        heard_beat(ctx, &name, speaker, &object, now);
    }
}

fn heard_beat(ctx: &Context, name: &str, speaker: Speaker, beat: &Object<'_>, now: Now) {
    let stops = beat.get("stops").raw() == "true";
    let Speaker::Colleague(number) = speaker else {
        let number = beat.get("number").as_str();
        let number = number.and_then(|number| u64::from_str_radix(&number, 16).ok());
        let database = beat.get("database").as_str();
        if let Some(number) = number.filter(|_| !stops)
            && ctx.peers.stranger(name, number, database.as_deref(), now.instant)
        {
            warn_of_another_database(ctx, database.as_deref());
        }
        return;
    };
    let counted = beat.get("beat").int().ok().flatten();
    let Some(counted) = counted.and_then(|counted| u64::try_from(counted).ok()) else {
        return;
    };
    if !ctx.peers.beat(number, counted, now.instant) {
        return;
    }
    if stops {
        ctx.peers.left(number, now.instant);
    }
    if ctx.presence.replica(number, stops, now) {
        greet(ctx, name, number);
    }
}

/// Says once that another registry on this network uses another database.
fn warn_of_another_database(ctx: &Context, database: Option<&str>) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let (Some(own), Some(other)) = (ctx.peers.database(), database) else {
        return;
    };
    if own != other && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "another registry on this network says that it uses another database: each of the two knows only some of the \
             accounts and messages; give both the same DATABASE_URL, or networks of their own"
        );
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
        if !ctx.is_connected() {
            ctx.presence.deaf_until(now);
        }
        if std::mem::replace(&mut dropped, ctx.dropped()) != dropped {
            ctx.presence.missed(now);
        }
        if ctx.is_connected() {
            beat(&ctx, false).await;
        }
    }
    if ctx.is_connected() {
        beat(&ctx, true).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_read_in_bounded_number() {
        let unproven = UnprovenLimit::default();
        let taken = |at: Instant| (0..20_000).filter(|_| unproven.take(at)).count();
        assert_eq!(taken(unproven.start), 2_000);
        assert_eq!(taken(unproven.start + Duration::from_secs(1)), 1_000);
    }

    #[test]
    fn the_longest_announcement_is_read() {
        let nonce = format!("{}:{}", "a".repeat(MAX_NAME_BYTES), "\u{1}".repeat(MAX_NAME_BYTES));
        let mut out = ObjectWriter::new();
        let body = out
            .text("nonce", &nonce)
            .text("number", "0000000000000007")
            .text("mac", &"0".repeat(32))
            .finish();
        assert!(body.len() <= MAX_ANNOUNCEMENT_BYTES, "{}", body.len());
    }
}
