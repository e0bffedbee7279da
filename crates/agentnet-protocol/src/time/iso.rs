//! ISO 8601 as CPython 3.11's `datetime.fromisoformat` reads it (PROTOCOL.md section 3).
//!
//! That reader walks a NUL-terminated buffer and is lenient in unplanned places: with an offset behind it a time may
//! end in a stray separator or in digits beyond the sixth, for example. Senders of the network may rely on any of it, so the
//! walk is the same here: [`Reader::at`] gives zero behind the end.

use super::civil;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Microseconds since the epoch in UTC; no offset means UTC. The result may lie up to a day outside the years 1 to 9999.
pub(super) fn parse(text: &str) -> Option<i64> {
    if text.chars().take(7).count() < 7 {
        return None;
    }
    let reader = Reader(text.as_bytes());
    let separator = reader.separator()?;
    let days = reader.date(separator)?;
    let mut clock = Clock::default();
    let mut offset = 0;
    if text.len() > separator {
        let start = separator + separator_length(reader.at(separator));
        (clock, offset) = reader.time(start)?;
    }
    if clock.hour > 23 || clock.minute > 59 || clock.second > 59 {
        return None;
    }
    Some((days * 86_400 + clock.seconds()) * MICROS_PER_SECOND + clock.micros - offset)
}

/// How many bytes the separating character takes, by its first byte.
fn separator_length(first: u8) -> usize {
    match first {
        byte if byte < 0x80 => 1,
        byte if byte & 0xf0 == 0xe0 => 3,
        byte if byte & 0xf0 == 0xf0 => 4,
        _ => 2,
    }
}

#[derive(Default)]
struct Clock {
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
}

impl Clock {
    fn seconds(&self) -> i64 {
        self.hour * 3600 + self.minute * 60 + self.second
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn at(&self, index: usize) -> u8 {
        self.0.get(index).copied().unwrap_or(0)
    }

    fn digits(&self, start: usize, count: usize) -> Option<i64> {
        let mut value = 0;
        for index in start..start + count {
            let byte = self.at(index);
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(byte - b'0');
        }
        Some(value)
    }

    /// Where the character between date and time is; behind the end for some texts that are no date.
    fn separator(&self) -> Option<usize> {
        let length = self.0.len();
        if length == 7 {
            return Some(7);
        }
        if self.at(4) == b'-' {
            if self.at(5) != b'W' {
                return Some(10); // YYYY-MM-DD
            }
            if length > 8 && self.at(8) == b'-' {
                if length == 9 {
                    return None;
                }
                // YYYY-Www-HH, where the second hyphen separates, or YYYY-Www-D.
                return Some(if length > 10 && self.at(10).is_ascii_digit() {
                    8
                } else {
                    10
                });
            }
            return Some(8); // YYYY-Www
        }
        if self.at(4) != b'W' {
            return Some(8); // YYYYMMDD
        }
        // YYYYWww or YYYYWwwD: the parts of a time have two digits each, so the parity of the digits decides.
        let end = (7..length)
            .find(|index| !self.at(*index).is_ascii_digit())
            .unwrap_or(length);
        Some(match end {
            0..9 => end,
            end if end % 2 == 0 => 7,
            _ => 8,
        })
    }

    /// The date in days since the epoch.
    fn date(&self, end: usize) -> Option<i64> {
        let year = self.digits(0, 4)?;
        let dashed = self.at(4) == b'-';
        let next = if dashed { 5 } else { 4 };
        if self.at(next) == b'W' {
            return self.week_date(year, next + 1, dashed, end);
        }
        let month = self.digits(next, 2)?;
        let next = next + 2;
        if dashed && self.at(next) != b'-' {
            return None;
        }
        let day = self.digits(if dashed { next + 1 } else { next }, 2)?;
        let real = year >= 1 && (1..=12).contains(&month) && day >= 1 && day <= civil::month_length(year, month);
        real.then(|| civil::days(year, month, day))
    }

    fn week_date(&self, year: i64, start: usize, dashed: bool, end: usize) -> Option<i64> {
        let week = self.digits(start, 2)?;
        let mut next = start + 2;
        let mut day = 1;
        if next < end {
            if dashed {
                if self.at(next) != b'-' {
                    return None;
                }
                next += 1;
            }
            day = self.digits(next, 1)?;
        }
        let new_year = civil::days(year, 1, 1);
        let first = civil::weekday(new_year);
        let leap = civil::month_length(year, 2) == 29;
        let long = first == 3 || (first == 2 && leap);
        if year < 1 || !(1..=7).contains(&day) || week < 1 || week > if long { 53 } else { 52 } {
            return None;
        }
        // Week 1 is the one with the year's first Thursday.
        let monday = new_year - first + if first > 3 { 7 } else { 0 };
        let days = monday + (week - 1) * 7 + day - 1;
        (1..=9999).contains(&civil::from_days(days).0).then_some(days)
    }

    /// The clock and the offset from UTC in microseconds.
    fn time(&self, start: usize) -> Option<(Clock, i64)> {
        let end = self.0.len();
        let mut zone = start;
        while !matches!(self.at(zone), b'+' | b'-' | b'Z') {
            zone += 1;
            if zone >= end {
                break;
            }
        }
        let (clock, rest) = self.clock(start, zone)?;
        if zone == end {
            return (!rest).then_some((clock, 0));
        }
        if self.at(zone) == b'Z' {
            return (self.at(zone + 1) == 0).then_some((clock, 0));
        }
        let sign = if self.at(zone) == b'-' { -1 } else { 1 };
        let (offset, rest) = self.clock(zone + 1, end)?;
        let seconds = offset.seconds();
        if rest {
            return None;
        }
        if seconds == 0 {
            return Some((clock, 0)); // a fraction alone counts for nothing
        }
        let micros = seconds * MICROS_PER_SECOND + offset.micros;
        (micros < 86_400 * MICROS_PER_SECOND).then_some((clock, sign * micros))
    }

    /// `HH[:MM[:SS[.f+]]]` between two places, and whether something follows it.
    fn clock(&self, start: usize, end: usize) -> Option<(Clock, bool)> {
        let mut clock = Clock::default();
        let mut next = start;
        let mut colons = true;
        for part in 0..3 {
            let value = self.digits(next, 2)?;
            match part {
                0 => clock.hour = value,
                1 => clock.minute = value,
                _ => clock.second = value,
            }
            let mark = self.at(next + 2);
            next += 3;
            if part == 0 {
                colons = mark == b':';
            }
            if next >= end {
                return Some((clock, mark != 0));
            }
            match mark {
                b':' if colons => {}
                b'.' | b',' => break,
                _ if !colons => next -= 1,
                _ => return None,
            }
        }
        let places = (end - next).min(6);
        let fraction = self.digits(next, places)?;
        clock.micros = (places..6).fold(fraction, |value, _| value * 10);
        next += places;
        while self.at(next).is_ascii_digit() {
            next += 1;
        }
        Some((clock, self.at(next) != 0))
    }
}
