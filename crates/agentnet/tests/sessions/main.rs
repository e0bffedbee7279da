//! Sessions, with the real registry: several nodes of one account, closing and starting again, and what happens when server
//! or registry go away (PROTOCOL.md sections 0.7 and 14).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod absent;
mod closing;
mod heartbeat;
#[path = "../net/mod.rs"]
mod net;
mod outages;
mod realm;
mod sharing;
mod starting;
