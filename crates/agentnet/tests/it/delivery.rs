//! Sends and requests: every outcome of PROTOCOL.md sections 11.3 to 11.5, against a receiver that the test plays itself, and
//! against a node; and payloads that arrive exactly as they were written.

mod endless;
mod harness;
mod outages;
mod payloads;
mod permissions;
mod processed;
mod receipts;
mod requests;
mod targets;
