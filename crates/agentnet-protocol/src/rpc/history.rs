//! `thread_messages`, `message_search` (PROTOCOL.md section 6 and 6.1).

use super::record::{Codec, Nested, Omitted, Record as _, record, reply};
use super::{Request, RpcError, limit, opt_owned, opt_trimmed, required};
use crate::RawJson;
use crate::json::{Object, ObjectWriter, ascii};

record! {
    /// One message of the history. Members of the Python implementation first; `from_agent`, `ttl_ms` and `expires_at` are
    /// additions to the Python protocol (section 0.10).
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct HistoryMessage {
        /// Id of the message.
        pub message_id: String,
        /// Id of the message's thread.
        pub thread_id: String,
        /// The message that it answers or follows.
        pub parent_message_id: Option<String>,
        /// The sender's account.
        pub from_account_id: Option<String>,
        /// The sender's session.
        pub from_session_tag: Option<String>,
        /// The receiver's account.
        pub to_account_id: Option<String>,
        /// The target as written.
        pub to_agent: String,
        /// Kind of message.
        pub kind: String,
        /// Schema version.
        pub schema_version: String,
        /// The logical operation's key.
        pub idempotency_key: Option<String>,
        /// Exact JSON text.
        pub payload: RawJson as AnyValue,
        /// Trace id of the message.
        pub trace_id: Option<String>,
        /// When it was sent.
        pub sent_at: String,
        /// When the registry received it.
        pub received_at: String,
        /// Always `received`.
        pub status: String,
        /// `{}`.
        pub metadata: RawJson,
        /// The sender's role label; absent from the Python registry.
        pub from_agent: Option<String>,
        /// Time to live in milliseconds, decimal text; absent from the Python registry.
        pub ttl_ms: Option<String> as IntegerText,
        /// Expiry as the sender wrote it; absent from the Python registry.
        pub expires_at: Option<String>,
    }
}

impl HistoryMessage {
    /// The item's wire text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(self.payload.get().len() + 768);
        self.write(&mut out);
        out.finish()
    }
}

/// Any JSON value.
struct AnyValue;

impl Codec<RawJson> for AnyValue {
    fn write(value: &RawJson, name: &str, out: &mut ObjectWriter) {
        out.raw(name, &ascii(value.get()));
    }

    fn read(object: &Object<'_>, name: &str) -> RawJson {
        RawJson::validated(object.get(name).raw().into())
    }
}

/// An integer of any size as its decimal text; `null` when absent.
struct IntegerText;

impl Codec<Option<String>> for IntegerText {
    fn write(value: &Option<String>, name: &str, out: &mut ObjectWriter) {
        out.raw(name, value.as_deref().unwrap_or("null"));
    }

    fn read(object: &Object<'_>, name: &str) -> Option<String> {
        let value = object.get(name).int().ok().flatten()?;
        Some(value.to_string())
    }
}

/// `registry.thread_messages`: one thread's messages, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadMessagesRequest {
    /// Which thread, case-sensitive.
    pub thread_id: String,
    /// 1 to 200; 50 by default.
    pub limit: usize,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for ThreadMessagesRequest {
    fn default() -> Self {
        Self {
            thread_id: String::new(),
            limit: 50,
            cursor: None,
        }
    }
}

impl Request for ThreadMessagesRequest {
    const NAME: &'static str = "thread_messages";
    type Reply = ThreadMessagesReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(160);
        out.text("thread_id", &self.thread_id)
            .int("limit", self.limit as u64)
            .opt_text("cursor", self.cursor.as_deref());
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "thread_messages payload must be an object")?;
        let thread_id = opt_trimmed(object.get("thread_id")).ok_or(RpcError::new("thread_id is required"))?;
        Ok(Self {
            thread_id,
            limit: limit(object, 50, 200)?,
            cursor: opt_owned(object.get("cursor")),
        })
    }
}

record! {
    /// One page of a thread.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct ThreadMessagesReply {
        /// As asked, trimmed.
        pub thread_id: String,
        /// `limit` in effect.
        pub limit: usize,
        /// `cursor` of the request.
        pub cursor: Option<String>,
        /// Set when there is at least one more message.
        pub next_cursor: Option<String>,
        /// Newest first.
        pub messages: Vec<HistoryMessage>,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(ThreadMessagesReply, ["messages"]);

record! {
    /// The filters of a message search; all must hold.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MessageSearchFilters {
        /// Exact message (an addition to the Python protocol, section 0.10).
        pub message_id: Option<String> as Omitted,
        /// Exact thread.
        pub thread_id: Option<String>,
        /// Exact sender account.
        pub from_account_id: Option<String>,
        /// Exact receiver account.
        pub to_account_id: Option<String>,
        /// Exact kind.
        pub kind: Option<String>,
        /// Inclusive lower bound of `sent_at`, as text.
        pub from_ts: Option<String>,
        /// Inclusive upper bound of `sent_at`, as text.
        pub to_ts: Option<String>,
    }
}

/// `registry.message_search`: messages by filters, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSearchRequest {
    /// All must hold.
    pub filters: MessageSearchFilters,
    /// 1 to 200; 50 by default.
    pub limit: usize,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for MessageSearchRequest {
    fn default() -> Self {
        Self {
            filters: MessageSearchFilters::default(),
            limit: 50,
            cursor: None,
        }
    }
}

impl Request for MessageSearchRequest {
    const NAME: &'static str = "message_search";
    type Reply = MessageSearchReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(256);
        let filters = &self.filters;
        out.opt_text("message_id", filters.message_id.as_deref())
            .opt_text("thread_id", filters.thread_id.as_deref())
            .opt_text("from_account_id", filters.from_account_id.as_deref())
            .opt_text("to_account_id", filters.to_account_id.as_deref())
            .opt_text("kind", filters.kind.as_deref())
            .opt_text("from_ts", filters.from_ts.as_deref())
            .opt_text("to_ts", filters.to_ts.as_deref())
            .int("limit", self.limit as u64)
            .opt_text("cursor", self.cursor.as_deref());
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "message_search payload must be an object")?;
        Ok(Self {
            filters: MessageSearchFilters {
                message_id: opt_trimmed(object.get("message_id")),
                thread_id: opt_trimmed(object.get("thread_id")),
                from_account_id: opt_trimmed(object.get("from_account_id")),
                to_account_id: opt_trimmed(object.get("to_account_id")),
                kind: opt_trimmed(object.get("kind")),
                from_ts: opt_owned(object.get("from_ts")),
                to_ts: opt_owned(object.get("to_ts")),
            },
            limit: limit(object, 50, 200)?,
            cursor: opt_owned(object.get("cursor")),
        })
    }
}

record! {
    /// One page of a message search.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MessageSearchReply {
        /// `filters` of the request.
        pub filters: MessageSearchFilters as Nested,
        /// `limit` in effect.
        pub limit: usize,
        /// `cursor` of the request.
        pub cursor: Option<String>,
        /// Set when there is at least one more message.
        pub next_cursor: Option<String>,
        /// Newest first.
        pub messages: Vec<HistoryMessage>,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(MessageSearchReply, ["messages"]);
