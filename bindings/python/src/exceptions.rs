//! The SDK's errors as the package's exceptions (`agentnet.errors`).

use agentnet::{
    BlobError, ConfigError, ConnectError, RegistryError, RequestError, ResolveError, SendError, StartError,
    StreamError, TaskError,
};
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// An exception of `agentnet.errors` with a text and attributes.
pub(crate) fn exception(py: Python<'_>, class: &str, text: &str, details: &[(&str, &str)]) -> PyErr {
    let made = (|| {
        let exception = py.import("agentnet.errors")?.getattr(class)?.call1((text,))?;
        for (name, value) in details {
            exception.setattr(*name, *value)?;
        }
        Ok::<_, PyErr>(exception)
    })();
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// An error that becomes a Python exception.
pub(crate) trait Raise: std::fmt::Display {
    /// Converts the error to its Python exception.
    fn raise(&self, py: Python<'_>) -> PyErr;
}

impl Raise for ConfigError {
    fn raise(&self, _py: Python<'_>) -> PyErr {
        PyValueError::new_err(self.to_string())
    }
}

impl Raise for ConnectError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        exception(py, "ConnectError", &self.to_string(), &[])
    }
}

impl Raise for RegistryError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::NoRegistry { .. } => exception(py, "NoRegistryError", &self.to_string(), &[]),
            // The text of PROTOCOL.md section 17.
            Self::Timeout { rpc, .. } => {
                let text = format!("Registry did not respond to registry.{rpc}");
                exception(py, "RegistryTimeoutError", &text, &[])
            }
            Self::Refused(_) => exception(py, "RegistryRefusedError", &self.to_string(), &[]),
            Self::Invalid { .. } | Self::Endless { .. } => {
                exception(py, "RegistryProtocolError", &self.to_string(), &[])
            }
            _ => exception(py, "RegistryError", &self.to_string(), &[]),
        }
    }
}

impl Raise for StartError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::Config(error) => error.raise(py),
            Self::Connect(error) => error.raise(py),
            Self::Register(_) => exception(py, "RegistryError", &self.to_string(), &[]),
            _ => exception(py, "AgentNetError", &self.to_string(), &[]),
        }
    }
}

impl Raise for ResolveError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        exception(py, "RegistryError", &self.to_string(), &[])
    }
}

impl Raise for SendError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        let text = self.to_string();
        match self {
            Self::Target(_) | Self::Unroutable(_) | Self::TooLarge { .. } | Self::Payload(_) => {
                PyValueError::new_err(text)
            }
            Self::Resolve(error) => error.raise(py),
            Self::NoReplySubject => exception(py, "NoReplySubjectError", &text, &[]),
            Self::Rejected {
                code,
                detail,
                message_id,
            }
            | Self::NotProcessed {
                code,
                detail,
                message_id,
            } => exception(
                py,
                "DeliveryRejectedError",
                &text,
                &[("code", code), ("detail", detail), ("message_id", message_id)],
            ),
            Self::Mailbox {
                code,
                detail,
                message_id,
            } => exception(
                py,
                "MailboxError",
                &text,
                &[("code", code), ("detail", detail), ("message_id", message_id)],
            ),
            Self::AckTimeout { message_id, .. } | Self::ProcessingTimeout { message_id, .. } => {
                exception(py, "DeliveryTimeoutError", &text, &[("message_id", message_id)])
            }
            Self::AckUnusable { message_id, .. } => {
                exception(py, "DeliveryUnusableError", &text, &[("message_id", message_id)])
            }
            _ => exception(py, "AgentNetError", &text, &[]),
        }
    }
}

impl Raise for RequestError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        let text = self.to_string();
        match self {
            Self::Send(error) => error.raise(py),
            Self::NoResponders { .. } => exception(py, "NoRespondersError", &text, &[]),
            Self::Timeout { message_id, .. } | Self::Untrusted { message_id, .. } => {
                exception(py, "RequestTimeoutError", &text, &[("message_id", message_id)])
            }
            _ => exception(py, "AgentNetError", &text, &[]),
        }
    }
}

impl Raise for StreamError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        let text = self.to_string();
        match self {
            Self::Send(error) => error.raise(py),
            Self::NoResponders { .. } => exception(py, "NoRespondersError", &text, &[]),
            Self::Timeout { message_id, .. } => {
                exception(py, "RequestTimeoutError", &text, &[("message_id", message_id)])
            }
            // The error that the sender of the stream reported, by its code, as for an error reply.
            Self::Failed { code, detail } => made(py, "request_error", (code, detail)),
            Self::Cancelled => exception(py, "StreamCancelledError", &text, &[]),
            _ => exception(py, "StreamError", &text, &[]),
        }
    }
}

/// The exception that a function of `agentnet.errors` makes.
fn made<'py>(py: Python<'py>, function: &str, arguments: impl PyCallArgs<'py>) -> PyErr {
    let made = (|| {
        let errors = py.import("agentnet.errors")?;
        errors.getattr(function)?.call1(arguments)
    })();
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

impl Raise for TaskError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        let text = self.to_string();
        match self {
            Self::Refused { .. } | Self::LeaseLost { .. } | Self::Unsupported => made(py, "task_error", (text,)),
            Self::Invalid(_) => PyValueError::new_err(text),
            Self::Send(error) => error.raise(py),
            Self::Registry(error) => error.raise(py),
            _ => exception(py, "AgentNetError", &text, &[]),
        }
    }
}

impl Raise for BlobError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        let class = match self {
            Self::NotFound { .. } => "BlobNotFoundError",
            _ => "BlobError",
        };
        exception(py, class, &self.to_string(), &[])
    }
}

/// An error that only a bug can cause.
pub(crate) fn bug(text: impl std::fmt::Display) -> PyErr {
    PyRuntimeError::new_err(text.to_string())
}
