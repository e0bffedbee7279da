//! When a failed call is made again: exponential backoff with full jitter, or when the provider says.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

/// Upper bound of the first wait; it doubles with every retry.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);

/// Upper bound of all waits that the provider does not ask for.
const MAX_BACKOFF: Duration = Duration::from_secs(20);

/// A provider that wants to be left alone for longer is given up for this call.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Longer times in headers are cut to this.
const MAX_HEADER_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Part of the time that the provider asks for by which a wait may be longer, so that the calls that failed together do not
/// come back together.
const RETRY_AFTER_JITTER: f64 = 0.1;

/// How long to wait before retry number `retry` (the first is 0), with `random` in 0..1. `None`: not worth it, the provider
/// wants to be left alone for too long.
pub(crate) fn delay(retry: u32, retry_after: Option<Duration>, random: f64) -> Option<Duration> {
    match retry_after {
        Some(wait) if wait > MAX_RETRY_AFTER => None,
        Some(wait) => Some(wait.mul_f64(1.0 + RETRY_AFTER_JITTER * random)),
        None => {
            let ceiling = FIRST_BACKOFF
                .saturating_mul(2_u32.saturating_pow(retry))
                .min(MAX_BACKOFF);
            Some(ceiling.mul_f64(random))
        }
    }
}

/// How long a response asks to be left alone: `retry-after-ms`, `retry-after`, or, where those are absent, the time at which
/// a limit is reset.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(wait) = header("retry-after-ms").and_then(|text| milliseconds(text.parse().ok()?)) {
        return Some(wait);
    }
    if let Some(text) = header("retry-after") {
        let wait = text
            .parse()
            .ok()
            .and_then(seconds)
            .or_else(|| until(http_date(text)?, now));
        if wait.is_some() {
            return wait;
        }
    }
    limit_reset(&header, now)
}

/// The reset times of limits. Of several, those count whose limit is used up; where the response does not say which, the
/// first one.
fn limit_reset<'a>(header: &dyn Fn(&str) -> Option<&'a str>, now: Timestamp) -> Option<Duration> {
    let mut used_up: Option<Duration> = None;
    let mut first: Option<Duration> = None;
    let families = [
        ("x-ratelimit-reset-", "x-ratelimit-remaining-", ""),
        ("anthropic-ratelimit-", "anthropic-ratelimit-", "-reset"),
        ("x-ratelimit-reset", "x-ratelimit-remaining", ""),
    ];
    for (reset, remaining, suffix) in families {
        let kinds: &[&str] = match reset.ends_with('-') {
            true => &["requests", "tokens", "input-tokens", "output-tokens"],
            false => &[""],
        };
        for kind in kinds {
            let Some(wait) = header(&format!("{reset}{kind}{suffix}")).and_then(|text| reset_time(text, now)) else {
                continue;
            };
            let remaining_suffix = if suffix.is_empty() { "" } else { "-remaining" };
            if header(&format!("{remaining}{kind}{remaining_suffix}")) == Some("0") {
                used_up = used_up.max(Some(wait));
            }
            first = Some(first.map_or(wait, |first| first.min(wait)));
        }
    }
    used_up.or(first)
}

/// A time of reset: seconds, a duration (`6m0s`, `120ms`), an RFC 3339 time, or a Unix time in seconds or milliseconds.
fn reset_time(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            _ if number >= 1e12 => until(Timestamp::from_millisecond(number as i64).ok()?, now),
            _ if number >= 1e9 => until(Timestamp::from_second(number as i64).ok()?, now),
            _ => seconds(number),
        };
    }
    duration(text).or_else(|| until(text.parse().ok()?, now))
}

/// A duration as Go writes it: `1h2m3.5s`, `120ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let factor = match unit {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    if text.is_empty() { None } else { seconds(total) }
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

fn until(time: Timestamp, now: Timestamp) -> Option<Duration> {
    let milliseconds = time.as_millisecond().saturating_sub(now.as_millisecond()).max(0);
    Some(Duration::from_millis(milliseconds.unsigned_abs()).min(MAX_HEADER_TIME))
}

