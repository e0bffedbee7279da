//! Streamed replies and streams to inboxes (docs/STREAMING_PROTOCOL.md), on a real server and a real registry, and against a
//! peer that speaks raw NATS.

mod cancelling;
mod ending;
mod inboxes;
mod peer;
mod python;
mod raw;
mod replies;
