//! How many reports may wait for their assignments.

use std::time::{Duration, Instant};

/// Reports of unknown tasks that are given back to the stream in a second: more of them name tasks that do not exist.
const MAX_PER_SECOND: u32 = 256;

/// The reports that were given back in the present second.
#[derive(Debug)]
pub(super) struct EarlyBudget {
    since: Instant,
    given_back: u32,
}

impl EarlyBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            given_back: 0,
        }
    }

    /// Whether one more may be given back.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        let is_left = self.given_back < MAX_PER_SECOND;
        self.given_back += u32::from(is_left);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_number() {
        let start = Instant::now();
        let mut budget = EarlyBudget::new(start);
        let taken = |budget: &mut EarlyBudget, at| (0..1000).filter(|_| budget.take(at)).count();
        assert_eq!(taken(&mut budget, start), MAX_PER_SECOND as usize);
        assert_eq!(taken(&mut budget, start + Duration::from_millis(999)), 0);
        assert_eq!(
            taken(&mut budget, start + Duration::from_secs(1)),
            MAX_PER_SECOND as usize
        );
    }
}
