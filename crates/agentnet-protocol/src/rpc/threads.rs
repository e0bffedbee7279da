//! `thread_status`, `thread_list` (PROTOCOL.md section 6 and 8).

use std::borrow::Cow;

use super::record::{Codec, Flattened, FloatOr, IfTrue, Omitted, record, reply};
use super::{Request, RpcError, count, float, limit, opt_trimmed, owned, required};
use crate::json::{Object, ObjectWriter};
use crate::username::normalise;

/// The token limits that a request may override. Absent means the registry's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThreadLimits {
    /// Tokens at which a thread counts as long.
    pub soft: Option<i64>,
    /// Tokens at which a thread counts as too long.
    pub hard: Option<i64>,
}

impl ThreadLimits {
    fn decode(object: &Object<'_>) -> Result<Self, RpcError> {
        let read = |name, error| match object.get(name).int() {
            Ok(value) => Ok(value.map(|n| i64::try_from(n.max(0)).unwrap_or(i64::MAX))),
            Err(_) => Err(RpcError::fault(error)),
        };
        Ok(Self {
            soft: read("soft_limit_tokens", "soft_limit_tokens is out of range")?,
            hard: read("hard_limit_tokens", "hard_limit_tokens is out of range")?,
        })
    }

    fn write(self, out: &mut ObjectWriter) {
        if let Some(soft) = self.soft {
            out.int("soft_limit_tokens", soft);
        }
        if let Some(hard) = self.hard {
            out.int("hard_limit_tokens", hard);
        }
    }

    /// The limits in force: soft at least 1, hard at least soft.
    #[must_use]
    pub fn resolve(self, default_soft: i64, default_hard: i64) -> (i64, i64) {
        let soft = self.soft.unwrap_or(default_soft).max(1);
        (soft, self.hard.unwrap_or(default_hard).max(soft))
    }
}

record! {
    /// A thread's counters, as `thread_status` and `thread_list` give them.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct ThreadSummary {
        /// Id of the thread.
        pub thread_id: String,
        /// The first message's sender.
        pub created_by_account_id: Option<String>,
        /// Sorted account ids.
        pub participants: Vec<String>,
        /// When its first message was received.
        pub created_at: String,
        /// When its last message was received.
        pub updated_at: String,
        /// Number of messages.
        pub message_count: i64,
        /// Size of the payloads in bytes (section 4.5).
        pub byte_count: i64,
        /// Estimated tokens.
        pub approx_tokens: i64,
        /// The largest checkpoint seen.
        pub latest_checkpoint_end: i64,
        /// The largest `sent_at`.
        pub last_message_at: Option<String>,
        /// Always `ok` (section 0.1).
        pub status: String,
        /// Messages behind the last checkpoint.
        pub pending_messages: i64,
    }
}

/// `registry.thread_status`: one thread's counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadStatusRequest {
    /// Which thread, case-sensitive.
    pub thread_id: String,
    /// Token limits that override the registry's settings.
    pub limits: ThreadLimits,
}

impl Request for ThreadStatusRequest {
    const NAME: &'static str = "thread_status";
    type Reply = ThreadStatusReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(128);
        out.text("thread_id", &self.thread_id);
        self.limits.write(&mut out);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "thread_status payload must be an object")?;
        let thread_id = opt_trimmed(object.get("thread_id")).ok_or(RpcError::new("thread_id is required"))?;
        Ok(Self {
            thread_id,
            limits: ThreadLimits::decode(object)?,
        })
    }
}

record! {
    /// One thread's counters and the limits beside them.
    #[derive(Debug, Clone, PartialEq, Default)]
    pub struct ThreadStatusReply {
        /// Counters of the thread, as members of the reply itself.
        pub thread: ThreadSummary as Flattened,
        /// In force for this reply.
        pub soft_limit_tokens: i64,
        /// In force for this reply.
        pub hard_limit_tokens: i64,
        /// The registry's setting.
        pub thread_keep_tail_messages: i64,
        /// The registry's setting.
        pub token_estimate_chars_per_token: f64 as FloatOr<4>,
        /// Time of the reply, UTC.
        pub generated_at: String,
        /// As many participants are recorded as may be: who joins is not added.
        pub participants_full: bool as IfTrue,
    }
}

