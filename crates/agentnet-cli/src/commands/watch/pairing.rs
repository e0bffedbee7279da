//! Receipts and the messages that they are for.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Messages that may still get a receipt. Older ones make room.
const MOST: usize = 10_000;

/// The messages that passed lately, by id.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    at: HashMap<String, Instant>,
    order: VecDeque<String>,
}

impl Passed {
    /// A message has passed. A retry does not count: the time runs from the first.
    pub(crate) fn note(&mut self, message_id: &str, now: Instant) {
        if message_id.is_empty() || self.at.contains_key(message_id) {
            return;
        }
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.at.remove(&oldest);
        }
        self.at.insert(message_id.to_owned(), now);
        self.order.push_back(message_id.to_owned());
    }

    /// How long after its message a receipt came; `None` for a message that was not shown.
    pub(crate) fn since(&self, message_id: &str, now: Instant) -> Option<Duration> {
        self.at.get(message_id).map(|at| now.saturating_duration_since(*at))
    }
}

/// A duration for people: `0.8 ms`, `12 ms`, `1.5 s`.
pub(crate) fn taken(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    match millis {
        millis if millis < 10.0 => format!("{millis:.1} ms"),
        millis if millis < 1000.0 => format!("{millis:.0} ms"),
        millis => format!("{:.1} s", millis / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_finds_its_message() {
        let mut passed = Passed::default();
        let start = Instant::now();
        passed.note("m1", start);
        passed.note("m1", start + Duration::from_secs(1));
        passed.note("", start);
        assert_eq!(
            passed.since("m1", start + Duration::from_secs(2)),
            Some(Duration::from_secs(2))
        );
        assert_eq!((passed.since("m2", start), passed.since("", start)), (None, None));
        for number in 0..MOST {
            passed.note(&format!("n{number}"), start);
        }
        assert_eq!(passed.since("m1", start), None, "the oldest has made room");
        assert_eq!((passed.at.len(), passed.order.len()), (MOST, MOST));
    }

    #[test]
    fn durations_are_short() {
        for (micros, text) in [
            (800, "0.8 ms"),
            (9_999, "10.0 ms"),
            (12_300, "12 ms"),
            (1_500_000, "1.5 s"),
        ] {
            assert_eq!(taken(Duration::from_micros(micros)), text);
        }
    }
}
