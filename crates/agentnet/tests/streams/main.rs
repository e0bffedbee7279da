//! Streamed replies and streams to inboxes (docs/STREAMING_PROTOCOL.md), on a real server and a real registry, and against a
//! peer that speaks raw NATS.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cancelling;
mod ending;
mod inboxes;
#[path = "../net/mod.rs"]
mod net;
mod peer;
mod python;
mod raw;
#[allow(dead_code, reason = "every test program uses a part of it")]
#[path = "../sessions/realm.rs"]
mod realm;
mod replies;
