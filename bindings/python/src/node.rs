//! The node's calls. Options are checked and defaulted by the Python face; here they go to the SDK's builders.

mod settings;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentnet::{AgentNode, BoxError, Message, Reply, Request, Send, Sent};
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyDict;
use tokio::sync::oneshot;

use crate::bridge::{Bridge, Call, Event, Mailbox, fresh_number, submit, submit_or_finish};
use crate::failure::Raise as _;
use crate::json;
use crate::message::AgentMessage;
use crate::options::{Options, apply};

/// How a target is given: the numbers that `agentnet._routes` uses.
pub(crate) enum Way {
    /// Text by the rules of the node's calls.
    Text,
    /// An account id.
    Account,
    /// A username.
    Username,
    /// A capability.
    Capability,
}

impl TryFrom<u8> for Way {
    type Error = PyErr;

    fn try_from(number: u8) -> PyResult<Self> {
        Ok(match number {
            0 => Self::Text,
            1 => Self::Account,
            2 => Self::Username,
            3 => Self::Capability,
            other => return Err(crate::failure::bug(format!("no way number {other}"))),
        })
    }
}

/// One agent on the network.
#[pyclass(frozen, weakref, module = "agentnet._native")]
pub(crate) struct Node {
    node: AgentNode,
    /// Where its handler is kept while it runs.
    runner: Mutex<Option<(Py<Bridge>, u64)>>,
}

impl Node {
    pub(crate) fn node(&self) -> &AgentNode {
        &self.node
    }

    fn forget_runner(&self) {
        let runner = self.runner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((bridge, number)) = runner {
            bridge.get().forget_runner(number);
        }
    }
}

/// The id of what was sent.
fn message_id<E: crate::failure::Raise>(py: Python<'_>, sent: Result<Sent, E>) -> PyResult<Py<PyAny>> {
    match sent {
        Ok(sent) => sent.message_id.into_py_any(py),
        Err(error) => Err(error.raise(py)),
    }
}

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

