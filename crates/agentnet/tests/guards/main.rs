//! A node driven over raw NATS through every row of the receiver's table (PROTOCOL.md section 12 with section 0.7): receipts,
//! error replies, codes, details and counters, compared member by member.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admission;
mod form;
mod handling;
mod harness;
#[path = "../net/mod.rs"]
mod net;
mod routing;
