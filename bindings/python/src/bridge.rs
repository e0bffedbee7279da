//! The connection between the runtime's tasks and one asyncio loop.
//!
//! The runtime's tasks never wait for the interpreter: they put an event into the loop's [`Mailbox`] and wake the loop, once
//! until it takes the events. A loop that runs the network ([`crate::selector_host`]) is woken by its waker, another loop by a
//! byte in a socket that it watches. It takes all events at once: results of calls, messages for handlers, handlers to cancel.
//!
//! Python objects (futures, tasks, handlers) stay in the [`Bridge`], on the loop's side; the other side knows them by number. So
//! no task of the runtime touches a Python object, also not while the interpreter shuts down.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use tokio::task::AbortHandle;

use crate::asyncio::awaitable::Awaitable;
use crate::handler_calls::HandlerCalls;
use crate::ids::next_id;
use crate::loops::{LoopRegistration, running_loop};
use crate::mailbox::{Event, Finish, Mailbox, OperationKey};
use crate::running_node::RunningNode;
use crate::runtime::Network;

/// What the loop calls when its wake socket is readable. The loop drops it when it is closed.
#[pyclass(frozen, module = "agentnet._native")]
pub(crate) struct WakeCallback(Py<Bridge>);

impl WakeCallback {
    pub(crate) fn new(bridge: Py<Bridge>) -> Self {
        Self(bridge)
    }
}

