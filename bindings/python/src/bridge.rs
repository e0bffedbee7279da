//! Between the runtime's threads and one asyncio loop.
//!
//! The runtime's tasks never wait for the interpreter: they put an event into the loop's [`Mailbox`] and ring, only if it has
//! not been rung since the loop looked last: a loop that hosts ([`crate::host`]) is woken where it waits, another one by a
//! byte in a socket that it watches. It wakes up once and takes everything that is there: results of calls, messages for
//! handlers, handlers to cancel.
//!
//! What belongs to Python (futures, tasks, handlers) stays on the loop's side in the [`Bridge`] and is known to the other
//! side by number. So no task of the runtime ever touches a Python object, also not while the interpreter shuts down.

mod calls;
mod mailbox;

use std::collections::HashMap;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyAttributeError, PyException};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

pub(crate) use calls::{Reporter, abandon, submit, submit_or_finish, submit_reporting};
pub(crate) use mailbox::{Call, Event, Finish, Mailbox};

use crate::host::{Host, Presence};
use crate::message::AgentMessage;
use crate::node::Node;
use crate::runtime::{Network, network};
use crate::text::spoken;
use crate::waiter::Waiter;

/// One number for every handler, call and operation of the process.
pub(crate) fn fresh_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What the loop calls when the bell was rung. It goes with the loop: a loop that is closed lets go of its callbacks.
#[pyclass(frozen, module = "agentnet._native")]
pub(crate) struct Ear(Py<Bridge>);

#[pymethods]
impl Ear {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        self.0.get().drain(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.0.get().end();
    }
}

/// The loop's side: what waits for events, and the callback that takes them.
#[pyclass(frozen, weakref, module = "agentnet._native")]
pub(crate) struct Bridge {
    mailbox: Arc<Mailbox>,
    ear: UnixStream,
    waiting: Mutex<Waiting>,
    presence: Presence,
    network: &'static Network,
    /// The context variables of handlers.
    context: Py<PyAny>,
}

#[derive(Default)]
struct Waiting {
    /// Futures of calls, by their address.
    operations: HashMap<usize, Operation>,
    /// Coroutine functions that run one message each, by handler.
    runners: HashMap<u64, Py<PyAny>>,
    /// Messages that are being handled, by call.
    running: HashMap<u64, Running>,
    /// Nodes that were started here and not closed, by number: they live as long as they run, whether the program keeps them
    /// or not.
    nodes: HashMap<u64, Py<Node>>,
}

struct Operation {
    /// Tells it from one that had the same address before.
    number: u64,
    waiter: Awaited,
    task: AbortHandle,
    /// Is called with what is done and how much there is to do.
    progress: Option<Py<PyAny>>,
}

/// What the caller waits for.
enum Awaited {
    /// An asyncio future, of which anything can be asked.
    Future(Py<PyAny>),
    /// Just awaited, and settled without a turn of the loop.
    Waiter(Py<Waiter>),
}

struct Running {
    answer: oneshot::Sender<Result<(), String>>,
    task: Option<Py<PyAny>>,
}

/// What no caller waits for is told to Python's hook; Ctrl-C is for the loop, once the other events are taken.
fn report(py: Python<'_>, error: PyErr) -> PyResult<()> {
    if error.is_instance_of::<PyException>(py) {
        error.write_unraisable(py, None);
        return Ok(());
    }
    Err(error)
}

/// The running loop.
fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET.import(py, "asyncio", "get_running_loop")?.call0()
}

