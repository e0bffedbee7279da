//! Tokens and money: what each call used, what a day may cost, and what `agentnet mesh usage` reports.

#[cfg(test)]
pub(crate) mod fixtures;
pub mod ledger;
pub mod metrics;
pub mod report;

use crate::model::TokenUsage;

/// One call of a model, as it is kept in `<data-dir>/mesh/usage.jsonl`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct UsageRecord {
    /// Time of the end of the call, RFC 3339 in UTC.
    pub at: String,
    /// Key of the agent.
    pub agent: String,
    /// Name of the provider.
    pub provider: String,
    /// Name of the model in the configuration.
    pub model: String,
    /// Thread of the message that was answered.
    pub thread_id: String,
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Part of `input` from a cache.
    pub cached_input: u64,
    /// Dollars; absent without a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
}

/// Which budget is used up.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct BudgetExceeded(pub String);

impl UsageRecord {
    /// The tokens of the record.
    #[must_use]
    pub fn tokens(&self) -> TokenUsage {
        TokenUsage {
            input: self.input,
            output: self.output,
            cached_input: self.cached_input,
        }
    }
}

/// The ledger's file in a data directory.
#[must_use]
pub fn ledger_path(data_dir: &std::path::Path) -> std::path::PathBuf {
    data_dir.join("mesh").join("usage.jsonl")
}
