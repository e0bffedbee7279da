//! Short forms of numbers and times, for columns.

use std::time::Duration;

use agentnet_protocol::Timestamp;

/// A time span in the largest whole unit: `12s`, `3m`, `4h`, `5d`.
pub(crate) fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// The time span from `time` to `at`.
pub(crate) fn since(time: Timestamp, at: Timestamp) -> String {
    span(Duration::from_micros(u64::try_from(at.micros_since(time)).unwrap_or(0)))
}

/// A count in at most six characters.
pub(crate) fn count(count: u64) -> String {
    match count {
        ..100_000 => count.to_string(),
        100_000..10_000_000 => format!("{}k", count / 1000),
        10_000_000..10_000_000_000 => format!("{}M", count / 1_000_000),
        _ => "many".to_owned(),
    }
}

/// A count, or a dot if it is not known.
pub(crate) fn count_or_dot(number: Option<u64>) -> String {
    number.map_or_else(|| "·".to_owned(), count)
}

/// The time of day in UTC, to the second.
pub(crate) fn time_of_day(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(11..19).unwrap_or("").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_short() {
        for (number, text) in [
            (0, "0"),
            (99_999, "99999"),
            (100_000, "100k"),
            (12_345_678, "12M"),
            (u64::MAX, "many"),
        ] {
            assert_eq!(count(number), text);
        }
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (200_000, "2d")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        let at = Timestamp::parse("2026-02-21T08:09:10.123Z").unwrap();
        assert_eq!(time_of_day(at), "08:09:10");
        assert_eq!(since(at, Timestamp::parse("2026-02-21T08:10:11Z").unwrap()), "1m");
        assert_eq!(since(at, Timestamp::from_micros(0)), "0s", "clocks differ");
    }
}