impl Bridge {
    /// The bridge of a loop, built at first use. The loop owns it.
    fn of<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let name = intern!(py, "_agentnet_bridge");
        match event_loop.getattr(name) {
            Ok(bridge) => return Ok(bridge.cast_into::<Self>()?),
            Err(error) if error.is_instance_of::<PyAttributeError>(py) => {}
            Err(error) => return Err(error),
        }
        let network = network()?;
        let (ear, bell) = UnixStream::pair()?;
        ear.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        let descriptor = ear.as_raw_fd();
        let bridge = Bound::new(
            py,
            Self {
                mailbox: Arc::new(Mailbox::new(bell)),
                ear,
                waiting: Mutex::default(),
                presence: Presence::new(),
                network,
                context: py.import("contextvars")?.call_method0("copy_context")?.unbind(),
            },
        )?;
        event_loop.setattr(name, &bridge)?;
        event_loop.call_method1(
            intern!(py, "add_reader"),
            (descriptor, Bound::new(py, Ear(bridge.clone().unbind()))?),
        )?;
        Host::install(event_loop, &bridge, &bridge.get().presence, descriptor)?;
        Ok(bridge)
    }

    /// The running loop's bridge.
    pub(crate) fn current(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        Self::of(&running_loop(py)?)
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Never held while Python code runs.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is under way but one handler at most.
    fn is_quiet(&self) -> bool {
        let waiting = self.waiting();
        waiting.operations.is_empty() && waiting.running.len() <= 1
    }

    /// Keeps a handler's runner until [`Bridge::forget_runner`].
    pub(crate) fn keep_runner(&self, runner: Py<PyAny>) -> u64 {
        let number = fresh_number();
        self.waiting().runners.insert(number, runner);
        number
    }

    /// Keeps a node until [`Bridge::forget_node`], or until the loop ends.
    pub(crate) fn keep_node(&self, node: Py<Node>) -> u64 {
        let number = fresh_number();
        self.waiting().nodes.insert(number, node);
        number
    }

    pub(crate) fn forget_node(&self, number: u64) {
        let node = self.waiting().nodes.remove(&number);
        drop(node);
    }

    /// The loop is closed: what waits here will not go on, and the nodes that were started here leave the network.
    pub(crate) fn end(&self) {
        // What a forked process inherits is the other's still.
        if !self.network.is_of_this_process() {
            return;
        }
        self.mailbox.close();
        let waiting = std::mem::take(&mut *self.waiting());
        for operation in waiting.operations.values() {
            operation.task.abort();
        }
        for node in waiting.nodes.values() {
            node.get().leave(self.network);
        }
    }

    pub(crate) fn forget_runner(&self, number: u64) {
        let runner = self.waiting().runners.remove(&number);
        drop(runner);
    }

    fn settle(&self, py: Python<'_>, place: usize, number: u64, finish: Finish) -> PyResult<()> {
        let operation = {
            let mut waiting = self.waiting();
            match waiting.operations.get(&place) {
                Some(operation) if operation.number == number => waiting.operations.remove(&place),
                _ => None,
            }
        };
        let Some(operation) = operation else { return Ok(()) };
        let result = finish(py);
        match operation.waiter {
            Awaited::Waiter(waiter) => Waiter::settle(waiter.bind(py), result),
            Awaited::Future(future) => {
                let settled = match result {
                    Ok(value) => future.call_method1(py, intern!(py, "set_result"), (value,)),
                    Err(error) => future.call_method1(py, intern!(py, "set_exception"), (error,)),
                };
                // Whoever waited was cancelled a moment ago.
                drop(settled);
                Ok(())
            }
        }
    }

    fn progressed(&self, py: Python<'_>, place: usize, number: u64, done: u64, total: Option<u64>) -> PyResult<()> {
        let told = {
            let waiting = self.waiting();
            let operation = waiting
                .operations
                .get(&place)
                .filter(|operation| operation.number == number);
            operation.and_then(|operation| operation.progress.as_ref().map(|told| told.clone_ref(py)))
        };
        match told {
            Some(told) => told.call1(py, (done, total)).map(drop),
            // Given up meanwhile.
            None => Ok(()),
        }
    }

    fn begin(&self, py: Python<'_>, event_loop: &Bound<'_, PyAny>, call: Call) -> PyResult<()> {
        // Its time is over, and its sender was told.
        if call.answer.is_closed() {
            return Ok(());
        }
        let runner = {
            let waiting = self.waiting();
            waiting.runners.get(&call.handler).map(|runner| runner.clone_ref(py))
        };
        let Some(runner) = runner else {
            // Dropping the call tells the worker.
            return Ok(());
        };
        let message = AgentMessage::received(call.message, Some(call.context));
        let running = Running {
            answer: call.answer,
            task: None,
        };
        self.waiting().running.insert(call.number, running);
        let started = (|| {
            let coroutine = runner.bind(py).call1((Bound::new(py, message)?, call.number))?;
            // The task has the variables that there were when the loop used agentnet first, wherever this is called.
            let create = event_loop.getattr(intern!(py, "create_task"))?;
            self.context
                .bind(py)
                .call_method1(intern!(py, "run"), (create, coroutine))
        })();
        match started {
            Ok(task) => {
                if let Some(running) = self.waiting().running.get_mut(&call.number) {
                    running.task = Some(task.unbind());
                }
                Ok(())
            }
            Err(error) => {
                self.answer(call.number, Some(error.to_string()));
                Err(error)
            }
        }
    }

    /// Makes tasks for the messages that came before everything else, just before a turn of the loop, which begins them. False
    /// if there is something else to take, or no loop runs.
    pub(crate) fn begin_calls(&self, py: Python<'_>) -> PyResult<bool> {
        // Without a loop that runs, somebody else asks its selector.
        let Ok(event_loop) = running_loop(py) else {
            return Ok(false);
        };
        let mut interrupt = Ok(());
        let mut events = self.mailbox.take().into_iter();
        let mut others = Vec::new();
        for event in events.by_ref() {
            match event {
                Event::Call(call) => {
                    if let Err(error) = self.begin(py, &event_loop, *call) {
                        interrupt = interrupt.and(report(py, error));
                    }
                }
                // What comes behind it stays behind it.
                other => {
                    others.push(other);
                    break;
                }
            }
        }
        others.extend(events);
        let all = others.is_empty();
        if !all {
            self.mailbox.give_back(others);
        }
        interrupt.map(|()| all)
    }

    /// The worker waits no more: the handler took too long, or the node is closed.
    fn cancel(&self, py: Python<'_>, number: u64) -> PyResult<()> {
        let running = self.waiting().running.remove(&number);
        if let Some(task) = running.and_then(|running| running.task) {
            task.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }

    fn answer(&self, number: u64, failure: Option<String>) {
        let running = self.waiting().running.remove(&number);
        if let Some(running) = running {
            // A worker that is gone needs no answer.
            self.network
                .within(|| drop(running.answer.send(failure.map_or(Ok(()), Err))));
        }
    }
}

impl Bridge {
    /// Takes all events. The loop calls it when the bell was rung.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        if self.mailbox.was_belled() {
            let mut rings = [0; 64];
            while matches!((&self.ear).read(&mut rings), Ok(count) if count == rings.len()) {}
        }
        let mut event_loop = None;
        let mut interrupt = Ok(());
        for event in self.mailbox.take() {
            let taken = match event {
                Event::Done { place, number, finish } => self.settle(py, place, number, finish),
                Event::Progress {
                    place,
                    number,
                    done,
                    total,
                } => self.progressed(py, place, number, done, total),
                Event::Call(call) => {
                    let event_loop = match &event_loop {
                        Some(known) => known,
                        None => event_loop.insert(running_loop(py)?),
                    };
                    self.begin(py, event_loop, *call)
                }
                Event::Cancel(number) => self.cancel(py, number),
            };
            if let Err(error) = taken {
                interrupt = interrupt.and(report(py, error));
            }
        }
        interrupt
    }
}