fn milliseconds(number: f64) -> Option<Duration> {
    seconds(number / 1_000.0)
}

fn seconds(number: f64) -> Option<Duration> {
    let is_time = number.is_finite() && number >= 0.0;
    is_time.then(|| Duration::from_secs_f64(number.min(MAX_HEADER_TIME.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
    use rstest::rstest;

    use super::{delay, retry_after};

    #[rstest]
    #[case::first(0, None, 1.0, Some(500))]
    #[case::no_lower_bound(0, None, 0.0, Some(0))]
    #[case::doubles(3, None, 1.0, Some(4_000))]
    #[case::half(3, None, 0.5, Some(2_000))]
    #[case::bounded(30, None, 1.0, Some(20_000))]
    #[case::no_overflow(u32::MAX, None, 1.0, Some(20_000))]
    #[case::as_asked(3, Some(7_000), 0.0, Some(7_000))]
    #[case::a_little_longer(0, Some(10_000), 1.0, Some(11_000))]
    #[case::too_long(0, Some(61_000), 0.0, None)]
    fn delays(#[case] retry: u32, #[case] asked: Option<u64>, #[case] random: f64, #[case] expected: Option<u64>) {
        let delay = delay(retry, asked.map(Duration::from_millis), random);
        assert_eq!(delay.map(|delay| delay.as_millis() as u64), expected);
    }

    #[rstest]
    #[case::none(&[], None)]
    #[case::seconds(&[("retry-after", "3")], Some(3_000))]
    #[case::part_of_a_second(&[("retry-after", "0.5")], Some(500))]
    #[case::milliseconds(&[("retry-after-ms", "250"), ("retry-after", "9")], Some(250))]
    #[case::date(&[("retry-after", "Sun, 29 Nov 2026 12:00:30 GMT")], Some(30_000))]
    #[case::past(&[("retry-after", "Sun, 29 Nov 2026 11:00:00 GMT")], Some(0))]
    #[case::bounded(&[("retry-after", "1e300")], Some(86_400_000))]
    #[case::negative(&[("retry-after", "-1")], None)]
    #[case::no_number(&[("retry-after", "soon")], None)]
    #[case::nan(&[("retry-after", "NaN")], None)]
    #[case::duration(&[("x-ratelimit-reset-requests", "6m0s")], Some(360_000))]
    #[case::short_duration(&[("x-ratelimit-reset-tokens", "1s20ms")], Some(1_020))]
    #[case::the_first(&[("x-ratelimit-reset-requests", "1h"), ("x-ratelimit-reset-tokens", "2s")], Some(2_000))]
    #[case::the_one_that_is_used_up(
        &[("x-ratelimit-reset-requests", "1m"), ("x-ratelimit-remaining-requests", "0"),
          ("x-ratelimit-reset-tokens", "2s"), ("x-ratelimit-remaining-tokens", "70")], Some(60_000))]
    #[case::header_wins(&[("x-ratelimit-reset-requests", "1h"), ("retry-after", "1")], Some(1_000))]
    #[case::anthropic(
        &[("anthropic-ratelimit-requests-reset", "2026-11-29T12:00:05Z"), ("anthropic-ratelimit-requests-remaining", "9"),
          ("anthropic-ratelimit-tokens-reset", "2026-11-29T12:00:09Z"), ("anthropic-ratelimit-tokens-remaining", "0")],
        Some(9_000))]
    #[case::unix_seconds(&[("x-ratelimit-reset", "1795953601")], Some(1_000))]
    #[case::unix_milliseconds(&[("x-ratelimit-reset", "1795953600500")], Some(500))]
    #[case::no_duration(&[("x-ratelimit-reset-tokens", "2 parsecs")], None)]
    fn times_in_headers(#[case] headers: &[(&'static str, &'static str)], #[case] expected: Option<u64>) {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(retry_after(&headers, now).map(|wait| wait.as_millis() as u64), expected);
    }
}
