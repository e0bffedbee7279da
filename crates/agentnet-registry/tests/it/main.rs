//! The integration tests of the registry, as one program: CONTRIBUTING.md tells why.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod history;
mod mailbox;
mod offline_replies;
mod outage;
mod presence;
mod refusals;
mod replicas;
mod requests;
mod strangers;
mod support;
mod tasks;
mod transcripts;
