//! The other registries that run.

use std::time::Instant;

use agentnet_store::model::Registry as Row;

use super::{KnownPeer, PEER_TIMEOUT, Peer, Peers, cut};

impl Peers {
    /// The other registries that were heard of within [`PEER_TIMEOUT`].
    pub(crate) fn heard(&self, now: Instant) -> Vec<Peer> {
        let mut known = self.lock();
        known.forget_unproven(now);
        let mut peers: Vec<Peer> = known
            .rows
            .iter()
            .filter(|(_, peer)| peer.was_heard(now))
            .map(|(instance_id, peer)| Peer {
                server_id: cut(&peer.server_id),
                instance: Row::number_text(*instance_id),
                database: self.database.get().cloned(),
                verified: true,
            })
            .chain(known.unproven.iter().map(|(_, peer)| peer.clone()))
            .collect();
        peers.sort_by(|one, other| (&one.server_id, &one.instance).cmp(&(&other.server_id, &other.instance)));
        peers
    }

    /// The server ids of the other registries that were heard of within [`PEER_TIMEOUT`]. Also of those
    /// without proof: one that has just started may not be known yet.
    pub(crate) fn heard_server_ids(&self, now: Instant) -> Vec<String> {
        let mut known = self.lock();
        known.forget_unproven(now);
        let with_row = known.rows.values().filter(|peer| peer.was_heard(now));
        with_row
            .map(|peer| peer.server_id.clone())
            .chain(known.unproven.iter().map(|(_, peer)| peer.server_id.clone()))
            .collect()
    }
}

impl KnownPeer {
    /// Whether it was heard of within [`PEER_TIMEOUT`], and does not stop.
    fn was_heard(&self, now: Instant) -> bool {
        let is_recent = |at| now.saturating_duration_since(at) <= PEER_TIMEOUT;
        self.last.is_some_and(|(beat, at)| beat < u64::MAX && is_recent(at))
    }
}
