//! Tests whether a registry or an agent, of this project or another, follows PROTOCOL.md. The steps are data in `spec/`; each
//! gets a verdict by what comes back over the wire.
//!
//! - [`registry`]: replays the recorded conversations of `spec/transcripts` with a running registry.
//!   `spec/conformance/registry_*.json` lists the expected differences, each decided in section 0 of the protocol, and has the
//!   steps on what was not recorded, such as the mailbox.
//! - [`agent`]: runs `spec/conformance/agent.json`, the guards of section 12 and the replies and receipts of section 5, against
//!   an agent with the handler of docs/CONFORMANCE.md.
//!
//! Each step ends with a [`Verdict`]: `pass`, `intended_difference` (the behaviour of the Python implementation, agentnet-realm
//! 0.1.1, where section 0 decided otherwise), `fail`, or `not_run` with the reason why it could not be tested.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod agent;
mod compare;
mod error;
mod ids;
mod placeholder;
pub mod registry;
mod report;
mod spec;
mod unique_names;

pub use error::ConformanceError;
pub use report::{Counts, Reason, Report, StepReport, Verdict};
pub use spec::Spec;
