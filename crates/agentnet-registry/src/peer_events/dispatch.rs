//! Handles the announcements that arrive.
//!
//! A beat without proof has no effect. Other announcements without proof cause a lookup in the store: registries of older
//! versions send such ones. Their number is bounded, so that a flood of them does not slow requests down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentnet_protocol::json::Object;
use agentnet_protocol::limits::MAX_NAME_BYTES;

use crate::clock::Now;
use crate::context::Context;
use crate::peers::Origin;
use crate::presence::apply_events;
use crate::tasks::Phase;

/// The longest nonce, with its account.
const MAX_NONCE_BYTES: usize = 2 * MAX_NAME_BYTES + 1;
/// The longest announcement: a nonce of which every byte is escaped, and the members around it.
const MAX_ANNOUNCEMENT_BYTES: usize = 6 * MAX_NONCE_BYTES + 256;

/// Handles one announcement. One that is too long, or has no proof when there were too many of those, is not read.
pub(crate) fn handle(ctx: &Arc<Context>, body: &[u8], now: Now) {
    if body.len() > MAX_ANNOUNCEMENT_BYTES {
        return ctx.metrics.announcements_dropped.add(1);
    }
    let origin = ctx.peers.origin(body);
    if origin == Origin::Unproven && !ctx.unproven.take(now.instant) {
        return ctx.metrics.announcements_dropped.add(1);
    }
    let Ok(Some(object)) = Object::parse_body(body) else {
        return;
    };
    let text = |name: &str| object.get(name).as_str();
    let proven = origin != Origin::Unproven;
    if let Some(tag) = text("session_tag").filter(|tag| tag.len() <= MAX_NAME_BYTES) {
        apply_events::issued_elsewhere(ctx, tag.into_owned(), proven);
    } else if let Some(nonce) = text("nonce").filter(|nonce| nonce.len() <= MAX_NONCE_BYTES) {
        ctx.nonces.used_elsewhere(&nonce, proven, now.instant);
    } else if let Some(account_id) = text("rotated").filter(|id| id.len() <= MAX_NAME_BYTES) {
        apply_events::rotated_elsewhere(ctx, account_id.into_owned(), proven);
    } else if text("members").is_some() {
        if let Some(members) = ctx.members.clone() {
            ctx.tasks.spawn(Phase::Requests, async move {
                if let Err(error) = members.refresh().await {
                    tracing::warn!(%error, "members that another registry has changed cannot be read yet");
                }
            });
        }
    } else if let Some(name) = text("registry") {
        handle_beat(ctx, &name, origin, &object, now);
    }
}

fn handle_beat(ctx: &Context, name: &str, origin: Origin, beat: &Object<'_>, now: Now) {
    let stops = beat.get("stops").raw() == "true";
    let Origin::Peer(instance_id) = origin else {
        let instance_id = beat.get("number").as_str();
        let instance_id = instance_id.and_then(|text| u64::from_str_radix(&text, 16).ok());
        let database = beat.get("database").as_str();
        if let Some(instance_id) = instance_id.filter(|_| !stops)
            && ctx
                .peers
                .unproven_beat(name, instance_id, database.as_deref(), now.instant)
        {
            warn_of_another_database(ctx, database.as_deref());
        }
        return;
    };
    let sequence = beat.get("beat").int().ok().flatten();
    let Some(sequence) = sequence.and_then(|sequence| u64::try_from(sequence).ok()) else {
        return;
    };
    if !ctx.peers.beat(instance_id, sequence, now.instant) {
        return;
    }
    if stops {
        ctx.peers.left(instance_id, now.instant);
    }
    if ctx.presence.replica(instance_id, stops, now) {
        log_new_peer(ctx, name, instance_id);
    }
}

/// Warns once that another registry on this network uses another database.
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

/// Logs that another registry runs; warns once if it has the server id of this one.
fn log_new_peer(ctx: &Context, name: &str, instance_id: u64) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if name == ctx.config.server_id && instance_id != ctx.peers.instance_id() {
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

#[cfg(test)]
mod tests {
    use agentnet_protocol::json::ObjectWriter;

    use super::*;

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
