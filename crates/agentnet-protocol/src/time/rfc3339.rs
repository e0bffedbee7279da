//! Fast path for the usual RFC 3339 form, `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`: writes it, and reads texts of exactly this form.

use super::civil;

/// Length of the form with a fraction.
const LEN_WITH_FRACTION: usize = 27;
/// Length of the form without one.
const LEN_WHOLE_SECONDS: usize = 20;

/// The text of a time in UTC, in a fixed buffer.
pub(super) struct Rfc3339 {
    buffer: [u8; LEN_WITH_FRACTION],
    length: usize,
}

impl Rfc3339 {
    /// Formats microseconds since the epoch, within the years 1 to 9999.
    pub(super) fn new(micros: i64) -> Self {
        let mut buffer = *b"0000-00-00T00:00:00.000000Z";
        let seconds = micros.div_euclid(1_000_000);
        let micros = micros.rem_euclid(1_000_000);
        let (year, month, day) = civil::from_days(seconds.div_euclid(86_400));
        let second = seconds.rem_euclid(86_400);
        put(&mut buffer[0..4], year);
        put(&mut buffer[5..7], month);
        put(&mut buffer[8..10], day);
        put(&mut buffer[11..13], second / 3600);
        put(&mut buffer[14..16], second / 60 % 60);
        put(&mut buffer[17..19], second % 60);
        if micros == 0 {
            buffer[LEN_WHOLE_SECONDS - 1] = b'Z';
            let length = LEN_WHOLE_SECONDS;
            return Self { buffer, length };
        }
        put(&mut buffer[20..26], micros);
        let length = LEN_WITH_FRACTION;
        Self { buffer, length }
    }

    pub(super) fn as_str(&self) -> &str {
        // Digits and marks: it is always text.
        std::str::from_utf8(&self.buffer[..self.length]).unwrap_or_default()
    }
}

fn put(places: &mut [u8], mut number: i64) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Microseconds since the epoch, if the text has this form and names a real time.
pub(super) fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let micros = match bytes {
        [.., b'Z'] if bytes.len() == LEN_WHOLE_SECONDS => 0,
        [.., b'Z'] if bytes.len() == LEN_WITH_FRACTION && bytes[19] == b'.' => number(&bytes[20..26])?,
        _ => return None,
    };
    let marks = [bytes[4], bytes[7], bytes[10], bytes[13], bytes[16]];
    if marks != *b"--T::" {
        return None;
    }
    let (year, month, day) = (number(&bytes[0..4])?, number(&bytes[5..7])?, number(&bytes[8..10])?);
    let (hour, minute, second) = (
        number(&bytes[11..13])?,
        number(&bytes[14..16])?,
        number(&bytes[17..19])?,
    );
    let real = year >= 1
        && (1..=12).contains(&month)
        && day >= 1
        && day <= civil::month_length(year, month)
        && hour <= 23
        && minute <= 59
        && second <= 59;
    let seconds = || civil::days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    real.then(|| seconds() * 1_000_000 + micros)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
    })
}