#[pymethods]
impl Bridge {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.context)?;
        // Another thread may hold it; then nothing is collected this time.
        let Ok(waiting) = self.waiting.try_lock() else {
            return Ok(());
        };
        for operation in waiting.operations.values() {
            match &operation.waiter {
                Awaited::Future(future) => visit.call(future)?,
                Awaited::Waiter(waiter) => visit.call(waiter)?,
            }
            visit.call(&operation.progress)?;
        }
        for node in waiting.nodes.values() {
            visit.call(node)?;
        }
        for runner in waiting.runners.values() {
            visit.call(runner)?;
        }
        for running in waiting.running.values() {
            visit.call(&running.task)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.mailbox.close();
        let waiting = std::mem::take(&mut *self.waiting());
        drop(waiting);
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Whoever waits on the other side is told by the end of its channel.
        self.mailbox.close();
    }
}

/// Says how the handling of a message ended: None, or why it failed. Called on the loop that was given the message.
#[pyfunction]
#[pyo3(signature = (call, failure))]
pub(crate) fn answer_call(py: Python<'_>, call: u64, failure: Option<Bound<'_, PyString>>) -> PyResult<()> {
    let failure = failure.map(|text| spoken(&text));
    Bridge::current(py)?.get().answer(call, failure);
    Ok(())
}
