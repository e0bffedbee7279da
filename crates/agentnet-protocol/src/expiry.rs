//! Expiry of messages (PROTOCOL.md sections 11.1 and 12, check 7).

use crate::Timestamp;

/// The clock skew that a receiver allows by default, in milliseconds (section 0, decision 7).
pub const DEFAULT_CLOCK_SKEW_MS: u32 = 2_000;

/// Why a message is refused for its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpiryError {
    /// Neither `expires_at` nor `sent_at` with `ttl_ms` gives a time.
    #[error("the message does not say how long it lives")]
    Missing,
    /// Its time is over.
    #[error("the message has expired")]
    Expired,
}

impl ExpiryError {
    /// The wire code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing_ttl",
            Self::Expired => "expired",
        }
    }
}

/// The end of a message's life: the earlier of `expires_at` and `sent_at` plus `ttl_ms` (at least 0), as far as they can be
/// read. A sum beyond the year 9999 stops there.
#[must_use]
pub fn deadline(sent_at: &str, ttl_ms: Option<i128>, expires_at: Option<&str>) -> Option<Timestamp> {
    let stated = expires_at.and_then(Timestamp::parse_exact);
    let sent = ttl_ms.and_then(|ttl| Some(Timestamp::parse_exact(sent_at)?.saturating_add_millis(ttl.max(0))));
    [stated, sent].into_iter().flatten().min()
}

/// Whether a message may still be handled at `now`. The receiver's clock may be ahead of the sender's by `clock_skew_ms`; 0 is
/// the Python implementation's exact rule.
///
/// # Errors
/// [`ExpiryError::Missing`] without a readable end, [`ExpiryError::Expired`] from that end on.
pub fn check(
    sent_at: &str,
    ttl_ms: Option<i128>,
    expires_at: Option<&str>,
    now: Timestamp,
    clock_skew_ms: u32,
) -> Result<(), ExpiryError> {
    let end = deadline(sent_at, ttl_ms, expires_at).ok_or(ExpiryError::Missing)?;
    if now >= end.saturating_add_millis(i128::from(clock_skew_ms)) {
        Err(ExpiryError::Expired)
    } else {
        Ok(())
    }
}

/// The `expires_at` that a sender writes: `sent_at` plus the lifetime, which is at least 1 ms.
#[must_use]
pub fn expires_at(sent_at: Timestamp, ttl_ms: i128) -> Timestamp {
    sent_at.saturating_add_millis(ttl_ms.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_moves_the_end_and_nothing_else() {
        let sent_at = "2026-02-21T08:00:00Z";
        let start = Timestamp::parse(sent_at).unwrap();
        let at = |millis| check(sent_at, Some(1000), None, start.saturating_add_millis(millis), 2000);
        assert_eq!(at(2999), Ok(()));
        assert_eq!(at(3000), Err(ExpiryError::Expired));
        assert_eq!(check(sent_at, None, None, start, 2000), Err(ExpiryError::Missing));
    }

    #[test]
    fn an_endless_lifetime_is_no_error() {
        let sent_at = "2026-02-21T08:00:00Z";
        assert_eq!(deadline(sent_at, Some(i128::MAX), None), Some(Timestamp::MAX));
        assert_eq!(expires_at(Timestamp::MAX, 1), Timestamp::MAX);
    }
}
