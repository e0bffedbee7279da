//! Conformance: the recorded conversations of `spec/transcripts` with the original registry, held again with ours over a real
//! nats-server, reply by reply and member by member.
//!
//! Where our replies are meant to differ, [`differences`] says so, with the decision of section 0 of the protocol; every other
//! difference fails the test, and so does an entry of that list that was not needed. `AGENTNET_TRANSCRIPTS=DIR` takes the
//! transcripts from another directory; a file that it lacks is read from the checkout.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod compare;
mod differences;
mod placeholder;
mod replay;
mod rules;
mod signing;
#[path = "../support/mod.rs"]
mod support;
mod transcript;

use agentnet_registry::RegistryConfig;
use replay::Replay;
use support::Network;
use transcript::Transcript;

/// The second conversation was recorded with the same registry after the first, and builds on its accounts.
#[tokio::test(flavor = "multi_thread")]
async fn identity_and_threads() {
    let net = Network::new(true).await;
    let registry = net.registry().await;
    let mut replay = Replay::new(net.client.clone(), registry.server_id());
    replay.play(&Transcript::load("registry_identity_memory")).await;
    replay.play(&Transcript::load("registry_threads_memory")).await;
    replay.finish();
    registry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_auth() {
    let net = Network::new(true).await;
    let config = RegistryConfig {
        dev_auth: true,
        ..net.config()
    };
    let registry = net.registry_with(config).await;
    let mut replay = Replay::new(net.client.clone(), registry.server_id());
    replay.play(&Transcript::load("registry_dev_auth_memory")).await;
    replay.finish();
    registry.shutdown().await;
}
