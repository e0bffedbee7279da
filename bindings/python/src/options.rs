//! Targets, times and options of outgoing messages, from the arguments that the Python part passes.

use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

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

/// Options of a send, a request, a reply or a stream. The Python part passes all but the kind in one dict, whose keys are
/// those of `SendOptions` in `agentnet._options`; an option that is missing keeps the SDK's default.
pub(crate) struct Options {
    pub(crate) kind: Option<TextArgument>,
    pub(crate) ttl_ms: Option<i64>,
    pub(crate) trace_id: Option<TextArgument>,
    pub(crate) thread_id: Option<TextArgument>,
    pub(crate) parent_message_id: Option<TextArgument>,
    pub(crate) idempotency_key: Option<TextArgument>,
    pub(crate) require_delivery_ack: bool,
    pub(crate) retry_attempts: Option<u32>,
    pub(crate) receipt_timeout: Option<f64>,
}

impl Options {
    /// Reads the dict.
    pub(crate) fn read(kind: Option<TextArgument>, given: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut options = Self {
            kind,
            ttl_ms: None,
            trace_id: None,
            thread_id: None,
            parent_message_id: None,
            idempotency_key: None,
            require_delivery_ack: true,
            retry_attempts: None,
            receipt_timeout: None,
        };
        for (name, value) in given.iter() {
            let name = name.cast::<PyString>()?.to_str()?;
            if let Err(error) = options.set(name, &value) {
                return Err(noted(given.py(), name, error));
            }
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match name {
            "ttl_ms" => self.ttl_ms = value.extract()?,
            "trace_id" => self.trace_id = value.extract()?,
            "thread_id" => self.thread_id = value.extract()?,
            "parent_message_id" => self.parent_message_id = value.extract()?,
            "idempotency_key" => self.idempotency_key = value.extract()?,
            "require_delivery_ack" => self.require_delivery_ack = value.extract()?,
            "retry_attempts" => self.retry_attempts = value.extract()?,
            "receipt_timeout" => self.receipt_timeout = value.extract()?,
            other => return Err(bug(format!("no option {other}"))),
        }
        Ok(())
    }
}

/// Names the option in an error, as PyO3 names the argument that it cannot read.
pub(crate) fn noted(py: Python<'_>, name: &str, error: PyErr) -> PyErr {
    let note = format!("while processing '{name}'");
    // Exceptions have notes from Python 3.11 on.
    let _ = error.value(py).call_method1(intern!(py, "add_note"), (note,));
    error
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
