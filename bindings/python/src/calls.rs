//! Starting calls: a future on the runtime, and what Python awaits in the meantime.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::asyncio::awaitable::Awaitable;
use crate::attach::{bridge_of, current_bridge};
use crate::bridge::{Awaited, Operation};
use crate::ids::next_id;
use crate::loops::running_loop;
use crate::mailbox::{Event, Finish, Mailbox, OperationKey};
use crate::runtime::network;
use crate::text::lossy_text;

/// Runs a future on the runtime. Returns an asyncio future, which gets what `finish` makes of the outcome on the loop's thread.
pub(crate) fn submit<'py, T, F, G>(py: Python<'py>, future: F, finish: G) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
    G: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    submit_reporting(py, None, |_| future, finish)
}

/// As [`submit`], for a future that reports its progress; `progress` is called on the loop's thread with each report.
pub(crate) fn submit_reporting<'py, T, F, G>(
    py: Python<'py>,
    progress: Option<Py<PyAny>>,
    future: impl FnOnce(ProgressReporter) -> F,
    finish: G,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
    G: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    let event_loop = running_loop(py)?;
    let asyncio_future = event_loop.call_method0(intern!(py, "create_future"))?;
    let awaited = Awaited::Future(asyncio_future.clone().unbind());
    start(&event_loop, asyncio_future, awaited, progress, future, finish)
}

/// Starts the future; `object` is what Python awaits.
fn start<'py, T, F, G>(
    event_loop: &Bound<'py, PyAny>,
    object: Bound<'py, PyAny>,
    awaited: Awaited,
    progress: Option<Py<PyAny>>,
    future: impl FnOnce(ProgressReporter) -> F,
    finish: G,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
    G: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    let network = network()?;
    let bridge = bridge_of(event_loop)?;
    let key = OperationKey {
        address: object.as_ptr() as usize,
        id: next_id(),
    };
    let mut result = CallResult {
        mailbox: bridge.get().mailbox().clone(),
        key,
        is_sent: false,
    };
    let future = future(ProgressReporter {
        mailbox: bridge.get().mailbox().clone(),
        key,
    });
    let task = network.spawn(async move {
        let outcome = future.await;
        result.send(Box::new(move |py| finish(py, outcome)));
    });
    let operation = Operation {
        id: key.id,
        awaited,
        task: task.abort_handle(),
        progress,
    };
    // This is the loop's thread, which takes the result later.
    bridge.get().add_operation(key.address, operation);
    Ok(object)
}

/// To which a future reports its progress.
pub(crate) struct ProgressReporter {
    mailbox: Arc<Mailbox>,
    key: OperationKey,
}

impl ProgressReporter {
    pub(crate) fn report(&self, done: u64, total: Option<u64>) {
        self.mailbox.post(Event::Progress {
            operation: self.key,
            done,
            total,
        });
    }
}

/// The result of a call, which the loop gets in any case: an error if the task is dropped.
struct CallResult {
    mailbox: Arc<Mailbox>,
    key: OperationKey,
    is_sent: bool,
}

impl CallResult {
    fn send(&mut self, finish: Finish) {
        self.is_sent = true;
        self.mailbox.post(Event::Done {
            operation: self.key,
            finish,
        });
    }
}

impl Drop for CallResult {
    fn drop(&mut self) {
        if !self.is_sent {
            self.send(Box::new(|_| {
                Err(PyRuntimeError::new_err(
                    "the call was given up by agentnet: this is a bug",
                ))
            }));
        }
    }
}

/// Aborts the call behind an object that a function of this module returned, because its caller no longer waits.
#[pyfunction]
pub(crate) fn abandon(py: Python<'_>, awaitable: &Bound<'_, PyAny>) -> PyResult<()> {
    let bridge = current_bridge(py)?;
    let operation = bridge.get().remove_operation(awaitable.as_ptr() as usize);
    if let Some(operation) = operation {
        operation.task.abort();
    }
    Ok(())
}

/// As [`submit`], but the future begins on this thread: a message is composed and published before the runtime is woken. If the
/// call is complete then, as most publishing is, its result is returned at once, in a tuple instead of an object to await. A
/// single message is also written to its socket on this thread, unless the standby thread runs the network; many messages are
/// written together when the loop waits.
pub(crate) fn submit_or_finish<'py, T, G>(
    py: Python<'py>,
    mut future: futures::future::BoxFuture<'static, T>,
    finish: G,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    G: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    let network = network()?;
    let bridge = current_bridge(py)?;
    let is_single = bridge.get().is_quiet();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    // If it is pending, the runtime polls it again, with a waker that wakes.
    let returned = match network.within(|| future.as_mut().poll(&mut context)) {
        std::task::Poll::Ready(outcome) => {
            let value = finish(py, outcome)?.into_bound(py);
            PyTuple::new(py, [value])?.into_any()
        }
        std::task::Poll::Pending => {
            let event_loop = running_loop(py)?;
            let awaitable = Bound::new(py, Awaitable::new(event_loop.clone().unbind()))?;
            let awaited = Awaited::Awaitable(awaitable.clone().unbind());
            start(&event_loop, awaitable.into_any(), awaited, None, |_| future, finish)?
        }
    };
    if is_single {
        network.run_ready_tasks();
    }
    Ok(returned)
}

/// The result of a handler call: None, or the reason why it failed. Called on the loop that got the message.
#[pyfunction]
#[pyo3(signature = (call, failure))]
pub(crate) fn answer_call(py: Python<'_>, call: u64, failure: Option<Bound<'_, PyString>>) -> PyResult<()> {
    let failure = failure.map(|text| lossy_text(&text));
    current_bridge(py)?.get().handlers().answer(call, failure);
    Ok(())
}
