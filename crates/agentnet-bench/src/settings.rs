//! The settings that all benchmarks share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::run::Run;

/// The settings that all benchmarks share.
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// How often each run is repeated; the median counts
    #[arg(long, default_value_t = 5)]
    pub(crate) repeat: usize,
    /// Seconds that a run is measured, after a third of that to warm up
    #[arg(long, default_value_t = 0.6)]
    pub(crate) seconds: f64,
    /// Bytes of a payload
    #[arg(long, default_value_t = 500)]
    pub(crate) bytes: usize,
    /// Where to write the figures as JSON
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn run(&self, in_flight: usize) -> Run {
        Run {
            in_flight,
            bytes: self.bytes,
            warm_up: Duration::from_secs_f64(self.seconds / 3.0),
            measured: Duration::from_secs_f64(self.seconds),
        }
    }
}
