//! The secure mode (PROTOCOL.md section 23), on a real nats-server whose users are the members of our registry.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attacks;
mod history;
mod members;
mod network;
mod talk;
