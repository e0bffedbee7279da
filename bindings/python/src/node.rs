//! The node's calls. Options are checked and defaulted by the Python face; here they go to the SDK's builders.

mod settings;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentnet::{AgentNode, BoxError, Message, Reply, Request, SendMessage, Sent};
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyDict;
use tokio::sync::oneshot;

use crate::bridge::{Bridge, Call, Event, Mailbox, fresh_number, submit, submit_or_finish};
use crate::failure::{Raise as _, exception};
use crate::json;
use crate::message::AgentMessage;
use crate::options::{Options, apply};
use crate::runtime::Network;
use crate::text::Words;

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
    home: Mutex<Option<Home>>,
    /// The loop that it was started on has ended, and it has left or is leaving.
    left: AtomicBool,
}

/// Where a node was started: what keeps it while it runs, and its handler.
struct Home {
    bridge: Py<Bridge>,
    node: u64,
    runner: Option<u64>,
}

const LOOP_GONE: &str = "the event loop that the node was started on is closed";

impl Node {
    pub(crate) fn node(&self) -> &AgentNode {
        &self.node
    }

    /// The node, for calls that need it to run.
    pub(crate) fn present(&self, py: Python<'_>) -> PyResult<&AgentNode> {
        if self.has_left() {
            let text = "the event loop that the node was started on has ended, and the node has left the network: start it again";
            return Err(exception(py, "AgentNetError", text, &[]));
        }
        Ok(&self.node)
    }

    fn leave_home(&self) {
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(home) = home {
            let bridge = home.bridge.get();
            if let Some(runner) = home.runner {
                bridge.forget_runner(runner);
            }
            bridge.forget_node(home.node);
        }
    }

    /// Leaves the network, because the loop that it was started on is gone.
    pub(crate) fn leave(&self, network: &Network) {
        self.left.store(true, Ordering::Release);
        let node = self.node.clone();
        tracing::warn!(
            target: "agentnet::node",
            agent_id = node.info().agent_id,
            "the event loop that the node was started on has ended: it leaves the network (close it before the loop ends)"
        );
        let leaving = Leaving::begin();
        network.spawn(async move {
            node.close().await;
            drop(leaving);
        });
    }
}

/// How many nodes are leaving by themselves.
static LEAVING: Mutex<usize> = Mutex::new(0);
static ALL_LEFT: Condvar = Condvar::new();

/// One of them.
struct Leaving;

impl Leaving {
    fn begin() -> Self {
        *LEAVING.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        *LEAVING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ALL_LEFT.notify_all();
    }
}

/// Waits for the nodes that leave by themselves, at most so many seconds: the process ends.
#[pyfunction]
pub(crate) fn wait_for_leaving(py: Python<'_>, seconds: f64) {
    let time = self::seconds(seconds);
    py.detach(|| {
        let end = Instant::now() + time;
        let mut leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
        while *leaving > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            leaving = ALL_LEFT
                .wait_timeout(leaving, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    });
}

/// The id of what was sent.
fn message_id<E: crate::failure::Raise>(py: Python<'_>, sent: Result<Sent, E>) -> PyResult<Py<PyAny>> {
    match sent {
        Ok(sent) => sent.message_id.into_py_any(py),
        Err(error) => Err(error.raise(py)),
    }
}

/// What stands for no limit: eight years, so that no sum of times overflows.
const NO_LIMIT: Duration = Duration::from_secs(1 << 28);

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).map_or(NO_LIMIT, |time| time.min(NO_LIMIT))
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
            home: Mutex::default(),
            left: AtomicBool::new(false),
        })
    }

    /// Joins the network. `runner` is a coroutine function of a message and a call's number.
    #[pyo3(signature = (runner))]
    fn start<'py>(slf: &Bound<'py, Self>, runner: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let bridge = Bridge::current(py)?;
        this.leave_home();
        this.left.store(false, Ordering::Release);
        let runner = runner.map(|runner| {
            let handler = bridge.get().keep_runner(runner);
            let mailbox = bridge.get().mailbox().clone();
            this.node
                .on_message(move |message, context| hand_over(mailbox.clone(), handler, message, context));
            handler
        });
        let node = bridge.get().keep_node(slf.clone().unbind());
        *this.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(Home {
            bridge: bridge.unbind(),
            node,
            runner,
        });
        let node = this.node.clone();
        submit(py, async move { node.start().await }, |py, started| match started {
            Ok(()) => Ok(py.None()),
            Err(error) => Err(error.raise(py)),
        })
    }

    /// Whether the loop that it was started on has ended, so that it has left or is leaving.
    #[getter]
    fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Leaves the network.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let node = self.node.clone();
        submit(py, async move { node.close().await }, |py, ()| Ok(py.None()))
    }

    /// Lets go of the handler and of the node, once that has left or did not start.
    fn release(&self) {
        self.leave_home();
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
        to: Words,
        payload: &Bound<'py, PyAny>,
        kind: Option<Words>,
        ttl_ms: Option<i64>,
        trace_id: Option<Words>,
        thread_id: Option<Words>,
        parent_message_id: Option<Words>,
        idempotency_key: Option<Words>,
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
        let node = self.present(py)?;
        let mut send: SendMessage = match Way::try_from(way)? {
            Way::Text => node.send(to.0, payload),
            Way::Account => node.send_to_account(to.0, payload),
            Way::Username => node.send_to_username(to.0, payload),
            Way::Capability => node.send_to_capability(to.0, payload),
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
        to: Words,
        payload: &Bound<'py, PyAny>,
        kind: Option<Words>,
        ttl_ms: Option<i64>,
        trace_id: Option<Words>,
        thread_id: Option<Words>,
        parent_message_id: Option<Words>,
        idempotency_key: Option<Words>,
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
        let node = self.present(py)?;
        let request: Request = match Way::try_from(way)? {
            Way::Text => node.request(to.0, payload),
            Way::Account => node.request_account(to.0, payload),
            Way::Username => node.request_username(to.0, payload),
            Way::Capability => node.request_capability(to.0, payload),
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
        kind: Option<Words>,
        ttl_ms: Option<i64>,
        trace_id: Option<Words>,
        thread_id: Option<Words>,
        parent_message_id: Option<Words>,
        idempotency_key: Option<Words>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options {
            kind,
            ttl_ms,
            trace_id,
            thread_id,
            parent_message_id,
            idempotency_key,
        };
        let reply: Reply = self.present(py)?.reply(request.message(), json::from_python(payload)?);
        submit_or_finish(py, apply!(reply, options).into_future(), message_id)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.home.try_lock() {
            Ok(home) => visit.call(home.as_ref().map(|home| &home.bridge)),
            // Another thread has it; then nothing is collected this time.
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.leave_home();
    }

    /// The account behind a username.
    fn resolve<'py>(&self, py: Python<'py>, username: String) -> PyResult<Bound<'py, PyAny>> {
        let node = self.present(py)?.clone();
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
