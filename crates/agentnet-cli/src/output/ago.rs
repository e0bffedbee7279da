//! Moments for people: `5s ago` on a terminal, the timestamp itself elsewhere.

use std::time::{SystemTime, UNIX_EPOCH};

use agentnet_protocol::Timestamp;

use super::Output;

/// What stands where there is no time.
pub(crate) const NEVER: &str = "—";

/// This moment, by the system's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl Output {
    /// A timestamp of a reply as the table shows it: how long ago, or with `--wide` itself.
    pub(crate) fn moment(self, text: Option<&str>) -> String {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return self.blank();
        };
        if self.is_terminal() && !self.is_wide() {
            ago(text, now())
        } else {
            super::cell::clean(text).into_owned()
        }
    }
}

impl Output {
    /// A timestamp of a message: on a terminal without the fractions of a second.
    pub(crate) fn stamp(self, text: &str) -> String {
        let text = super::cell::clean(text);
        match (self.is_terminal(), text.rsplit_once('.')) {
            (true, Some((seconds, fraction))) if fraction.ends_with('Z') => format!("{seconds}Z"),
            _ => text.into_owned(),
        }
    }
}

/// How long before `now` the moment was: seconds, minutes, hours or days, rounded down.
fn ago(text: &str, now: Timestamp) -> String {
    let Some(then) = Timestamp::parse(text) else {
        return NEVER.to_owned();
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
            ("yesterday", NEVER),
        ] {
            assert_eq!(ago(then, now), told, "{then}");
        }
    }

    #[test]
    fn stamps_lose_their_fractions_for_people_only() {
        for (text, shown) in [
            ("2026-02-21T08:00:00.123456Z", "2026-02-21T08:00:00Z"),
            ("2026-02-21T08:00:00Z", "2026-02-21T08:00:00Z"),
            ("some.thing", "some.thing"),
        ] {
            assert_eq!(Output::fixed(true, false).stamp(text), shown);
            assert_eq!(Output::fixed(false, false).stamp(text), text);
        }
    }

    #[test]
    fn away_from_a_terminal_the_timestamp_itself_is_shown() {
        let text = "2026-02-21T07:59:00Z";
        assert_eq!(Output::fixed(false, false).moment(Some(text)), text);
        assert!(Output::fixed(true, false).moment(Some(text)).ends_with(" ago"));
        for output in [Output::fixed(false, false), Output::fixed(true, true)] {
            assert_eq!(output.moment(None), NEVER);
            assert_eq!(output.moment(Some("")), NEVER);
        }
    }
}
