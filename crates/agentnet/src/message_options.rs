//! The options of outgoing messages: the builder methods that sends, requests and replies share.

use std::time::Duration;

use agentnet_protocol::compose::Draft;
use agentnet_protocol::{RawJson, Text};
use serde::Serialize;

use crate::error::SendError;

/// The longest lifetime that a request gets from its timeout: receivers remember message ids for so long, and one that lives longer
/// can be replayed.
const MAX_TIMEOUT_TTL_MS: i64 = 600_000;

/// What can be a payload: a JSON value, exact JSON text ([`RawJson`]), or a text.
pub trait IntoPayload {
    /// The payload's JSON.
    ///
    /// # Errors
    /// [`SendError::Payload`] where it cannot be written as JSON.
    fn into_payload(self) -> Result<RawJson, SendError>;
}

impl IntoPayload for RawJson {
    fn into_payload(self) -> Result<RawJson, SendError> {
        Ok(self)
    }
}

impl IntoPayload for &RawJson {
    fn into_payload(self) -> Result<RawJson, SendError> {
        Ok(self.clone())
    }
}

impl IntoPayload for serde_json::Value {
    fn into_payload(self) -> Result<RawJson, SendError> {
        Ok(RawJson::from(self))
    }
}

impl IntoPayload for &serde_json::Value {
    fn into_payload(self) -> Result<RawJson, SendError> {
        Ok(RawJson::from(self))
    }
}

impl IntoPayload for &str {
    fn into_payload(self) -> Result<RawJson, SendError> {
        serialised(self)
    }
}

impl IntoPayload for String {
    fn into_payload(self) -> Result<RawJson, SendError> {
        serialised(&self)
    }
}

fn serialised<T: Serialize + ?Sized>(value: &T) -> Result<RawJson, SendError> {
    RawJson::from_serialize(value).map_err(|error| SendError::Payload(error.to_string()))
}

/// The options of a message that has not been composed yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct MessageOptions {
    pub(crate) kind: Option<String>,
    pub(crate) ttl_ms: Option<i64>,
    /// The default lifetime is at least this.
    min_default_ttl_ms: i64,
    pub(crate) trace_id: Option<String>,
    pub(crate) thread_id: Option<String>,
    pub(crate) parent_message_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

impl MessageOptions {
    /// The options of a request. Unless it names a lifetime, it lives as long as its reply is waited for: a receiver that takes it
    /// late must not take it for one whose requester has given up.
    pub(crate) fn waited_for(mut self, timeout: Duration) -> Self {
        let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        self.min_default_ttl_ms = timeout_ms.min(MAX_TIMEOUT_TTL_MS);
        self
    }

    pub(crate) fn draft(self, payload: RawJson, default_kind: &'static str, default_ttl_ms: i64) -> Draft {
        Draft {
            payload,
            kind: self
                .kind
                .filter(|kind| !kind.is_empty())
                .map_or(Text::from_static(default_kind), Text::from),
            ttl_ms: Some(self.ttl_ms.unwrap_or(default_ttl_ms.max(self.min_default_ttl_ms))),
            trace_id: self.trace_id.map(Text::from),
            thread_id: self.thread_id.map(Text::from),
            parent_message_id: self.parent_message_id.map(Text::from),
            idempotency_key: self.idempotency_key.map(Text::from),
            ..Draft::default()
        }
    }
}

/// The builder methods over a field of type [`Options`], `options` unless named.
macro_rules! message_options {
    () => {
        $crate::message_options::message_options!(options);
    };
    ($($options:tt).+) => {
        /// Puts the message into this thread instead of one of its own.
        pub fn thread(mut self, thread_id: impl Into<String>) -> Self {
            self.$($options).+.thread_id = Some(thread_id.into());
            self
        }

        /// Names the message that this one follows.
        pub fn parent(mut self, message_id: impl Into<String>) -> Self {
            self.$($options).+.parent_message_id = Some(message_id.into());
            self
        }

        /// Correlates the message with others. Default: its own id.
        pub fn trace(mut self, trace_id: impl Into<String>) -> Self {
            self.$($options).+.trace_id = Some(trace_id.into());
            self
        }

        /// Marks the logical operation, so that the receiver handles it once. A blank key is none.
        pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
            self.$($options).+.idempotency_key = Some(key.into());
            self
        }

        /// Time to live in milliseconds, at least 1. Default: [`Limits::default_ttl_ms`](crate::Limits::default_ttl_ms); of a request
        /// its timeout, if that is longer, at most 600,000.
        pub fn ttl_ms(mut self, ttl_ms: i64) -> Self {
            self.$($options).+.ttl_ms = Some(ttl_ms);
            self
        }

        /// Kind of message, any text.
        pub fn kind(mut self, kind: impl Into<String>) -> Self {
            self.$($options).+.kind = Some(kind.into());
            self
        }
    };
}
pub(crate) use message_options;
