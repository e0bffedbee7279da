//! Messages that are kept for agents that are offline (PROTOCOL.md section 21), by raw clients against a real nats-server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod ends;
mod keeping;
mod leases;
mod push;
mod push_ends;
mod refusals;
mod signed;
#[path = "../support/mod.rs"]
mod support;
mod told;
