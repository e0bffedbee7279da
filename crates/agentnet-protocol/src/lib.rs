//! The AgentNet wire protocol: subjects, records, rules. Pure: no I/O, no clock.

pub mod json;
pub mod time;

pub use json::RawJson;
pub use time::Timestamp;

/// Immutable UTF-8 text that shares the buffer it was received in; cloning costs a counter, not a copy.
pub type Text = bytestring::ByteString;
