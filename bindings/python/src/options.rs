//! Targets, times and options of outgoing messages, from the arguments that the Python part passes.

use std::time::Duration;

use pyo3::prelude::*;

use crate::exceptions::bug;
use crate::text::TextArgument;

/// How a target is given: the numbers of `agentnet._targets`.
pub(crate) enum TargetKind {
    /// Text in any form that the node's calls take.
    Text,
    /// An account id.
    Account,
    /// A username, which the registry resolves to an account.
    Username,
    /// A capability: any one agent that has it.
    Capability,
}

impl TryFrom<u8> for TargetKind {
    type Error = PyErr;

    fn try_from(number: u8) -> PyResult<Self> {
        Ok(match number {
            0 => Self::Text,
            1 => Self::Account,
            2 => Self::Username,
            3 => Self::Capability,
            other => return Err(bug(format!("no target kind {other}"))),
        })
    }
}

/// The duration that stands for no limit: eight years, so that no sum of times overflows.
const UNLIMITED: Duration = Duration::from_secs(1 << 28);

/// Seconds of Python as a duration.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).map_or(UNLIMITED, |time| time.min(UNLIMITED))
}

/// Options of a send, a request, a reply or a stream, in the order in which Python passes them.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) kind: Option<TextArgument>,
    pub(crate) ttl_ms: Option<i64>,
    pub(crate) trace_id: Option<TextArgument>,
    pub(crate) thread_id: Option<TextArgument>,
    pub(crate) parent_message_id: Option<TextArgument>,
    pub(crate) idempotency_key: Option<TextArgument>,
}

/// Passes the options to one of the SDK's builders, which share the methods but no trait.
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
