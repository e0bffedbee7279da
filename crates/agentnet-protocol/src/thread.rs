//! Counters and limits of a thread (PROTOCOL.md section 8).

use crate::json::{self, JsonError, Value};

/// The status of every thread: whether it should be compacted is its agents' business (section 0, decision 1).
pub const STATUS: &str = "ok";
/// `THREAD_SOFT_LIMIT_TOKENS` unless set.
pub const DEFAULT_SOFT_LIMIT_TOKENS: i64 = 50_000;
/// `THREAD_HARD_LIMIT_TOKENS` unless set.
pub const DEFAULT_HARD_LIMIT_TOKENS: i64 = 60_000;
/// `THREAD_KEEP_TAIL_MESSAGES` unless set.
pub const DEFAULT_KEEP_TAIL_MESSAGES: i64 = 24;
/// `TOKEN_ESTIMATE_CHARS_PER_TOKEN` unless set.
pub const DEFAULT_CHARS_PER_TOKEN: f64 = 4.0;

/// The token limits that a status reply reports: `soft` is at least 1, `hard` at least `soft`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLimits {
    soft: i64,
    hard: i64,
}

impl Default for TokenLimits {
    fn default() -> Self {
        Self::new(DEFAULT_SOFT_LIMIT_TOKENS, DEFAULT_HARD_LIMIT_TOKENS)
    }
}

impl TokenLimits {
    /// Raises both limits to their minimum.
    #[must_use]
    pub fn new(soft: i64, hard: i64) -> Self {
        let soft = soft.max(1);
        Self {
            soft,
            hard: hard.max(soft),
        }
    }

    /// The limits that a request asks for: each one an integer as Python reads it, else the one in `self`. An explicit 0 is
    /// raised to 1 (section 6, `thread_status`).
    ///
    /// # Errors
    /// [`JsonError::Overflow`] for an infinite number.
    pub fn requested(self, soft: &Value<'_>, hard: &Value<'_>) -> Result<Self, JsonError> {
        let read = |value: &Value<'_>, default| Ok(value.int()?.map_or(default, |limit| saturate(limit.max(0))));
        Ok(Self::new(read(soft, self.soft)?, read(hard, self.hard)?))
    }

    /// `soft_limit_tokens`
    #[must_use]
    pub const fn soft(&self) -> i64 {
        self.soft
    }

    /// `hard_limit_tokens`
    #[must_use]
    pub const fn hard(&self) -> i64 {
        self.hard
    }
}

/// The estimate of a message's tokens from the bytes of its payload in the persisted form: rounded up, 0 for none. Less than
/// one character a token counts as one.
#[must_use]
pub fn estimate_tokens(byte_count: i64, chars_per_token: f64) -> i64 {
    if byte_count <= 0 {
        0
    } else {
        (byte_count as f64 / chars_per_token.max(1.0)).ceil() as i64
    }
}

/// The messages since the last checkpoint.
#[must_use]
pub const fn pending_messages(message_count: i64, latest_checkpoint_end: i64) -> i64 {
    let pending = message_count.saturating_sub(latest_checkpoint_end);
    if pending < 0 { 0 } else { pending }
}

/// How many messages of its thread a payload's checkpoint covers; 0 when the payload is no checkpoint. Numbers beyond 64 bits
/// saturate, so that a store can keep them; an infinite one counts as none.
#[must_use]
pub fn checkpoint_end(payload: &Value<'_>) -> i64 {
    let Some(payload) = payload.as_object() else { return 0 };
    if json::trim(&payload.get("type").text()).to_lowercase() != "checkpoint" {
        return 0;
    }
    payload
        .get("covers_end")
        .int()
        .ok()
        .flatten()
        .map_or(0, |end| saturate(end.max(0)))
}

/// The value as 64 bits, or the nearer end of their range.
pub(crate) fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}
