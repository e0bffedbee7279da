//! Receipts and the messages that they are for.
//!
//! The time from a message to its receipt is what the two agents say: the receipt's `event_at` after the message's `sent_at`.
//! It holds however late the two come here, and is as good as the two clocks agree. Where one does not say when, or the
//! receipt would be older than its message, it is the time between their arrivals, marked with `~`.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use agentnet_protocol::Timestamp;

/// Messages that may still get a receipt. Older ones make room.
const MOST: usize = 10_000;

/// When something happened: as its agent says, and when it came here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct When {
    pub(crate) said: Option<Timestamp>,
    pub(crate) arrived: Instant,
}

/// How long a receipt took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Took {
    /// By the two agents' clocks.
    Said(Duration),
    /// Between the two arrivals here.
    Seen(Duration),
}

impl fmt::Display for Took {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(duration) => out.write_str(&taken(*duration)),
            Self::Seen(duration) => write!(out, "~{}", taken(*duration)),
        }
    }
}

/// The messages that passed lately, by id.
#[derive(Debug, Default)]
pub(crate) struct SentTimes {
    at: HashMap<String, When>,
    order: VecDeque<String>,
}

impl SentTimes {
    /// A message has passed. A retry does not count: the time runs from the first.
    pub(crate) fn note(&mut self, message_id: &str, when: When) {
        if message_id.is_empty() || self.at.contains_key(message_id) {
            return;
        }
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.at.remove(&oldest);
        }
        self.at.insert(message_id.to_owned(), when);
        self.order.push_back(message_id.to_owned());
    }

    /// How long after its message a receipt came; `None` for a message that was not shown.
    pub(crate) fn since(&self, message_id: &str, receipt: When) -> Option<Took> {
        let message = self.at.get(message_id)?;
        let said = receipt.said.zip(message.said);
        let micros = said.and_then(|(receipt, message)| u64::try_from(receipt.micros_since(message)).ok());
        Some(match micros {
            Some(micros) => Took::Said(Duration::from_micros(micros)),
            None => Took::Seen(receipt.arrived.saturating_duration_since(message.arrived)),
        })
    }
}

/// A duration for people: `0.8 ms`, `12 ms`, `1.5 s`.
fn taken(duration: Duration) -> String {
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
        let mut passed = SentTimes::default();
        let start = Instant::now();
        let after = |seconds: u64| When {
            said: None,
            arrived: start + Duration::from_secs(seconds),
        };
        passed.note("m1", after(0));
        passed.note("m1", after(1));
        passed.note("", after(0));
        assert_eq!(passed.since("m1", after(2)), Some(Took::Seen(Duration::from_secs(2))));
        assert_eq!((passed.since("m2", after(0)), passed.since("", after(0))), (None, None));
        for number in 0..MOST {
            passed.note(&format!("n{number}"), after(0));
        }
        assert_eq!(passed.since("m1", after(0)), None, "the oldest has made room");
        assert_eq!((passed.at.len(), passed.order.len()), (MOST, MOST));
    }

    #[test]
    fn what_the_agents_say_comes_before_what_is_seen() {
        let start = Instant::now();
        let when = |said: Option<i64>, seconds: u64| When {
            said: said.map(Timestamp::from_micros),
            arrived: start + Duration::from_secs(seconds),
        };
        for (sent, event, text) in [
            (Some(1_000_000), Some(1_003_000), "3.0 ms"),
            (Some(1_000_000), Some(1_000_000), "0.0 ms"),
            (Some(1_000_000), Some(999_999), "~7.0 s"),
            (None, Some(1_003_000), "~7.0 s"),
            (Some(1_000_000), None, "~7.0 s"),
        ] {
            let mut passed = SentTimes::default();
            passed.note("m", when(sent, 0));
            let took = passed.since("m", when(event, 7)).unwrap();
            assert_eq!(took.to_string(), text, "{sent:?} {event:?}");
        }
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
