//! The circuit breaker (PROTOCOL.md section 12): consecutive failures open it for a while; there is no half-open state.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

#[derive(Debug)]
pub(crate) struct Circuit {
    threshold: u32,
    reset: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Duration>,
}

impl Circuit {
    pub(crate) fn new(threshold: u32, reset: Duration) -> Self {
        Self {
            threshold,
            reset,
            state: Mutex::new(State::default()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn is_open(&self, now: Duration) -> bool {
        self.state().open_until.is_some_and(|until| now < until)
    }

    pub(crate) fn succeeded(&self) {
        self.state().failures = 0;
    }

    pub(crate) fn failed(&self, now: Duration) {
        let mut state = self.state();
        state.failures += 1;
        if state.failures >= self.threshold {
            *state = State {
                failures: 0,
                open_until: Some(now.saturating_add(self.reset)),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_on_consecutive_failures_only_and_closes_by_time() {
        let second = Duration::from_secs;
        let circuit = Circuit::new(2, second(15));
        circuit.failed(second(1));
        circuit.succeeded();
        circuit.failed(second(2));
        assert!(!circuit.is_open(second(2)), "a success in between resets the count");
        circuit.failed(second(3));
        assert!(circuit.is_open(second(3)));
        assert!(circuit.is_open(second(17)));
        assert!(!circuit.is_open(second(18)), "closed after the reset time");
        circuit.failed(second(18));
        assert!(!circuit.is_open(second(18)), "the count started again");
    }
}
