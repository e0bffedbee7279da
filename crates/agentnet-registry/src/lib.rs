//! The AgentNet registry service: accounts, presence, search, and the history of all messages.
//!
//! [`Registry::start`] connects to NATS, restores the sessions of the store and answers `registry.*`
//! (`docs/PROTOCOL.md`, sections 6 to 8) until [`RegistryHandle::shutdown`]. Any number of registries may run on one
//! network and one database: each request is answered by one of them, presence events reach all.
//!
//! - [`config`]: every setting, from environment or flags
//! - `service`: starts and stops a registry; `context` holds its parts, `tasks` its tasks
//! - `router`, `rpc`: requests, one function each
//! - `presence`: which sessions are live, in memory, with write-behind to the store
//! - `capture`: stores every message in the history
//! - `offline_replies`: messages to agents that are offline fail at once
//! - [`health`]: the health of one of several registries
//! - `mailbox`: messages for agents that are offline are kept until they come back
//! - `task_ledger`: tasks, which one worker at a time has, and which end once
//! - `sweep`: periodic upkeep
//! - `peers`, `peer_events`: the other registries, and the announcements between them
//! - `register_auth`, `nonces`, `identity`: signed registrations, and the registry's own signature
//! - `blobs`: what members of a network in secure mode keep in the object store
//! - `secure`: the secure mode: members, and the users of the broker that are made of them
//! - `database`, `restore_sessions`: a database that is down, and the sessions that it has
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod batch_lookup;
mod blobs;
mod capture;
mod clock;
pub mod config;
mod connect;
mod context;
mod database;
mod disk;
mod error;
pub mod health;
mod identity;
mod mailbox;
mod message_signature;
mod metrics;
mod new_accounts;
mod nonces;
mod offline_replies;
mod oversized;
mod paging;
mod peer_events;
mod peers;
mod presence;
mod register_auth;
mod registration;
mod registry_receipts;
mod restore_sessions;
mod router;
mod rpc;
mod secure;
mod service;
mod sweep;
mod task_ledger;
mod tasks;
mod truncate_reply;

pub use capture::CaptureMode;
pub use config::{CaptureStorage, ConfigError, RegistryConfig};
pub use error::{Failed, StartError};
pub use secure::callout::{CALLOUT_ANSWERS, CALLOUT_SUBJECT};
pub use secure::jwt_issuer::MemberCredentials;
pub use secure::local_member::{LocalMember, LocalMemberError};
pub use secure::operator_mode::{CONTROL_LINE_BYTES, OperatorMode, load_or_create as load_or_create_key};
pub use secure::users_file::{BrokerUser, write as write_users_file};
pub use secure::{Authority, SigningAuthority};
pub use service::{Registry, RegistryHandle};
