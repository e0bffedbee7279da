//! The node's calls. The Python part checks options and sets defaults; here they go to the SDK's builders.

mod dispatch;
mod mailbox_calls;
mod settings;

use std::sync::Arc;

use agentnet::{AgentNode, Reply, Request, SendMessage, Sent};
use parking_lot::Mutex;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyDict;

use self::mailbox_calls::MailboxArgument;
use crate::attach::current_bridge;
use crate::bridge::Bridge;
use crate::calls::{submit, submit_or_finish};
use crate::exceptions::{Raise, exception};
use crate::json;
use crate::message::AgentMessage;
use crate::options::{Options, TargetKind, apply, duration};
use crate::running_node::RunningNode;
use crate::text::TextArgument;

/// One agent on the network.
#[pyclass(frozen, weakref, module = "agentnet._native")]
pub(crate) struct Node {
    running: Arc<RunningNode>,
    home: Mutex<Option<Home>>,
}

/// The loop that a node was started on, which keeps it while it runs, and its handlers there.
struct Home {
    bridge: Py<Bridge>,
    node: u64,
    /// Of messages, and of tasks.
    runners: Vec<u64>,
}

impl Node {
    pub(crate) fn node(&self) -> &AgentNode {
        &self.running.node
    }

    /// The node, for calls that need it to run.
    pub(crate) fn present(&self, py: Python<'_>) -> PyResult<&AgentNode> {
        if self.has_left() {
            let text = "the event loop that the node was started on has ended, and the node has left the network: start it again";
            return Err(exception(py, "AgentNetError", text, &[]));
        }
        Ok(self.node())
    }

    /// A message to a target.
    fn message(
        &self,
        py: Python<'_>,
        target_kind: u8,
        to: TextArgument,
        payload: &Bound<'_, PyAny>,
    ) -> PyResult<SendMessage> {
        let payload = json::from_python(payload)?;
        let node = self.present(py)?;
        Ok(match TargetKind::try_from(target_kind)? {
            TargetKind::Text => node.send(to.0, payload),
            TargetKind::Account => node.send_to_account(to.0, payload),
            TargetKind::Username => node.send_to_username(to.0, payload),
            TargetKind::Capability => node.send_to_capability(to.0, payload),
        })
    }

    fn leave_home(&self) {
        let home = self.home.lock().take();
        if let Some(home) = home {
            let bridge = home.bridge.get();
            for runner in home.runners {
                bridge.handlers().remove_runner(runner);
            }
            bridge.remove_node(home.node);
        }
    }
}

/// The id of the message that was sent.
fn message_id<E: Raise>(py: Python<'_>, sent: Result<Sent, E>) -> PyResult<Py<PyAny>> {
    match sent {
        Ok(sent) => sent.message_id.into_py_any(py),
        Err(error) => Err(error.raise(py)),
    }
}