#[pymethods]
impl Node {
    #[new]
    fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let node = settings::builder(settings)?
            .build()
            .map_err(|error| error.raise(settings.py()))?;
        Ok(Self {
            node,
            runner: Mutex::default(),
        })
    }

    /// Joins the network. `runner` is a coroutine function of a message and a call's number.
    #[pyo3(signature = (runner))]
    fn start<'py>(&self, py: Python<'py>, runner: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(runner) = runner {
            let bridge = Bridge::current(py)?;
            let handler = bridge.get().keep_runner(runner);
            let mailbox = bridge.get().mailbox().clone();
            self.forget_runner();
            *self.runner.lock().unwrap_or_else(PoisonError::into_inner) = Some((bridge.unbind(), handler));
            self.node
                .on_message(move |message, context| hand_over(mailbox.clone(), handler, message, context));
        }
        let node = self.node.clone();
        submit(py, async move { node.start().await }, |py, started| match started {
            Ok(()) => Ok(py.None()),
            Err(error) => Err(error.raise(py)),
        })
    }

    /// Leaves the network.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let node = self.node.clone();
        submit(py, async move { node.close().await }, |py, ()| Ok(py.None()))
    }

    /// Lets go of the handler, once the node has left or did not start.
    fn release(&self) {
        self.forget_runner();
    }

    #[getter]
    fn account_id(&self) -> Option<String> {
        self.node.account_id()
    }

    #[getter]
    fn username(&self) -> Option<String> {
        self.node.username()
    }

    #[getter]
    fn session_tag(&self) -> Option<String> {
        self.node.session_tag()
    }

    /// What the node says of itself.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        read(py, self.node.info().encode())
    }

    fn metrics_snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        read(py, self.node.metrics_snapshot().to_json())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one place for all sends; the Python face names them"
    )]
    fn send<'py>(
        &self,
        py: Python<'py>,
        way: u8,
        to: String,
        payload: &Bound<'py, PyAny>,
        kind: Option<String>,
        ttl_ms: Option<i64>,
        trace_id: Option<String>,
        thread_id: Option<String>,
        parent_message_id: Option<String>,
        idempotency_key: Option<String>,
        acknowledged: bool,
        retry_attempts: Option<u32>,
        receipt_timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let payload = json::from_python(payload)?;
        let options = Options {
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        };
        let mut send: Send = match Way::try_from(way)? {
            Way::Text => self.node.send(to, payload),
            Way::Account => self.node.send_to_account(to, payload),
            Way::Username => self.node.send_to_username(to, payload),
            Way::Capability => self.node.send_to_capability(to, payload),
        };
        send = apply!(send, options);
        if let Some(attempts) = retry_attempts {
            send = send.retry_attempts(attempts);
        }
        if let Some(timeout) = receipt_timeout {
            send = send.receipt_timeout(seconds(timeout));
        }
        if !acknowledged {
            send = send.without_ack();
        }
        submit_or_finish(py, send.into_future(), message_id)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one place for all requests; the Python face names them"
    )]
    fn request<'py>(
        &self,
        py: Python<'py>,
        way: u8,
        to: String,
        payload: &Bound<'py, PyAny>,
        kind: Option<String>,
        ttl_ms: Option<i64>,
        trace_id: Option<String>,
        thread_id: Option<String>,
        parent_message_id: Option<String>,
        idempotency_key: Option<String>,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let payload = json::from_python(payload)?;
        let options = Options {
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        };
        let request: Request = match Way::try_from(way)? {
            Way::Text => self.node.request(to, payload),
            Way::Account => self.node.request_account(to, payload),
            Way::Username => self.node.request_username(to, payload),
            Way::Capability => self.node.request_capability(to, payload),
        };
        let request = apply!(request, options).timeout(seconds(timeout));
        submit_or_finish(py, request.into_future(), |py, reply| match reply {
            Ok(reply) => AgentMessage::received(reply, None).into_py_any(py),
            Err(error) => Err(error.raise(py)),
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the Python face names them")]
    fn reply<'py>(
        &self,
        py: Python<'py>,
        request: &AgentMessage,
        payload: &Bound<'py, PyAny>,
        kind: Option<String>,
        ttl_ms: Option<i64>,
        trace_id: Option<String>,
        thread_id: Option<String>,
        parent_message_id: Option<String>,
        idempotency_key: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options {
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        };
        let reply: Reply = self.node.reply(request.message(), json::from_python(payload)?);
        submit_or_finish(py, apply!(reply, options).into_future(), message_id)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.runner.try_lock() {
            Ok(runner) => visit.call(runner.as_ref().map(|(bridge, _)| bridge)),
            // Another thread has it; then nothing is collected this time.
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.forget_runner();
    }

    /// The account behind a username.
    fn resolve<'py>(&self, py: Python<'py>, username: String) -> PyResult<Bound<'py, PyAny>> {
        let node = self.node.clone();
        let resolved = async move { node.resolve_username(&username).await };
        submit(py, resolved, |py, resolved| match resolved {
            Ok(account_id) => account_id.into_py_any(py),
            Err(error) => Err(error.raise(py)),
        })
    }
}

fn read<'py>(py: Python<'py>, text: String) -> PyResult<Bound<'py, PyAny>> {
    json::to_python(py, &agentnet::RawJson::parse(text).map_err(crate::failure::bug)?)
}

/// Tells the loop that nobody waits for a call any more, unless it has answered.
struct Waits {
    mailbox: Arc<Mailbox>,
    number: u64,
    answered: bool,
}

impl Drop for Waits {
    fn drop(&mut self) {
        if !self.answered {
            self.mailbox.post(Event::Cancel(self.number));
        }
    }
}

const LOOP_GONE: &str = "the event loop that the node was started on is closed";

/// Hands a message to the loop and waits until it was handled.
async fn hand_over(
    mailbox: Arc<Mailbox>,
    handler: u64,
    message: Message,
    context: agentnet::Context,
) -> Result<(), BoxError> {
    let wants_reply = message.wants_reply();
    let number = fresh_number();
    let (answer, answered) = oneshot::channel();
    let call = Call {
        number,
        handler,
        message,
        context,
        answer,
    };
    // In the order in which they came.
    if !mailbox.add(Event::Call(Box::new(call))) {
        return Err(LOOP_GONE.into());
    }
    let mut waits = Waits {
        mailbox,
        number,
        answered: false,
    };
    if !wants_reply {
        // Whoever sent it waits for the receipt, which goes out before the loop is woken up.
        tokio::task::yield_now().await;
    }
    waits.mailbox.ring();
    let outcome = answered.await;
    waits.answered = true;
    match outcome {
        Ok(outcome) => outcome.map_err(BoxError::from),
        Err(_) => Err(LOOP_GONE.into()),
    }
}
