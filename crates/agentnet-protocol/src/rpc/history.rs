//! `thread_messages`, `message_search` (PROTOCOL.md section 6 and 6.1).

use super::{
    Reply, Request, RpcError, array, count, limit, object_or_empty, objects, opt_owned, opt_trimmed, owned, required,
};
use crate::RawJson;
use crate::decode::DecodeError;
use crate::json::{Object, ObjectWriter, ascii};

/// One message of the history. Members of the original first; `from_agent`, `ttl_ms` and `expires_at` are additions of ours
/// (section 0.10).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryMessage {
    /// Its id.
    pub message_id: String,
    /// Its thread.
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
    pub payload: RawJson,
    /// Trace.
    pub trace_id: Option<String>,
    /// When it was sent.
    pub sent_at: String,
    /// When the registry received it.
    pub received_at: String,
    /// Always `received`.
    pub status: String,
    /// `{}`.
    pub metadata: RawJson,
    /// The sender's role label; absent from the original registry.
    pub from_agent: Option<String>,
    /// Time to live in milliseconds, decimal text; absent from the original registry.
    pub ttl_ms: Option<String>,
    /// Expiry as the sender wrote it; absent from the original registry.
    pub expires_at: Option<String>,
}

impl HistoryMessage {
    /// The item's wire text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(self.payload.get().len() + 768);
        out.text("message_id", &self.message_id)
            .text("thread_id", &self.thread_id)
            .nullable_text("parent_message_id", self.parent_message_id.as_deref())
            .nullable_text("from_account_id", self.from_account_id.as_deref())
            .nullable_text("from_session_tag", self.from_session_tag.as_deref())
            .nullable_text("to_account_id", self.to_account_id.as_deref())
            .text("to_agent", &self.to_agent)
            .text("kind", &self.kind)
            .text("schema_version", &self.schema_version)
            .nullable_text("idempotency_key", self.idempotency_key.as_deref())
            .raw("payload", &ascii(self.payload.get()))
            .nullable_text("trace_id", self.trace_id.as_deref())
            .text("sent_at", &self.sent_at)
            .text("received_at", &self.received_at)
            .text("status", &self.status)
            .raw("metadata", &ascii(self.metadata.get()))
            .nullable_text("from_agent", self.from_agent.as_deref())
            .raw("ttl_ms", self.ttl_ms.as_deref().unwrap_or("null"))
            .nullable_text("expires_at", self.expires_at.as_deref());
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Self {
        let opt = |name| opt_owned(object.get(name));
        Self {
            message_id: owned(object.get("message_id")),
            thread_id: owned(object.get("thread_id")),
            parent_message_id: opt("parent_message_id"),
            from_account_id: opt("from_account_id"),
            from_session_tag: opt("from_session_tag"),
            to_account_id: opt("to_account_id"),
            to_agent: owned(object.get("to_agent")),
            kind: owned(object.get("kind")),
            schema_version: owned(object.get("schema_version")),
            idempotency_key: opt("idempotency_key"),
            payload: RawJson::validated(object.get("payload").raw().into()),
            trace_id: opt("trace_id"),
            sent_at: owned(object.get("sent_at")),
            received_at: owned(object.get("received_at")),
            status: owned(object.get("status")),
            metadata: object_or_empty(object.get("metadata")),
            from_agent: opt("from_agent"),
            ttl_ms: object.get("ttl_ms").int().ok().flatten().map(|ttl| ttl.to_string()),
            expires_at: opt("expires_at"),
        }
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

/// One page of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadMessagesReply {
    /// As asked, trimmed.
    pub thread_id: String,
    /// As used.
    pub limit: usize,
    /// As asked.
    pub cursor: Option<String>,
    /// Set when there is at least one more message.
    pub next_cursor: Option<String>,
    /// Newest first.
    pub messages: Vec<HistoryMessage>,
    /// When.
    pub generated_at: String,
}

impl Reply for ThreadMessagesReply {
    const MEMBERS: &'static [&'static str] = &["messages"];

    fn encode(&self) -> String {
        let mut out = ObjectWriter::new();
        out.text("thread_id", &self.thread_id)
            .int("limit", self.limit as u64)
            .nullable_text("cursor", self.cursor.as_deref())
            .nullable_text("next_cursor", self.next_cursor.as_deref())
            .raw("messages", &array(self.messages.iter().map(HistoryMessage::encode)))
            .text("generated_at", &self.generated_at);
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            thread_id: owned(object.get("thread_id")),
            limit: usize::try_from(count(object.get("limit"))).unwrap_or(0),
            cursor: opt_owned(object.get("cursor")),
            next_cursor: opt_owned(object.get("next_cursor")),
            messages: objects(object.get("messages"))
                .map(|message| HistoryMessage::decode(&message))
                .collect(),
            generated_at: owned(object.get("generated_at")),
        })
    }
}

/// The filters of a message search; all must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageSearchFilters {
    /// Exact message (an addition of ours, section 0.10).
    pub message_id: Option<String>,
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

/// One page of a message search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageSearchReply {
    /// As asked.
    pub filters: MessageSearchFilters,
    /// As used.
    pub limit: usize,
    /// As asked.
    pub cursor: Option<String>,
    /// Set when there is at least one more message.
    pub next_cursor: Option<String>,
    /// Newest first.
    pub messages: Vec<HistoryMessage>,
    /// When.
    pub generated_at: String,
}

impl Reply for MessageSearchReply {
    const MEMBERS: &'static [&'static str] = &["messages"];

    fn encode(&self) -> String {
        let filters = &self.filters;
        let mut inner = ObjectWriter::new();
        inner
            .opt_text("message_id", filters.message_id.as_deref())
            .nullable_text("thread_id", filters.thread_id.as_deref())
            .nullable_text("from_account_id", filters.from_account_id.as_deref())
            .nullable_text("to_account_id", filters.to_account_id.as_deref())
            .nullable_text("kind", filters.kind.as_deref())
            .nullable_text("from_ts", filters.from_ts.as_deref())
            .nullable_text("to_ts", filters.to_ts.as_deref());
        let mut out = ObjectWriter::new();
        out.raw("filters", &inner.finish())
            .int("limit", self.limit as u64)
            .nullable_text("cursor", self.cursor.as_deref())
            .nullable_text("next_cursor", self.next_cursor.as_deref())
            .raw("messages", &array(self.messages.iter().map(HistoryMessage::encode)))
            .text("generated_at", &self.generated_at);
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        let filters = object.get("filters").as_object();
        let filter = |name| filters.as_ref().and_then(|filters| opt_owned(filters.get(name)));
        Ok(Self {
            filters: MessageSearchFilters {
                message_id: filter("message_id"),
                thread_id: filter("thread_id"),
                from_account_id: filter("from_account_id"),
                to_account_id: filter("to_account_id"),
                kind: filter("kind"),
                from_ts: filter("from_ts"),
                to_ts: filter("to_ts"),
            },
            limit: usize::try_from(count(object.get("limit"))).unwrap_or(0),
            cursor: opt_owned(object.get("cursor")),
            next_cursor: opt_owned(object.get("next_cursor")),
            messages: objects(object.get("messages"))
                .map(|message| HistoryMessage::decode(&message))
                .collect(),
            generated_at: owned(object.get("generated_at")),
        })
    }
}