#[pymethods]
impl Node {
    #[new]
    fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let node = settings::builder(settings)?
            .build()
            .map_err(|error| error.raise(settings.py()))?;
        Ok(Self {
            running: Arc::new(RunningNode::new(node)),
            home: Mutex::default(),
        })
    }

    /// Joins the network. `runner` is a coroutine function of a message and the id of its handler call, `task_runner` one of a
    /// task with its context and that id.
    #[pyo3(signature = (runner, task_runner))]
    fn start<'py>(
        slf: &Bound<'py, Self>,
        runner: Option<Py<PyAny>>,
        task_runner: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let bridge = current_bridge(py)?;
        this.leave_home();
        this.running.return_to_network();
        let (handlers, mailbox) = (bridge.get().handlers(), bridge.get().mailbox());
        let mut runners = Vec::new();
        if let Some(runner) = runner {
            let (mailbox, handler) = (mailbox.clone(), handlers.add_runner(runner));
            this.node()
                .on_message(move |message, context| dispatch::dispatch(mailbox.clone(), handler, message, context));
            runners.push(handler);
        }
        if let Some(runner) = task_runner {
            let (mailbox, handler) = (mailbox.clone(), handlers.add_runner(runner));
            this.node()
                .on_task(move |work, context| dispatch::dispatch_task(mailbox.clone(), handler, work, context));
            runners.push(handler);
        }
        let node = bridge
            .get()
            .add_node(slf.clone().into_any().unbind(), this.running.clone());
        *this.home.lock() = Some(Home {
            bridge: bridge.unbind(),
            node,
            runners,
        });
        let node = this.node().clone();
        submit(py, async move { node.start().await }, |py, started| match started {
            Ok(()) => Ok(py.None()),
            Err(error) => Err(error.raise(py)),
        })
    }

    /// Whether the loop that it was started on has ended: then it has left or is leaving.
    #[getter]
    fn has_left(&self) -> bool {
        self.running.has_left()
    }

    /// Leaves the network.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let node = self.node().clone();
        submit(py, async move { node.close().await }, |py, ()| Ok(py.None()))
    }

    /// Releases the handler and the node, after the node has left or failed to start.
    fn release(&self) {
        self.leave_home();
    }

    #[getter]
    fn account_id(&self) -> Option<String> {
        self.node().account_id()
    }

    #[getter]
    fn username(&self) -> Option<String> {
        self.node().username()
    }

    #[getter]
    fn session_tag(&self) -> Option<String> {
        self.node().session_tag()
    }

    /// The node's own record.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::written(py, self.node().info().encode())
    }

    fn metrics_snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::written(py, self.node().metrics_snapshot().to_json())
    }

    fn send<'py>(
        &self,
        py: Python<'py>,
        target_kind: u8,
        to: TextArgument,
        payload: &Bound<'py, PyAny>,
        kind: Option<TextArgument>,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options::read(kind, options)?;
        let Options {
            require_delivery_ack,
            retry_attempts,
            receipt_timeout,
            ..
        } = options;
        let mut send = apply!(self.message(py, target_kind, to, payload)?, options);
        if let Some(attempts) = retry_attempts {
            send = send.retry_attempts(attempts);
        }
        if let Some(timeout) = receipt_timeout {
            send = send.receipt_timeout(duration(timeout));
        }
        if !require_delivery_ack {
            send = send.without_ack();
        }
        submit_or_finish(py, send.into_future(), mailbox_calls::sent)
    }

    /// A send whose message the registry keeps if the receiver is offline.
    #[expect(clippy::too_many_arguments, reason = "one more than a send: how the message is kept")]
    fn send_mailbox<'py>(
        &self,
        py: Python<'py>,
        target_kind: u8,
        to: TextArgument,
        payload: &Bound<'py, PyAny>,
        kind: Option<TextArgument>,
        mailbox: MailboxArgument,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options::read(kind, options)?;
        let receipt_timeout = options.receipt_timeout;
        let send = apply!(self.message(py, target_kind, to, payload)?, options);
        let send = mailbox.apply(send, receipt_timeout);
        submit_or_finish(py, send.into_future(), mailbox_calls::mailbox_sent)
    }

    /// Delivers messages of the own mailbox again, or deletes them. The result is their number.
    fn mailbox_action<'py>(
        &self,
        py: Python<'py>,
        action: &str,
        message_ids: Vec<String>,
        state: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (action, state) = mailbox_calls::action(action, state)?;
        let node = self.present(py)?.clone();
        let changed = async move { node.mailbox_action(action, message_ids, state).await };
        submit(py, changed, |py, changed| match changed {
            Ok(reply) => reply.changed.into_py_any(py),
            Err(error) => Err(error.raise(py)),
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one more than a send: the timeout, which every request has"
    )]
    fn request<'py>(
        &self,
        py: Python<'py>,
        target_kind: u8,
        to: TextArgument,
        payload: &Bound<'py, PyAny>,
        kind: Option<TextArgument>,
        timeout: f64,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options::read(kind, options)?;
        let payload = json::from_python(payload)?;
        let node = self.present(py)?;
        let request: Request = match TargetKind::try_from(target_kind)? {
            TargetKind::Text => node.request(to.0, payload),
            TargetKind::Account => node.request_account(to.0, payload),
            TargetKind::Username => node.request_username(to.0, payload),
            TargetKind::Capability => node.request_capability(to.0, payload),
        };
        let request = apply!(request, options).timeout(duration(timeout));
        submit_or_finish(py, request.into_future(), |py, reply| match reply {
            Ok(reply) => AgentMessage::received(reply, None).into_py_any(py),
            Err(error) => Err(error.raise(py)),
        })
    }

    fn reply<'py>(
        &self,
        py: Python<'py>,
        request: &AgentMessage,
        payload: &Bound<'py, PyAny>,
        kind: Option<TextArgument>,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options::read(kind, options)?;
        let reply: Reply = self.present(py)?.reply(request.message(), json::from_python(payload)?);
        submit_or_finish(py, apply!(reply, options).into_future(), message_id)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.home.try_lock() {
            Some(home) => visit.call(home.as_ref().map(|home| &home.bridge)),
            // Another thread holds the lock; then nothing is collected this time.
            None => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.leave_home();
    }

    /// The account of a username.
    fn resolve<'py>(&self, py: Python<'py>, username: String) -> PyResult<Bound<'py, PyAny>> {
        let node = self.present(py)?.clone();
        let resolved = async move { node.resolve_username(&username).await };
        submit(py, resolved, |py, resolved| match resolved {
            Ok(account_id) => account_id.into_py_any(py),
            Err(error) => Err(error.raise(py)),
        })
    }
}
