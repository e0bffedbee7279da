//! The integration tests of the SDK, as one program: CONTRIBUTING.md tells why.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attacks;
mod blobs;
mod delivery;
mod guards;
mod mailbox;
mod net;
mod readme;
mod realm;
mod sdk;
mod secure;
mod sender;
mod sessions;
mod streams;
mod tasks;
