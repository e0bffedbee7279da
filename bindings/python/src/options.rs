//! What every outgoing message may be told, from Python's keyword arguments.

use crate::text::Words;

/// Options of a send, a request, a reply or a stream, in the order in which Python passes them.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) kind: Option<Words>,
    pub(crate) ttl_ms: Option<i64>,
    pub(crate) trace_id: Option<Words>,
    pub(crate) thread_id: Option<Words>,
    pub(crate) parent_message_id: Option<Words>,
    pub(crate) idempotency_key: Option<Words>,
}

/// Passes the options on to one of the SDK's builders, which share the methods but no trait.
macro_rules! apply {
    ($builder:expr, $options:expr) => {{
        let (mut builder, options) = ($builder, $options);
        if let Some(kind) = options.kind {
            builder = builder.kind(kind.0);
        }
        if let Some(ttl_ms) = options.ttl_ms {
            builder = builder.ttl_ms(ttl_ms);
        }
        if let Some(trace_id) = options.trace_id {
            builder = builder.trace(trace_id.0);
        }
        if let Some(thread_id) = options.thread_id {
            builder = builder.thread(thread_id.0);
        }
        if let Some(parent_message_id) = options.parent_message_id {
            builder = builder.parent(parent_message_id.0);
        }
        if let Some(key) = options.idempotency_key {
            builder = builder.idempotency_key(key.0);
        }
        builder
    }};
}
pub(crate) use apply;