reply!(ThreadStatusReply, ["thread_id"]);

/// `registry.thread_list`: threads, latest activity first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadListRequest {
    /// Literal, case-insensitive substring of the thread id; echoed untrimmed, matched trimmed.
    pub query: String,
    /// 1 to 100; 20 by default.
    pub limit: usize,
    /// Only threads of this account; wins over the username.
    pub participant_account_id: Option<String>,
    /// Only threads of this username's account. A name that normalises to nothing means no filter.
    pub participant_username: Option<String>,
    /// Token limits that override the registry's settings.
    pub limits: ThreadLimits,
    /// The `next_cursor` of the page before (section 0.4).
    pub cursor: Option<String>,
}

impl Default for ThreadListRequest {
    fn default() -> Self {
        Self {
            query: String::new(),
            limit: 20,
            participant_account_id: None,
            participant_username: None,
            limits: ThreadLimits::default(),
            cursor: None,
        }
    }
}

impl Request for ThreadListRequest {
    const NAME: &'static str = "thread_list";
    type Reply = ThreadListReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(192);
        out.text("query", &self.query)
            .int("limit", self.limit as u64)
            .opt_text("participant_account_id", self.participant_account_id.as_deref())
            .opt_text("participant_username", self.participant_username.as_deref());
        self.limits.write(&mut out);
        out.opt_text("cursor", self.cursor.as_deref());
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "thread_list payload must be an object")?;
        Ok(Self {
            query: owned(object.get("query")),
            limit: limit(object, 20, 100)?,
            participant_account_id: opt_trimmed(object.get("participant_account_id")),
            participant_username: object
                .get("participant_username")
                .opt_text()
                .map(|name| normalise(&name)),
            limits: ThreadLimits::decode(object)?,
            cursor: opt_trimmed(object.get("cursor")),
        })
    }
}

record! {
    /// Threads that matched.
    #[derive(Debug, Clone, PartialEq, Default)]
    pub struct ThreadListReply {
        /// `query` of the request.
        pub query: String,
        /// `limit` in effect.
        pub limit: usize,
        /// The account filtered by, resolved.
        pub participant_account_id: Option<String>,
        /// As asked, normalised.
        pub participant_username: Option<String> as NullableString,
        /// Soft and hard limit in force and the characters a token; absent in the short reply for an unknown username.
        pub limits: Option<(i64, i64, f64)> as LimitsInForce,
        /// Threads that match, latest activity first.
        pub results: Vec<ThreadSummary>,
        /// Time of the reply, UTC.
        pub generated_at: String,
        /// Set when more threads match (section 0.4).
        pub next_cursor: Option<String> as Omitted,
    }
}

reply!(ThreadListReply, ["results"]);

/// The limits and the characters a token, as three members among the others.
struct LimitsInForce;

impl Codec<Option<(i64, i64, f64)>> for LimitsInForce {
    fn write(value: &Option<(i64, i64, f64)>, _: &str, out: &mut ObjectWriter) {
        if let Some((soft, hard, chars_per_token)) = value {
            out.int("soft_limit_tokens", *soft)
                .int("hard_limit_tokens", *hard)
                .float("token_estimate_chars_per_token", *chars_per_token);
        }
    }

    fn read(object: &Object<'_>, _: &str) -> Option<(i64, i64, f64)> {
        let chars_per_token = float(object.get("token_estimate_chars_per_token"))?;
        Some((
            count(object.get("soft_limit_tokens")),
            count(object.get("hard_limit_tokens")),
            chars_per_token,
        ))
    }
}

/// A text or `null`; an empty text stays one.
struct NullableString;

impl Codec<Option<String>> for NullableString {
    fn write(value: &Option<String>, name: &str, out: &mut ObjectWriter) {
        out.nullable_text(name, value.as_deref());
    }

    fn read(object: &Object<'_>, name: &str) -> Option<String> {
        object.get(name).as_str().map(Cow::into_owned)
    }
}
