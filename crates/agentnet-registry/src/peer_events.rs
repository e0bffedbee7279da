//! Announcements between registries, on [`SUBJECT`]:
//!
//! | body | meaning |
//! |---|---|
//! | `{"session_tag":…}` | a session was issued |
//! | `{"nonce":…}` | a nonce was used |
//! | `{"rotated":…}` | an account has another key |
//! | `{"members":…}` | a member of a network in secure mode has changed |
//! | `{"registry":…, "beat":…}` | a registry runs; with `"stops":true`, it stops |
//!
//! Each carries `number` and `mac`, which prove that its sender shares the database (`peers`). Unknown members and
//! announcements are ignored, so that versions may be mixed.
//!
//! This file publishes, `dispatch` handles what arrives, `heartbeat` sends the beats.

pub(crate) mod dispatch;
pub(crate) mod heartbeat;

use std::sync::Arc;
use std::time::Instant;

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::token_bucket::{RateLimit, TokenBucket};
use async_nats::Client;
use parking_lot::Mutex;

use crate::peers::Peers;

/// The subject of announcements.
pub(crate) const SUBJECT: &str = "agentnet.registry.announce";
/// Announcements without proof that are read, per second and in a burst: as many as registries of an older version send when
/// all their agents start.
const UNPROVEN_PER_SECOND: f64 = 1_000.0;
const UNPROVEN_BURST: u32 = 2_000;

/// Publishes this registry's announcements.
pub(crate) struct PeerEvents {
    client: Client,
    peers: Arc<Peers>,
    server_id: String,
}

impl PeerEvents {
    pub(crate) fn new(client: Client, peers: Arc<Peers>, server_id: String) -> Self {
        Self {
            client,
            peers,
            server_id,
        }
    }

    /// A session was issued. The others read it from the database.
    pub(crate) async fn session_issued(&self, session_tag: &str) {
        self.announce("session_tag", session_tag).await;
    }

    /// A nonce was used.
    pub(crate) async fn nonce_used(&self, nonce: &str) {
        self.announce("nonce", nonce).await;
    }

    /// An account has another key. The others read it from the database.
    pub(crate) async fn key_rotated(&self, account_id: &str) {
        self.announce("rotated", account_id).await;
    }

    /// A member of the network has changed. The others read it from the database.
    pub(crate) async fn members_changed(&self) {
        self.announce("members", "changed").await;
    }

    /// This registry runs, or stops.
    async fn beat(&self, stops: bool) {
        let mut out = ObjectWriter::with_capacity(256);
        out.text("registry", &self.server_id)
            .text("number", &self.peers.instance_text())
            .int("beat", self.peers.next_beat())
            .opt_text("database", self.peers.database());
        if stops {
            out.bool("stops", true);
        }
        self.publish(out.finish()).await;
    }

    async fn announce(&self, what: &str, name: &str) {
        let mut out = ObjectWriter::with_capacity(192);
        out.text(what, name).text("number", &self.peers.instance_text());
        self.publish(out.finish()).await;
    }

    /// A lost announcement only costs time: the first hello of the session has the same effect, and beats are repeated.
    async fn publish(&self, body: String) {
        let body = self.peers.authenticated(body);
        if let Err(error) = self.client.publish(SUBJECT, body.into()).await {
            tracing::debug!(%error, "an announcement could not be sent");
        }
    }
}

/// Limits how many announcements without proof are read.
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
        let mut bucket = self.bucket.lock();
        bucket.take(&self.limit, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn announcements_without_proof_are_bounded() {
        let unproven = UnprovenLimit::default();
        let taken = |at: Instant| (0..20_000).filter(|_| unproven.take(at)).count();
        assert_eq!(taken(unproven.start), 2_000);
        assert_eq!(taken(unproven.start + Duration::from_secs(1)), 1_000);
    }
}
