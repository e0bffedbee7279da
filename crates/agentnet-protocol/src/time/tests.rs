use std::time::{Duration, SystemTime};

use super::{Timestamp, civil};

fn text(micros: i64) -> String {
    Timestamp::from_micros(micros).to_string()
}

#[test]
fn every_day_of_the_calendar_is_its_own_inverse() {
    let first = civil::days(1, 1, 1);
    let last = civil::days(9999, 12, 31);
    assert_eq!((first, last), (-719_162, 2_932_896));
    let mut previous = (0, 12, 31);
    for day in first..=last {
        let date = civil::from_days(day);
        assert!(date > previous, "{date:?} follows {previous:?}");
        assert_eq!(civil::days(date.0, date.1, date.2), day);
        previous = date;
    }
}

#[test]
fn the_range_ends_at_the_years_1_and_9999() {
    assert_eq!(text(i64::MIN), "0001-01-01T00:00:00Z");
    assert_eq!(text(i64::MAX), "9999-12-31T23:59:59.999999Z");
    assert_eq!(text(-1), "1969-12-31T23:59:59.999999Z");
    assert_eq!(Timestamp::parse("0001-01-01T00:00:00+00:01"), None);
    assert_eq!(Timestamp::parse("9999-12-31T23:59:59-00:01"), None);
    assert_eq!(Timestamp::parse("9999-12-31T23:59:59.9999999Z"), Some(Timestamp::MAX));
}

#[test]
fn adding_milliseconds_checks_or_saturates() {
    let start = Timestamp::from_micros(1);
    assert_eq!(start.checked_add_millis(2), Some(Timestamp::from_micros(2001)));
    assert_eq!(start.checked_add_millis(i128::MAX), None);
    assert_eq!(start.checked_add_millis(300_000_000_000_000), None);
    assert_eq!(start.saturating_add_millis(i128::MAX), Timestamp::MAX);
    assert_eq!(start.saturating_add_millis(i128::MIN), Timestamp::MIN);
    assert_eq!(start.micros_since(Timestamp::from_micros(5)), -4);
}

#[test]
fn system_time_converts_on_both_sides_of_the_epoch() {
    let after = SystemTime::UNIX_EPOCH + Duration::new(1_771_660_800, 123_456_789);
    assert_eq!(Timestamp::from(after).to_string(), "2026-02-21T08:00:00.123456Z");
    assert_eq!(Timestamp::from(after).as_unix_millis(), 1_771_660_800_123);
    let before = SystemTime::UNIX_EPOCH - Duration::from_micros(3);
    assert_eq!(Timestamp::from(before).as_micros(), -3);
    assert_eq!(Timestamp::from(before).as_unix_millis(), 0);
}

#[test]
fn odd_forms_read_as_cpython_reads_them() {
    let cases: &[(&str, Option<&str>)] = &[
        ("2026-02-21T", None),
        ("2026-02-21Z", Some("2026-02-21T00:00:00Z")),
        ("2026-02-21é08:00", Some("2026-02-21T08:00:00Z")),
        ("2026-02-21😀08", Some("2026-02-21T08:00:00Z")),
        ("2026-W08", Some("2026-02-16T00:00:00Z")),
        ("2026W08", Some("2026-02-16T00:00:00Z")),
        ("2026W086", Some("2026-02-21T00:00:00Z")),
        ("2026W086T08", Some("2026-02-21T08:00:00Z")),
        ("2026W08T0800", Some("2026-02-16T08:00:00Z")),
        ("2026-W08-08", Some("2026-02-16T08:00:00Z")),
        ("2026-W53", Some("2026-12-28T00:00:00Z")),
        ("2025-W53", None),
        ("9999-W52-6", None),
        ("0000-W01-1", None),
        ("2026-02-21T08:00:", None),
        ("2026-02-21T08:00:+00:00", Some("2026-02-21T08:00:00Z")),
        ("2026-02-21T08:00:00.", None),
        ("2026-02-21T08.5", Some("2026-02-21T08:00:00.500000Z")),
        ("2026-02-21T080000123456", Some("2026-02-21T08:00:00.123456Z")),
        ("2026-02-21T08:00:00+00:00:00.5", Some("2026-02-21T08:00:00Z")),
        ("2026-02-21T08:00:00+00:99", Some("2026-02-21T06:21:00Z")),
        ("2026-02-21T08:00:00+01:00:00.5", Some("2026-02-21T06:59:59.500000Z")),
        ("2026-02-21T08:00:00-2359", Some("2026-02-22T07:59:00Z")),
        ("2024-02-29", Some("2024-02-29T00:00:00Z")),
        ("2026-02-29", None),
        ("0000-01-01", None),
        ("2026-2-21", None),
        ("٢٠٢٦-02-21", None),
        ("2026-02-21T08:60", None),
        ("2026-02", None),
    ];
    for (input, expected) in cases {
        let got = Timestamp::parse_exact(input).map(|time| time.to_string());
        assert_eq!(got.as_deref(), *expected, "{input:?}");
    }
}

#[test]
fn the_plain_form_is_read_as_the_whole_rule_reads_it() {
    let plain = "2026-02-21T08:05:09.000120Z";
    for place in 0..plain.len() {
        for byte in b"0123456789-:.TZ +W" {
            let mut changed = plain.as_bytes().to_vec();
            changed[place] = *byte;
            let text = String::from_utf8(changed).unwrap();
            let whole = match text.strip_suffix('Z') {
                Some(local) => super::iso::parse(&format!("{local}+00:00")),
                None => super::iso::parse(&text),
            };
            let quick = super::rfc3339::parse(&text);
            assert!(quick.is_none() || quick == whole, "{text}: {quick:?}, {whole:?}");
        }
    }
    let micros = 1_771_661_109_000_120;
    assert_eq!(super::rfc3339::parse(plain), Some(micros));
    assert_eq!(text(micros), plain);
    assert_eq!(super::rfc3339::parse("2026-02-21T08:05:09Z"), Some(micros - 120));
    assert_eq!(super::rfc3339::parse("2025-02-29T08:05:09Z"), None);
}
