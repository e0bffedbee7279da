//! The mailbox (PROTOCOL.md section 21): what a node leaves for others and takes for itself.
//!
//! - sending is in `send/mailbox.rs` and `deliver/mailbox.rs`; `codes` and `outbox` serve them, which keeps sends in order by
//!   `queued_receivers` and `lines`
//! - a session with a handler takes the messages of its account's mailbox by itself: `pull` decides when, `batch` hands them to
//!   the intake in order, `lease` follows each until its end (and `handling` that of an earlier copy that it waits for), `acks`
//!   reports the ends, `owner` makes the signed requests, `lease_request` those for messages
//! - `account`: calls of the registry about mailboxes

mod account;
mod acks;
mod batch;
pub(crate) mod codes;
pub(crate) mod handling;
pub(crate) mod lease;
mod lease_request;
pub(crate) mod lines;
pub(crate) mod outbox;
pub(crate) mod owner;
pub(crate) mod pull;
pub(crate) mod queued_receivers;
