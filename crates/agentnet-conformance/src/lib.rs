//! Whether a registry or an agent, ours or another's, does what PROTOCOL.md says: the steps are data in `spec/`, and each is
//! judged by what comes back over the wire.
//!
//! - [`registry`]: the recorded conversations of `spec/transcripts`, held again with a running registry, with what
//!   `spec/conformance/registry_*.json` says of the differences that section 0 of the protocol decided.
//! - [`agent`]: `spec/conformance/agent.json`, the guards of section 12 and the replies and receipts of section 5, shown to
//!   an agent that does what the handler of docs/CONFORMANCE.md does.
//!
//! Each step ends as a [`Verdict`]: `pass`, `intended_difference` (it does what the original did where section 0 decided
//! otherwise), `fail`, or `not_run` with the reason why it could not be judged.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod agent;
mod compare;
mod error;
mod fresh;
mod ids;
mod placeholder;
pub mod registry;
mod report;
mod spec;

pub use error::ConformanceError;
pub use report::{Counts, Reason, Report, StepReport, Verdict};
pub use spec::Spec;
