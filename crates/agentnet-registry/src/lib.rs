//! The AgentNet registry service: accounts, presence, search, and the history of all messages.
//!
//! [`Registry::start`] connects to NATS, takes over what the store knows and answers `registry.*`
//! (`docs/PROTOCOL.md`, sections 6 to 8) until [`RegistryHandle::shutdown`]. Any number of registries may run on one
//! network and one database: each request is answered by one of them, presence is heard by all.
//!
//! - [`config`]: every setting, from environment or flags
//! - `connect`, `service`: from settings to a running service and back
//! - `router`, `rpc`: requests, one function each
//! - `presence`: who is online, in memory, written behind to the store
//! - `capture`: from the wire to the history
//! - `bounce`: requests to absent agents fail at once
//! - [`health`]: how one of several registries is
//! - `sweep`: what has to be done again and again
//! - `announce`: what registries tell each other
//! - `register_auth`, `identity`: signed registrations, and the registry's own signature
//! - `database`, `takeover`: a database that is down, and what it held
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod announce;
mod bounce;
mod capture;
mod clock;
pub mod config;
mod connect;
mod context;
mod database;
mod disk;
mod error;
mod fit;
pub mod health;
mod identity;
mod metrics;
mod new_accounts;
mod oversized;
mod paging;
mod peers;
mod presence;
mod register_auth;
mod router;
mod rpc;
mod service;
mod sweep;
mod takeover;
mod together;

pub use capture::CaptureMode;
pub use config::{CaptureStorage, ConfigError, RegistryConfig};
pub use error::{Failed, StartError};
pub use service::{Registry, RegistryHandle};
