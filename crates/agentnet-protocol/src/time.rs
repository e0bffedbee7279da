//! Timestamps: UTC with microseconds, and their text form (PROTOCOL.md section 3).
//!
//! Nothing here reads a clock: the caller passes its `SystemTime`.
//!
//! ```
//! use agentnet_protocol::Timestamp;
//!
//! let sent = Timestamp::parse(" 2026-02-21T10:00:00.5+02:00 ").unwrap();
//! assert_eq!(sent.to_string(), "2026-02-21T08:00:00.500000Z");
//! assert_eq!(sent.saturating_add_millis(500).to_string(), "2026-02-21T08:00:01Z");
//! ```

mod civil;
mod iso;
mod rfc3339;

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::json;

/// A point in time: microseconds since 1970-01-01T00:00:00Z, within the years 1 to 9999, so that every value has a text
/// form. `Display` writes that form: `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`, the fraction with six digits or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0001-01-01T00:00:00Z, the earliest time that has a text form.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z, the latest time that has a text form.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// From microseconds since the Unix epoch; values outside [`Timestamp::MIN`] to [`Timestamp::MAX`] become the nearer
    /// of the two.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down; zero before it. This is the time part of a ULID.
    #[must_use]
    pub const fn as_unix_millis(self) -> u64 {
        if self.0 < 0 { 0 } else { (self.0 / 1000).unsigned_abs() }
    }

    /// Reads a timestamp as the registry and signed claims do: surrounding white space is ignored, a missing offset means
    /// UTC, everything else is as CPython 3.11 reads ISO 8601. `None` where the text is not a time, or one outside the years
    /// 1 to 9999 once moved to UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_exact(json::trim(text))
    }

    /// As [`Timestamp::parse`], but white space around the text makes it unreadable: the rule of a receiver's TTL check.
    #[must_use]
    pub fn parse_exact(text: &str) -> Option<Self> {
        let micros = match (rfc3339::parse(text), text.strip_suffix('Z')) {
            (Some(micros), _) => micros,
            (None, Some(local)) => iso::parse(&format!("{local}+00:00"))?,
            (None, None) => iso::parse(text)?,
        };
        (Self::MIN.0..=Self::MAX.0).contains(&micros).then_some(Self(micros))
    }

    /// This time moved by some milliseconds, or `None` outside the years 1 to 9999.
    #[must_use]
    pub fn checked_add_millis(self, millis: i128) -> Option<Self> {
        let micros = millis.checked_mul(1000)?.checked_add(i128::from(self.0))?;
        let micros = i64::try_from(micros).ok()?;
        (Self::MIN.0..=Self::MAX.0).contains(&micros).then_some(Self(micros))
    }

    /// As [`Timestamp::checked_add_millis`], stopping at the ends of the range.
    #[must_use]
    pub fn saturating_add_millis(self, millis: i128) -> Self {
        self.checked_add_millis(millis)
            .unwrap_or(if millis < 0 { Self::MIN } else { Self::MAX })
    }

    /// Microseconds from `earlier` to this time; negative when `earlier` is the later one.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        // The whole range is 3.2e17 microseconds wide.
        self.0 - earlier.0
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => -micros(before.duration()),
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(rfc3339::Rfc3339::new(self.0).as_str())
    }
}

#[cfg(test)]
mod tests;
