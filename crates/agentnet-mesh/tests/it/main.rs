//! The integration tests of the mesh, as one program: CONTRIBUTING.md tells why.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod docs;
mod host;
mod proxies;
mod wire;
