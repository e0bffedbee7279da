//! One run of a load: its settings and its outcome.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::latency::Latency;
use crate::measurement::{Measurement, median};
use crate::processes::CpuUsage;

/// The settings of a run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Number of operations in flight.
    pub(crate) in_flight: usize,
    /// Bytes of a message body.
    pub(crate) bytes: usize,
    /// Time before the measured part.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// The outcome of a [`Run`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunOutcome {
    /// Number of completed operations, warm-up included.
    pub(crate) completed: u64,
    /// Duration of the measured part, in seconds.
    pub(crate) seconds: f64,
    /// Latencies of the measured part.
    pub(crate) latency: Latency,
    /// CPU time of each process for all completed operations; empty if not measured.
    #[serde(default)]
    pub(crate) cpu_usage: CpuUsage,
}

impl RunOutcome {
    /// CPU time of a process per operation, in microseconds.
    fn cost(&self, process: &str) -> Option<f64> {
        let used = self.cpu_usage.of(process)?;
        Some(used.as_secs_f64() * 1e6 / self.completed as f64)
    }

    /// Operations per second.
    pub(crate) fn rate(&self) -> f64 {
        self.latency.count() as f64 / self.seconds
    }
}

/// Measures a run: times and counts its operations.
#[derive(Debug)]
pub(crate) struct Meter {
    began: Instant,
    run: Run,
    completed: u64,
    latency: Latency,
}

impl Meter {
    pub(crate) fn start(run: Run) -> Result<Self, Failure> {
        Ok(Self {
            began: Instant::now(),
            run,
            completed: 0,
            latency: Latency::new()?,
        })
    }

    /// Records that the operation sent at `sent` has completed. Returns whether to start another.
    pub(crate) fn note(&mut self, sent: Instant) -> bool {
        let now = Instant::now();
        self.completed += 1;
        let passed = now - self.began;
        if passed >= self.run.warm_up && passed < self.run.warm_up + self.run.measured {
            self.latency.record(now - sent);
        }
        passed < self.run.warm_up + self.run.measured
    }

    pub(crate) fn finish(self) -> RunOutcome {
        RunOutcome {
            completed: self.completed,
            seconds: self.run.measured.as_secs_f64(),
            latency: self.latency,
            cpu_usage: CpuUsage::default(),
        }
    }
}

/// CPU time per operation and process, in microseconds, beside that of the raw limit.
pub(crate) fn costs(command: &str, name: &str, outcomes: &[RunOutcome], raw: &[RunOutcome]) -> Vec<Measurement> {
    let cost = |outcomes: &[RunOutcome], process: &str| {
        let costs: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.cost(process)).collect();
        (!costs.is_empty()).then(|| median(costs))
    };
    let processes = outcomes.first().map(|outcome| outcome.cpu_usage.names());
    let measurement = |process: &str| {
        let name = format!("{name}, time of {process}");
        let measurement = Measurement::new(command, name, "us", cost(outcomes, process)?);
        Some(match cost(raw, process) {
            Some(raw) => measurement.raw(raw),
            None => measurement,
        })
    };
    processes.into_iter().flatten().filter_map(measurement).collect()
}
