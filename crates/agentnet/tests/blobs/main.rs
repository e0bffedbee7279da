//! Blobs: the local store, the network's object store behind a real server, and references between agents.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agents;
mod broken;
mod local;
#[path = "../net/mod.rs"]
mod net;
mod network;
mod pattern;
