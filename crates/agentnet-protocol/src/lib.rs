//! The AgentNet wire protocol: subjects, records, rules. Pure: no I/O, no clock, no randomness.
//!
//! Each module names the section of `docs/PROTOCOL.md` that it implements.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod agent;
mod base32;
pub mod blob;
pub mod canonical;
pub mod claims;
pub mod compaction;
pub mod compose;
pub mod cursor;
pub mod decode;
pub mod detached;
pub mod env_bool;
pub mod envelope;
pub mod expiry;
pub mod hex;
pub mod ids;
pub mod invite;
pub mod json;
pub mod limits;
pub mod mailbox;
pub mod member;
pub mod message_auth;
pub mod nats_jwt;
pub mod nats_key;
pub mod nkey;
pub mod page_walk;
pub mod payload_text;
pub mod percentile;
pub mod permissions;
pub mod presence_auth;
pub mod preview;
mod python_base64;
pub mod receipt;
pub mod register_auth;
pub mod reject;
pub mod reply;
pub mod rotation;
pub mod rpc;
pub mod sender_key;
pub mod signature;
pub mod signed_request;
pub mod signing_scope;
pub mod stream;
pub mod subject;
pub mod target;
pub mod task;
pub mod thread;
pub mod time;
pub mod token_bucket;
pub mod username;
pub mod version;

pub use agent::{AgentCounters, AgentInfo, AgentInfoRef};
pub use cursor::Cursor;
pub use decode::DecodeError;
pub use envelope::Envelope;
pub use json::RawJson;
pub use receipt::{Receipt, ReceiptStatus};
pub use reject::Reject;
pub use target::Target;
pub use time::Timestamp;

/// Immutable UTF-8 text that shares the buffer it was received in; cloning costs a counter, not a copy.
pub type Text = bytestring::ByteString;
