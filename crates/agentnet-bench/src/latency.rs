//! A latency histogram that processes can exchange as JSON.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// One minute, in nanoseconds.
const MAX_LATENCY_NS: u64 = 60_000_000_000;
/// Significant decimal digits.
const DIGITS: u8 = 3;

/// A histogram of latencies.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self(Histogram::new_with_bounds(1, MAX_LATENCY_NS, DIGITS)?))
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.0
            .saturating_record(u64::try_from(took.as_nanos()).unwrap_or(MAX_LATENCY_NS));
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<(), Failure> {
        Ok(self.0.add(&other.0)?)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency at a quantile (0 to 1), in microseconds.
    pub(crate) fn micros(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1000.0
    }
}

impl Serialize for Latency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_at_value())),
        )
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let steps = Vec::<(u64, u64)>::deserialize(deserializer)?;
        let mut latency = Self::new().map_err(D::Error::custom)?;
        for (value, count) in steps {
            latency.0.record_n(value, count).map_err(D::Error::custom)?;
        }
        Ok(latency)
    }
}
