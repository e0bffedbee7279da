//! The latency of receipts.
//!
//! It is the receipt's `event_at` minus the message's `sent_at`, by the clocks of the two agents, so it does not depend on when
//! the two arrive here. If one of the times is missing, or the receipt would be older than its message, it is the time between
//! the two arrivals, marked with `~`.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use agentnet_protocol::Timestamp;

/// Maximum number of messages that wait for receipts. Older ones are dropped.
const MAX_TRACKED_MESSAGES: usize = 10_000;

/// Time of an event by its agent's clock, and of its arrival here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventTime {
    pub(crate) said: Option<Timestamp>,
    pub(crate) arrived: Instant,
}

/// The latency of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Latency {
    /// By the two agents' clocks.
    ByAgents(Duration),
    /// Between the two arrivals here.
    ByArrival(Duration),
}

impl fmt::Display for Latency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByAgents(duration) => out.write_str(&taken(*duration)),
            Self::ByArrival(duration) => write!(out, "~{}", taken(*duration)),
        }
    }
}

/// The times of the latest messages, by id.
#[derive(Debug, Default)]
pub(crate) struct SentTimes {
    at: HashMap<String, EventTime>,
    order: VecDeque<String>,
}

impl SentTimes {
    /// Adds a message. Retries are ignored: the first one counts.
    pub(crate) fn insert(&mut self, message_id: &str, when: EventTime) {
        if message_id.is_empty() || self.at.contains_key(message_id) {
            return;
        }
        if self.order.len() >= MAX_TRACKED_MESSAGES
            && let Some(oldest) = self.order.pop_front()
        {
            self.at.remove(&oldest);
        }
        self.at.insert(message_id.to_owned(), when);
        self.order.push_back(message_id.to_owned());
    }

    /// The latency of a receipt; `None` if its message was not shown.
    pub(crate) fn latency(&self, message_id: &str, receipt: EventTime) -> Option<Latency> {
        let message = self.at.get(message_id)?;
        let said = receipt.said.zip(message.said);
        let micros = said.and_then(|(receipt, message)| u64::try_from(receipt.micros_since(message)).ok());
        Some(match micros {
            Some(micros) => Latency::ByAgents(Duration::from_micros(micros)),
            None => Latency::ByArrival(receipt.arrived.saturating_duration_since(message.arrived)),
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
        let after = |seconds: u64| EventTime {
            said: None,
            arrived: start + Duration::from_secs(seconds),
        };
        passed.insert("m1", after(0));
        passed.insert("m1", after(1));
        passed.insert("", after(0));
        assert_eq!(
            passed.latency("m1", after(2)),
            Some(Latency::ByArrival(Duration::from_secs(2)))
        );
        assert_eq!(
            (passed.latency("m2", after(0)), passed.latency("", after(0))),
            (None, None)
        );
        for number in 0..MAX_TRACKED_MESSAGES {
            passed.insert(&format!("n{number}"), after(0));
        }
        assert_eq!(passed.latency("m1", after(0)), None, "the oldest has made room");
        assert_eq!(
            (passed.at.len(), passed.order.len()),
            (MAX_TRACKED_MESSAGES, MAX_TRACKED_MESSAGES)
        );
    }

    #[test]
    fn what_the_agents_say_comes_before_what_is_seen() {
        let start = Instant::now();
        let when = |said: Option<i64>, seconds: u64| EventTime {
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
            passed.insert("m", when(sent, 0));
            let took = passed.latency("m", when(event, 7)).unwrap();
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
