//! A results file, with the machine that the measurements were taken on.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::measurement::Measurement;

/// A file of `bench/results`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Seconds since 1970.
    pub(crate) taken_at: u64,
    pub(crate) version: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) repeat: usize,
    pub(crate) seconds_per_run: f64,
    #[serde(rename = "figures")]
    pub(crate) measurements: Vec<Measurement>,
}

impl Results {
    pub(crate) fn of(measurements: Vec<Measurement>, repeat: usize, seconds_per_run: f64) -> Result<Self, Failure> {
        let info = |path: &str, name: &str| -> Option<String> {
            let text = std::fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = info("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Ok(Self {
            taken_at: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            processor: info("/proc/cpuinfo", "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: memory.unwrap_or_default() / 1024,
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            repeat,
            seconds_per_run,
            measurements,
        })
    }
}
