//! Golden tests: every rule of the protocol against the recorded vectors of `spec/vectors`, case by case.
//!
//! `AGENTNET_VECTORS=DIR` runs the same tests on the files of another directory; a file that it lacks is read from the
//! checkout. Where section 0 of the protocol decides otherwise than the recordings, the test says which decision.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod loader;

mod auth;
mod coverage;
mod identity;
mod json;
mod jwts;
mod limits;
mod mailbox;
mod payloads;
mod receiver;
mod records;
mod secure;
mod tasks;
mod threads;
mod times;
