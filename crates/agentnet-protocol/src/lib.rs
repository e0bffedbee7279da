//! The AgentNet wire protocol: subjects, records, rules. Pure: no I/O, no clock, no randomness.
//!
//! Each module names the section of `docs/PROTOCOL.md` that it implements.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod agent;
pub mod blob;
pub mod canonical;
pub mod claims;
pub mod compaction;
pub mod compose;
pub mod cursor;
pub mod detached;
pub mod envelope;
pub mod expiry;
pub mod extract;
pub mod ids;
pub mod json;
mod lenient;
pub mod limits;
pub mod message_auth;
pub mod percentile;
pub mod presence_auth;
pub mod preview;
pub mod rate;
pub mod receipt;
pub mod record;
pub mod register_auth;
pub mod reject;
pub mod rotation;
pub mod rpc;
pub mod scope;
pub mod signature;
pub mod signs;
pub mod stream;
pub mod subject;
pub mod target;
pub mod thread;
pub mod time;
pub mod truth;
pub mod url;
pub mod username;
pub mod version;

pub use agent::{AgentCounters, AgentInfo, AgentInfoRef};
pub use cursor::Cursor;
pub use envelope::Envelope;
pub use json::RawJson;
pub use receipt::{Receipt, ReceiptStatus};
pub use record::DecodeError;
pub use reject::Reject;
pub use target::Target;
pub use time::Timestamp;

/// Immutable UTF-8 text that shares the buffer it was received in; cloning costs a counter, not a copy.
pub type Text = bytestring::ByteString;
