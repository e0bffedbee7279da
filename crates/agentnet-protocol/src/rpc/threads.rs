//! `thread_status`, `thread_list` (PROTOCOL.md section 6 and 8).

use super::{
    Reply, Request, RpcError, array, count, float, limit, objects, opt_owned, opt_trimmed, owned, required, texts,
};
use crate::decode::DecodeError;
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

/// A thread's counters, as `thread_status` and `thread_list` give them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadSummary {
    /// The thread.
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

impl ThreadSummary {
    fn write(&self, out: &mut ObjectWriter) {
        out.text("thread_id", &self.thread_id)
            .nullable_text("created_by_account_id", self.created_by_account_id.as_deref())
            .texts("participants", &self.participants)
            .text("created_at", &self.created_at)
            .text("updated_at", &self.updated_at)
            .int("message_count", self.message_count)
            .int("byte_count", self.byte_count)
            .int("approx_tokens", self.approx_tokens)
            .int("latest_checkpoint_end", self.latest_checkpoint_end)
            .nullable_text("last_message_at", self.last_message_at.as_deref())
            .text("status", &self.status)
            .int("pending_messages", self.pending_messages);
    }

    fn encode(&self) -> String {
        let mut out = ObjectWriter::new();
        self.write(&mut out);
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Self {
        Self {
            thread_id: owned(object.get("thread_id")),
            created_by_account_id: opt_owned(object.get("created_by_account_id")),
            participants: texts(object.get("participants")),
            created_at: owned(object.get("created_at")),
            updated_at: owned(object.get("updated_at")),
            message_count: count(object.get("message_count")),
            byte_count: count(object.get("byte_count")),
            approx_tokens: count(object.get("approx_tokens")),
            latest_checkpoint_end: count(object.get("latest_checkpoint_end")),
            last_message_at: opt_owned(object.get("last_message_at")),
            status: owned(object.get("status")),
            pending_messages: count(object.get("pending_messages")),
        }
    }
}

/// `registry.thread_status`: one thread's counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadStatusRequest {
    /// Which thread, case-sensitive.
    pub thread_id: String,
    /// Overrides.
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

/// One thread's counters and the limits beside them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ThreadStatusReply {
    /// The counters.
    pub thread: ThreadSummary,
    /// As many participants are recorded as may be: who joins is not added.
    pub participants_full: bool,
    /// In force for this reply.
    pub soft_limit_tokens: i64,
    /// In force for this reply.
    pub hard_limit_tokens: i64,
    /// The registry's setting.
    pub thread_keep_tail_messages: i64,
    /// The registry's setting.
    pub token_estimate_chars_per_token: f64,
    /// When.
    pub generated_at: String,
}

impl Reply for ThreadStatusReply {
    const MEMBERS: &'static [&'static str] = &["thread_id"];

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(640);
        self.thread.write(&mut out);
        out.int("soft_limit_tokens", self.soft_limit_tokens)
            .int("hard_limit_tokens", self.hard_limit_tokens)
            .int("thread_keep_tail_messages", self.thread_keep_tail_messages)
            .float("token_estimate_chars_per_token", self.token_estimate_chars_per_token)
            .text("generated_at", &self.generated_at);
        if self.participants_full {
            out.bool("participants_full", true);
        }
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            thread: ThreadSummary::decode(object),
            participants_full: object.get("participants_full").raw() == "true",
            soft_limit_tokens: count(object.get("soft_limit_tokens")),
            hard_limit_tokens: count(object.get("hard_limit_tokens")),
            thread_keep_tail_messages: count(object.get("thread_keep_tail_messages")),
            token_estimate_chars_per_token: float(object.get("token_estimate_chars_per_token")).unwrap_or(4.0),
            generated_at: owned(object.get("generated_at")),
        })
    }
}

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
    /// Overrides.
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

/// Threads that matched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ThreadListReply {
    /// As asked.
    pub query: String,
    /// As used.
    pub limit: usize,
    /// The account filtered by, resolved.
    pub participant_account_id: Option<String>,
    /// As asked, normalised.
    pub participant_username: Option<String>,
    /// Soft and hard limit in force and the characters a token; absent in the short reply for an unknown username.
    pub limits: Option<(i64, i64, f64)>,
    /// The matches.
    pub results: Vec<ThreadSummary>,
    /// When.
    pub generated_at: String,
    /// Set when more threads match (section 0.4).
    pub next_cursor: Option<String>,
}

impl Reply for ThreadListReply {
    const MEMBERS: &'static [&'static str] = &["results"];

    fn encode(&self) -> String {
        let mut out = ObjectWriter::new();
        out.text("query", &self.query)
            .int("limit", self.limit as u64)
            .nullable_text("participant_account_id", self.participant_account_id.as_deref())
            .nullable_text("participant_username", self.participant_username.as_deref());
        if let Some((soft, hard, chars_per_token)) = self.limits {
            out.int("soft_limit_tokens", soft)
                .int("hard_limit_tokens", hard)
                .float("token_estimate_chars_per_token", chars_per_token);
        }
        out.raw("results", &array(self.results.iter().map(ThreadSummary::encode)))
            .text("generated_at", &self.generated_at)
            .opt_text("next_cursor", self.next_cursor.as_deref());
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        let limits = float(object.get("token_estimate_chars_per_token")).map(|chars| {
            (
                count(object.get("soft_limit_tokens")),
                count(object.get("hard_limit_tokens")),
                chars,
            )
        });
        Ok(Self {
            query: owned(object.get("query")),
            limit: usize::try_from(count(object.get("limit"))).unwrap_or(0),
            participant_account_id: opt_owned(object.get("participant_account_id")),
            participant_username: object
                .get("participant_username")
                .as_str()
                .map(std::borrow::Cow::into_owned),
            limits,
            results: objects(object.get("results"))
                .map(|thread| ThreadSummary::decode(&thread))
                .collect(),
            generated_at: owned(object.get("generated_at")),
            next_cursor: opt_owned(object.get("next_cursor")),
        })
    }
}
