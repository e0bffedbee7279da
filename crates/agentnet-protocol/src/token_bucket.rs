//! The rate limit per sender: a token bucket (PROTOCOL.md section 12, check 8).
//!
//! Times are seconds of any steady clock as `f64`, and the order of the arithmetic is the Python implementation's, so that both
//! decide alike to the last bit.
//!
//! It is part of this crate because section 12 specifies which message is rejected, and the vectors `rate_limiter` test it.
//! The caller reads the clock and keeps the buckets: the SDK for senders, the registry for receipts and announcements.

/// How many messages a sender may send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    per_second: f64,
    burst: f64,
}

impl Default for RateLimit {
    /// 5 a second, 10 at once.
    fn default() -> Self {
        Self::new(5.0, 10)
    }
}

impl RateLimit {
    /// `per_second` is at least 0.1, `burst` at least 1.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Self {
        Self {
            per_second: per_second.max(0.1),
            burst: f64::from(burst.max(1)),
        }
    }

    /// Messages a second in the long run.
    #[must_use]
    pub const fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Messages at once.
    #[must_use]
    pub const fn burst(&self) -> f64 {
        self.burst
    }
}

/// What one sender has left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenBucket {
    tokens: f64,
    last: f64,
}

impl TokenBucket {
    /// The bucket of a sender not seen before: full.
    #[must_use]
    pub const fn full(limit: &RateLimit, now: f64) -> Self {
        Self {
            tokens: limit.burst,
            last: now,
        }
    }

    /// Takes one message out, or says that there is none left; a refusal counts as activity and keeps what has accrued.
    pub fn take(&mut self, limit: &RateLimit, now: f64) -> bool {
        let tokens = limit.burst.min(self.tokens + (now - self.last) * limit.per_second);
        self.last = now;
        let allowed = tokens >= 1.0;
        self.tokens = if allowed { tokens - 1.0 } else { tokens };
        allowed
    }

    /// How much is left.
    #[must_use]
    pub const fn tokens(&self) -> f64 {
        self.tokens
    }

    /// When the sender was last seen: an idle bucket can be dropped.
    #[must_use]
    pub const fn last(&self) -> f64 {
        self.last
    }
}
