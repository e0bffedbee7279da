//! The current time, and times relative to it: `5s ago`.

use std::time::{SystemTime, UNIX_EPOCH};

use agentnet_protocol::Timestamp;

use super::sanitize::NO_VALUE;

/// The current time, by the system's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// How long before `now` the timestamp is: seconds, minutes, hours or days, rounded down.
pub(super) fn ago(text: &str, now: Timestamp) -> String {
    let Some(then) = Timestamp::parse(text) else {
        return NO_VALUE.to_owned();
    };
    match now.micros_since(then) / 1_000_000 {
        ..1 => "just now".to_owned(),
        seconds @ 1..60 => format!("{seconds}s ago"),
        seconds @ 60..3600 => format!("{}m ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h ago", seconds / 3600),
        seconds => format!("{}d ago", seconds / 86_400),
    }
}

/// How long after `now` the timestamp is, in the same way.
pub(super) fn due(text: &str, now: Timestamp) -> String {
    let Some(then) = Timestamp::parse(text) else {
        return NO_VALUE.to_owned();
    };
    match then.micros_since(now) / 1_000_000 {
        ..1 => "now".to_owned(),
        seconds @ 1..60 => format!("in {seconds}s"),
        seconds @ 60..3600 => format!("in {}m", seconds / 60),
        seconds @ 3600..86_400 => format!("in {}h", seconds / 3600),
        seconds => format!("in {}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_come_are_told_in_the_largest_whole_unit() {
        let now = Timestamp::parse("2026-02-21T08:00:00Z").unwrap();
        for (then, told) in [
            ("2026-02-21T07:00:00Z", "now"),
            ("2026-02-21T08:00:00.5Z", "now"),
            ("2026-02-21T08:00:59Z", "in 59s"),
            ("2026-02-21T08:59:00Z", "in 59m"),
            ("2026-02-22T07:59:59Z", "in 23h"),
            ("2026-02-28T08:00:00Z", "in 7d"),
            ("tomorrow", NO_VALUE),
        ] {
            assert_eq!(due(then, now), told, "{then}");
        }
    }

    #[test]
    fn moments_are_told_in_the_largest_whole_unit() {
        let now = Timestamp::parse("2026-02-21T08:00:00Z").unwrap();
        for (then, told) in [
            ("2026-02-21T08:00:00Z", "just now"),
            ("2026-02-21T07:59:59.500000Z", "just now"),
            ("2026-02-21T08:00:30Z", "just now"),
            ("2026-02-21T07:59:59Z", "1s ago"),
            ("2026-02-21T07:59:01Z", "59s ago"),
            ("2026-02-21T07:59:00Z", "1m ago"),
            ("2026-02-21T07:00:01Z", "59m ago"),
            ("2026-02-21T07:00:00Z", "1h ago"),
            ("2026-02-20T08:00:01Z", "23h ago"),
            ("2026-02-20T08:00:00Z", "1d ago"),
            ("2025-02-21T08:00:00Z", "365d ago"),
            ("yesterday", NO_VALUE),
        ] {
            assert_eq!(ago(then, now), told, "{then}");
        }
    }
}
