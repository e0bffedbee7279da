//! The tokio schedulers that a benchmark process can use.

use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use crate::Failure;

/// A tokio scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RuntimeFlavor {
    CurrentThread,
    MultiThread,
}

impl RuntimeFlavor {
    pub(crate) const BOTH: [Self; 2] = [Self::CurrentThread, Self::MultiThread];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CurrentThread => "current_thread",
            Self::MultiThread => "multi_thread",
        }
    }

    pub(crate) fn runtime(self) -> Result<Runtime, Failure> {
        let mut builder = match self {
            Self::CurrentThread => Builder::new_current_thread(),
            Self::MultiThread => Builder::new_multi_thread(),
        };
        Ok(builder.enable_all().build()?)
    }
}
