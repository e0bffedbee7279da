//! Exponentially decaying rates.

use std::time::Duration;

/// Time constant of the decay, in seconds: then an event counts 1/e.
const DECAY_SECONDS: f32 = 3.0;

/// Events per second, with exponential decay, in constant memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    value: f32,
    at: Duration,
}

impl Rate {
    /// Adds events that happened now.
    pub(crate) fn add(&mut self, events: u32, now: Duration) {
        *self = Self {
            value: self.per_second(now) + events as f32 / DECAY_SECONDS,
            at: now,
        };
    }

    /// The rate at `now`, in events per second.
    pub(crate) fn per_second(&self, now: Duration) -> f32 {
        if self.value == 0.0 {
            return 0.0;
        }
        let ago = now.saturating_sub(self.at).as_secs_f32();
        self.value * (-ago / DECAY_SECONDS).exp()
    }
}

/// A rate in at most five characters; a rate near zero is a dot.
pub(crate) fn rate_text(per_second: f32) -> String {
    match per_second {
        ..0.05 => "·".to_owned(),
        ..99.95 => format!("{per_second:.1}"),
        ..9999.5 => format!("{per_second:.0}"),
        _ => format!("{:.0}k", per_second / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_told_and_a_past_one_fades() {
        let mut rate = Rate::default();
        let mut now = Duration::ZERO;
        assert_eq!(rate.per_second(now), 0.0);
        for _ in 0..400 {
            now += Duration::from_millis(50);
            rate.add(100, now);
        }
        let measured = rate.per_second(now);
        assert!((measured - 2000.0).abs() < 40.0, "{measured}");
        assert!(rate.per_second(now + Duration::from_secs(60)) < 0.05);
        assert_eq!(
            rate.per_second(Duration::ZERO),
            measured,
            "a clock that goes back changes nothing"
        );
    }

    #[test]
    fn rates_are_short() {
        for (rate, text) in [
            (0.0, "·"),
            (0.04, "·"),
            (0.25, "0.2"),
            (99.9, "99.9"),
            (2000.4, "2000"),
            (12_345.0, "12k"),
        ] {
            assert_eq!(rate_text(rate), text);
        }
    }
}