#[pymethods]
impl WakeCallback {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        self.0.get().take_events(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Drop for WakeCallback {
    fn drop(&mut self) {
        self.0.get().end();
    }
}

/// The loop's side: Python objects that wait for events, and the callback that takes the events.
#[pyclass(frozen, weakref, module = "agentnet._native")]
pub(crate) struct Bridge {
    mailbox: Arc<Mailbox>,
    /// The loop watches its file descriptor.
    wake_reader: UnixStream,
    pending: Mutex<Pending>,
    handlers: HandlerCalls,
    registration: LoopRegistration,
    network: &'static Network,
}

#[derive(Default)]
struct Pending {
    /// Operations by the address of what is awaited.
    operations: HashMap<usize, Operation>,
    /// Nodes that were started on this loop and not closed. They live as long as they run, also without a reference in the
    /// program.
    nodes: HashMap<u64, KeptNode>,
}

/// A call that runs on the runtime, and that Python waits for.
pub(crate) struct Operation {
    pub(crate) id: u64,
    pub(crate) awaited: Awaited,
    pub(crate) task: AbortHandle,
    /// Is called with the bytes that are done and their total.
    pub(crate) progress: Option<Py<PyAny>>,
}

/// What the caller awaits.
pub(crate) enum Awaited {
    /// An asyncio future, for every use of futures.
    Future(Py<PyAny>),
    /// Can only be awaited, and is completed without a turn of the loop.
    Awaitable(Py<Awaitable>),
}

struct KeptNode {
    object: Py<PyAny>,
    running: Arc<RunningNode>,
}

/// Errors that no caller waits for go to Python's `sys.unraisablehook`; Ctrl-C goes to the loop, after the other events.
fn report_error(py: Python<'_>, error: PyErr) -> PyResult<()> {
    if error.is_instance_of::<PyException>(py) {
        error.write_unraisable(py, None);
        return Ok(());
    }
    Err(error)
}

impl Bridge {
    pub(crate) fn new(
        py: Python<'_>,
        network: &'static Network,
        wake_reader: UnixStream,
        wake_writer: UnixStream,
    ) -> PyResult<Self> {
        Ok(Self {
            mailbox: Arc::new(Mailbox::new(wake_writer)),
            wake_reader,
            pending: Mutex::default(),
            handlers: HandlerCalls::new(py, network)?,
            registration: LoopRegistration::new(),
            network,
        })
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(crate) fn handlers(&self) -> &HandlerCalls {
        &self.handlers
    }

    /// The id of its loop in [`crate::loops`].
    pub(crate) fn loop_id(&self) -> u64 {
        self.registration.id()
    }

    /// Never held while Python code runs.
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock()
    }

    /// Whether nothing is under way but one handler at most.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pending().operations.is_empty() && self.handlers.running_count() <= 1
    }

    pub(crate) fn add_operation(&self, address: usize, operation: Operation) {
        self.pending().operations.insert(address, operation);
    }

    pub(crate) fn remove_operation(&self, address: usize) -> Option<Operation> {
        self.pending().operations.remove(&address)
    }

    /// Keeps a node until [`Bridge::remove_node`], or until the loop ends.
    pub(crate) fn add_node(&self, object: Py<PyAny>, running: Arc<RunningNode>) -> u64 {
        let id = next_id();
        self.pending().nodes.insert(id, KeptNode { object, running });
        id
    }

    pub(crate) fn remove_node(&self, id: u64) {
        let node = self.pending().nodes.remove(&id);
        drop(node);
    }

    /// The loop is closed: operations are aborted, and the nodes that were started on it leave the network.
    pub(crate) fn end(&self) {
        // A forked process inherits them, but they belong to its parent.
        if !self.network.is_of_this_process() {
            return;
        }
        self.mailbox.close();
        let pending = std::mem::take(&mut *self.pending());
        let handlers = self.handlers.take();
        for operation in pending.operations.values() {
            operation.task.abort();
        }
        for node in pending.nodes.values() {
            node.running.leave(self.network);
        }
        drop((pending, handlers));
    }

    fn complete(&self, py: Python<'_>, key: OperationKey, finish: Finish) -> PyResult<()> {
        let operation = {
            let mut pending = self.pending();
            match pending.operations.get(&key.address) {
                Some(operation) if operation.id == key.id => pending.operations.remove(&key.address),
                _ => None,
            }
        };
        let Some(operation) = operation else { return Ok(()) };
        let result = finish(py);
        match operation.awaited {
            Awaited::Awaitable(awaitable) => Awaitable::complete(awaitable.bind(py), result),
            Awaited::Future(future) => {
                let completed = match result {
                    Ok(value) => future.call_method1(py, intern!(py, "set_result"), (value,)),
                    Err(error) => future.call_method1(py, intern!(py, "set_exception"), (error,)),
                };
                // It fails if the future was cancelled in the meantime.
                drop(completed);
                Ok(())
            }
        }
    }

    fn report_progress(&self, py: Python<'_>, key: OperationKey, done: u64, total: Option<u64>) -> PyResult<()> {
        let progress = {
            let pending = self.pending();
            let operation = pending.operations.get(&key.address);
            let operation = operation.filter(|operation| operation.id == key.id);
            operation.and_then(|operation| operation.progress.as_ref().map(|progress| progress.clone_ref(py)))
        };
        match progress {
            Some(progress) => progress.call1(py, (done, total)).map(drop),
            // Cancelled in the meantime.
            None => Ok(()),
        }
    }

    /// Makes tasks for the messages that stand before all other events, just before a turn of the loop, which begins these
    /// tasks. False if there are other events to take, or if no loop runs.
    pub(crate) fn start_handlers(&self, py: Python<'_>) -> PyResult<bool> {
        // If no loop runs, it is other code that uses the selector.
        let Ok(event_loop) = running_loop(py) else {
            return Ok(false);
        };
        let mut interrupt = Ok(());
        let mut events = self.mailbox.take().into_iter();
        let mut others = Vec::new();
        for event in events.by_ref() {
            match event {
                Event::Call(call) => {
                    if let Err(error) = self.handlers.start(&event_loop, *call) {
                        interrupt = interrupt.and(report_error(py, error));
                    }
                }
                // The order of events is kept.
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

    /// Takes all events. The loop calls this when its wake socket is readable.
    fn take_events(&self, py: Python<'_>) -> PyResult<()> {
        if self.mailbox.take_wake_fd_written() {
            let mut bytes = [0; 64];
            while matches!((&self.wake_reader).read(&mut bytes), Ok(count) if count == bytes.len()) {}
        }
        let mut event_loop = None;
        let mut interrupt = Ok(());
        for event in self.mailbox.take() {
            let taken = match event {
                Event::Done { operation, finish } => self.complete(py, operation, finish),
                Event::Progress { operation, done, total } => self.report_progress(py, operation, done, total),
                Event::Call(call) => {
                    let event_loop = match &event_loop {
                        Some(known) => known,
                        None => event_loop.insert(running_loop(py)?),
                    };
                    self.handlers.start(event_loop, *call)
                }
                Event::Cancel(call) => self.handlers.cancel(py, call),
            };
            if let Err(error) = taken {
                interrupt = interrupt.and(report_error(py, error));
            }
        }
        interrupt
    }
}

#[pymethods]
impl Bridge {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.handlers.traverse(&visit)?;
        // Another thread may hold the lock; then nothing is collected this time.
        let Some(pending) = self.pending.try_lock() else {
            return Ok(());
        };
        for operation in pending.operations.values() {
            match &operation.awaited {
                Awaited::Future(future) => visit.call(future)?,
                Awaited::Awaitable(awaitable) => visit.call(awaitable)?,
            }
            visit.call(&operation.progress)?;
        }
        for node in pending.nodes.values() {
            visit.call(&node.object)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.mailbox.close();
        let pending = std::mem::take(&mut *self.pending());
        drop((pending, self.handlers.take()));
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Tasks that wait on the other side see the end of their channels.
        self.mailbox.close();
    }
}
