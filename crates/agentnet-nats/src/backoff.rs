//! Delays between attempts.

use std::time::Duration;

/// Delays that double from the first to the longest.
///
/// ```
/// use std::time::Duration;
/// use agentnet_nats::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
/// let delays: Vec<_> = (0..3).map(|_| backoff.next_delay().as_millis()).collect();
/// assert_eq!(delays, [100, 200, 300]);
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// The first delay is `min`, none is longer than `max`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The delay before the next attempt, which this does not count.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.next
    }

    /// The delay before the next attempt; the one after it is twice as long, up to the longest.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = delay.saturating_mul(2).min(self.max);
        delay
    }

    /// Begins again with the first delay, after an attempt that succeeded.
    pub fn reset(&mut self) {
        self.next = self.min;
    }

    /// The delay before the attempt of this number, counted from 1.
    #[must_use]
    pub fn delay_of(&self, attempt: usize) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(31);
        self.min.saturating_mul(1 << doublings).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let delays: Vec<_> = (0..6).map(|_| backoff.next_delay().as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next_delay(), Duration::from_millis(100));
        let numbered: Vec<_> = (0..6).map(|attempt| backoff.delay_of(attempt).as_millis()).collect();
        assert_eq!(numbered, [100, 100, 200, 400, 800, 1000]);
        assert_eq!(backoff.delay_of(usize::MAX), Duration::from_secs(1));
    }
}
