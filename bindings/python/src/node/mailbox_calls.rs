//! Mailboxes (PROTOCOL.md section 21): what a send returns, and changing the mailbox of the own account.

use std::time::Duration;

use agentnet::protocol::mailbox::{DEFAULT_LIFETIME_MS, MailboxAction, MailboxState};
use agentnet::{MailboxDelivery, MailboxSend, MailboxSent, SendError, SendMessage, Sent, Until};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::exceptions::Raise as _;
use crate::options::duration;

/// How the registry keeps a message if the receiver is offline: `Mailbox` of `agentnet._mailbox_option`. Times are in seconds.
#[derive(FromPyObject)]
pub(super) struct MailboxArgument(
    /// How long the message is kept.
    Option<f64>,
    /// Whether the message counts as delivered only when it is processed.
    bool,
    /// How long to wait until it is processed.
    Option<f64>,
);

impl MailboxArgument {
    /// The send with these options.
    pub(super) fn apply(self, send: SendMessage, receipt_timeout: Option<f64>) -> MailboxSend {
        let Self(lifetime, processed, timeout) = self;
        let default = Duration::from_millis(DEFAULT_LIFETIME_MS.unsigned_abs());
        let mut send = send.mailbox(lifetime.map_or(default, duration));
        if let Some(timeout) = receipt_timeout {
            send = send.receipt_timeout(duration(timeout));
        }
        if let Some(timeout) = timeout {
            send = send.processing_timeout(duration(timeout));
        }
        if processed { send.until(Until::Processed) } else { send }
    }
}

/// What a send returns that does not ask for the mailbox.
pub(super) fn sent(py: Python<'_>, sent: Result<Sent, SendError>) -> PyResult<Py<PyAny>> {
    match sent {
        Ok(sent) => Ok(sent_message(py, &sent.message_id)?.unbind()),
        Err(error) => Err(error.raise(py)),
    }
}

/// What a send returns that asks for the mailbox.
pub(super) fn mailbox_sent(py: Python<'_>, sent: Result<MailboxSent, SendError>) -> PyResult<Py<PyAny>> {
    let MailboxSent { sent, delivery, .. } = sent.map_err(|error| error.raise(py))?;
    let message = sent_message(py, &sent.message_id)?;
    if let MailboxDelivery::Queued { detail } = delivery {
        message.setattr(intern!(py, "queued"), true)?;
        message.setattr(intern!(py, "detail"), detail)?;
    }
    Ok(message.unbind())
}

/// The id of a message as an `agentnet.mailbox.SentMessage`.
fn sent_message<'py>(py: Python<'py>, message_id: &str) -> PyResult<Bound<'py, PyAny>> {
    static SENT_MESSAGE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    SENT_MESSAGE
        .import(py, "agentnet.mailbox", "SentMessage")?
        .call1((message_id,))
}

/// An action and a state by their names on the wire.
pub(super) fn action(action: &str, state: Option<&str>) -> PyResult<(MailboxAction, Option<MailboxState>)> {
    let action = action
        .parse()
        .map_err(|_| PyValueError::new_err("action must be requeue or drop"))?;
    let state = state
        .map(str::parse)
        .transpose()
        .map_err(|_| PyValueError::new_err("state must be queued, leased, dead or done"))?;
    Ok((action, state))
}
