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

#[cfg(test)]
mod tests {
    use super::*;

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
