//! The message patterns of the raw benchmarks.

use serde::{Deserialize, Serialize};

/// A message pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawPattern {
    /// A request and its reply, through the client's own request.
    Request,
    /// A message to another process, which publishes one back: what the lower bound for a message with a receipt.
    TwoLeg,
    /// Like `TwoLeg`, answered twice: the lower bound for a message with two receipts.
    Receipts,
    /// A message to a subject that the sender itself subscribes to.
    Publish,
}

impl RawPattern {
    /// The patterns that `agentnet-bench raw` measures.
    pub(super) const MEASURED: [Self; 3] = [Self::Request, Self::TwoLeg, Self::Publish];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Request => "request/reply",
            Self::TwoLeg => "two-leg ping",
            Self::Receipts => "ping with two receipts",
            Self::Publish => "publish/subscribe",
        }
    }
}
