//! The tests of the testkit against real servers, as one program: CONTRIBUTING.md tells why.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod capture;
mod cluster;
mod nats;
mod postgres;
