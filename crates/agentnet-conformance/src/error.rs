//! Errors that end a run without a report.

use std::path::PathBuf;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConformanceError {
    /// A step file cannot be read.
    #[error("cannot read the step file {}: {source}", path.display())]
    Unreadable {
        /// Path of the step file that could not be read.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// A step file is invalid.
    #[error("the step file {file} cannot be used: {why}")]
    StepFile {
        /// The file, below the directory of the specification.
        file: String,
        /// What is wrong, and where.
        why: String,
    },
    /// No registry answers.
    #[error("no registry answers on registry.{rpc}: {why}")]
    NoRegistry {
        /// The RPC that was tried.
        rpc: &'static str,
        /// What was seen.
        why: String,
    },
    /// The registry refuses what the run needs.
    #[error("the registry refuses registry.{rpc}: {error}")]
    Refused {
        /// Name of the refused RPC, without `registry.`.
        rpc: &'static str,
        /// The registry's error text.
        error: String,
    },
    /// The steps are for a registry with `DEV_AUTH` off.
    #[error("the registry checks signatures (DEV_AUTH), and these steps are for one that does not")]
    DevAuthOn,
    /// The steps are for a registry with `DEV_AUTH` on.
    #[error("the registry does not check signatures (DEV_AUTH), and these steps are for one that does")]
    DevAuthOff,
    /// The agent under test does not answer.
    #[error("the agent {account_id} does not answer: {why}")]
    NoAgent {
        /// Account id of the agent under test.
        account_id: String,
        /// What was seen.
        why: String,
    },
    /// The connection to NATS failed.
    #[error("the connection to NATS failed: {0}")]
    Connection(String),
    /// The pattern selects no step.
    #[error("no step has `{0}` in its name")]
    NothingSelected(String),
}

impl ConformanceError {
    /// For errors of the NATS client.
    pub(crate) fn connection(error: impl std::fmt::Display) -> Self {
        Self::Connection(error.to_string())
    }
}
