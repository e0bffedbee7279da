//! Latency figures of metrics replies (PROTOCOL.md section 6, `metrics`).
//!
//! They are part of this crate because the reply has them: every registry must compute the same figures from the same
//! samples, which the vectors `latency_percentiles` test. The SDK shows its own latencies by the same rule.

/// The figures of one name: all in milliseconds, rounded to two decimals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Percentiles {
    /// How many samples.
    pub count: usize,
    /// The median; 0 without samples.
    pub p50: f64,
    /// The 95th percentile; 0 without samples.
    pub p95: f64,
    /// The 99th percentile; 0 without samples.
    pub p99: f64,
}

impl Percentiles {
    /// Of samples in any order.
    #[must_use]
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |percent: f64| round2(nearest_rank(&sorted, percent));
        Self {
            count: sorted.len(),
            p50: at(50.0),
            p95: at(95.0),
            p99: at(99.0),
        }
    }
}

/// The sample at the rank `percent/100·(n−1)`, ties to the even rank; 0 without samples.
fn nearest_rank(sorted: &[f64], percent: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let rank = (percent / 100.0 * last as f64).round_ties_even();
    sorted[(rank as usize).min(last)]
}

/// Two decimals, decided on the exact binary value, ties to even.
#[must_use]
pub fn round2(value: f64) -> f64 {
    // Formatting rounds the exact value, which multiplying by 100 would not.
    format!("{value:.2}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_exact_value() {
        let cases = [
            (0.125, 0.12),
            (0.375, 0.38),
            (0.625, 0.62),
            (0.875, 0.88),
            (2.675, 2.67),
            (1.005, 1.0),
            (1e300, 1e300),
        ];
        for (value, expected) in cases {
            assert_eq!(round2(value), expected, "{value}");
        }
    }
}
