//! One run of a load: so many under way, for so long, and what came of it.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::figure::{Figure, median};
use crate::latency::Latency;
use crate::processes::Spent;

/// What a sender is asked to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Run {
    /// How many are under way at the same time.
    pub(crate) in_flight: usize,
    /// Bytes of a body.
    pub(crate) bytes: usize,
    /// What comes first and is not measured.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What came of a [`Run`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// All that were sent and answered, warm-up included.
    pub(crate) completed: u64,
    /// How long the measured part took, in seconds.
    pub(crate) seconds: f64,
    /// Of the measured part.
    pub(crate) latency: Latency,
    /// By each process, on all that was completed; nothing where it was not looked at.
    #[serde(default)]
    pub(crate) spent: Spent,
}

impl Outcome {
    /// Microseconds on processors that one took, of one process.
    fn cost(&self, process: &str) -> Option<f64> {
        let spent = self.spent.of(process)?;
        Some(spent.as_secs_f64() * 1e6 / self.completed as f64)
    }

    /// In a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latency.count() as f64 / self.seconds
    }
}

/// The clock of a run, and what it counts.
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

    /// Notes that what was sent at `sent` is answered. Whether to send another.
    pub(crate) fn note(&mut self, sent: Instant) -> bool {
        let now = Instant::now();
        self.completed += 1;
        let passed = now - self.began;
        if passed >= self.run.warm_up && passed < self.run.warm_up + self.run.measured {
            self.latency.record(now - sent);
        }
        passed < self.run.warm_up + self.run.measured
    }

    pub(crate) fn finish(self) -> Outcome {
        Outcome {
            completed: self.completed,
            seconds: self.run.measured.as_secs_f64(),
            latency: self.latency,
            spent: Spent::default(),
        }
    }
}

/// What one took each process, in microseconds on processors, beside the same with the raw limit.
pub(crate) fn costs(command: &str, name: &str, outcomes: &[Outcome], raw: &[Outcome]) -> Vec<Figure> {
    let cost = |outcomes: &[Outcome], process: &str| {
        let costs: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.cost(process)).collect();
        (!costs.is_empty()).then(|| median(costs))
    };
    let processes = outcomes.first().map(|outcome| outcome.spent.names());
    let figure = |process: &str| {
        let name = format!("{name}, time of {process}");
        let figure = Figure::new(command, name, "us", cost(outcomes, process)?);
        Some(match cost(raw, process) {
            Some(raw) => figure.raw(raw),
            None => figure,
        })
    };
    processes.into_iter().flatten().filter_map(figure).collect()
}
