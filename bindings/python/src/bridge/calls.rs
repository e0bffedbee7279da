//! Setting calls going: a future on the runtime, and what Python waits for meanwhile.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{Awaited, Bridge, Event, Finish, Mailbox, Operation, fresh_number, running_loop};
use crate::runtime::network;
use crate::waiter::Waiter;

/// Runs a future on the runtime; the result is an asyncio future, settled with what `finish` makes of the outcome on the
/// loop's thread.
pub(crate) fn submit<'py, T, F, G>(py: Python<'py>, future: F, finish: G) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
    G: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    submit_reporting(py, None, |_| future, finish)
}

/// As [`submit`], for a future that reports how far it is; `progress` is called on the loop's thread with what it says.
pub(crate) fn submit_reporting<'py, T, F, G>(
    py: Python<'py>,
    progress: Option<Py<PyAny>>,
    future: impl FnOnce(Reporter) -> F,
    finish: G,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
    G: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    let event_loop = running_loop(py)?;
    let waiter = event_loop.call_method0(intern!(py, "create_future"))?;
    let awaited = Awaited::Future(waiter.clone().unbind());
    begin(&event_loop, waiter, awaited, progress, future, finish)
}

/// Sets the future going for whoever waits.
fn begin<'py, T, F, G>(
    event_loop: &Bound<'py, PyAny>,
    waiter: Bound<'py, PyAny>,
    awaited: Awaited,
    progress: Option<Py<PyAny>>,
    future: impl FnOnce(Reporter) -> F,
    finish: G,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
    G: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    let network = network()?;
    let bridge = Bridge::of(event_loop)?;
    let (place, number) = (waiter.as_ptr() as usize, fresh_number());
    let mut promise = Promise {
        mailbox: bridge.get().mailbox.clone(),
        place,
        number,
        kept: false,
    };
    let future = future(Reporter {
        mailbox: bridge.get().mailbox.clone(),
        place,
        number,
    });
    let task = network.spawn(async move {
        let outcome = future.await;
        promise.keep(Box::new(move |py| finish(py, outcome)));
    });
    let operation = Operation {
        number,
        waiter: awaited,
        task: task.abort_handle(),
        progress,
    };
    // The loop's thread is here: it takes the result later.
    bridge.get().waiting().operations.insert(place, operation);
    Ok(waiter)
}

/// Where a future says how far it is.
pub(crate) struct Reporter {
    mailbox: Arc<Mailbox>,
    place: usize,
    number: u64,
}

impl Reporter {
    pub(crate) fn tell(&self, done: u64, total: Option<u64>) {
        let (place, number) = (self.place, self.number);
        self.mailbox.post(Event::Progress {
            place,
            number,
            done,
            total,
        });
    }
}

/// A result that the loop will get, whatever happens to the task.
struct Promise {
    mailbox: Arc<Mailbox>,
    place: usize,
    number: u64,
    kept: bool,
}

impl Promise {
    fn keep(&mut self, finish: Finish) {
        self.kept = true;
        let (place, number) = (self.place, self.number);
        self.mailbox.post(Event::Done { place, number, finish });
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.kept {
            self.keep(Box::new(|_| {
                Err(PyRuntimeError::new_err(
                    "the call was given up by agentnet: this is a bug",
                ))
            }));
        }
    }
}

/// Gives up the call behind a future of this module, because nobody waits for it any more.
#[pyfunction]
pub(crate) fn abandon(py: Python<'_>, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let bridge = Bridge::current(py)?;
    let operation = bridge.get().waiting().operations.remove(&(waiter.as_ptr() as usize));
    if let Some(operation) = operation {
        operation.task.abort();
    }
    Ok(())
}

/// As [`submit`], but begun here: a message is composed and on its way before the runtime is woken. What is complete then, as
/// most publishing is, is given at once, in a tuple instead of something to await. A message that is alone is written to its
/// socket here too, unless the keeper is at work; of many, all are when the loop waits.
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
    let bridge = Bridge::current(py)?;
    let is_alone = bridge.get().is_quiet();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    // If it is not ready, the runtime polls it again with a waker that wakes.
    let given = match network.within(|| future.as_mut().poll(&mut context)) {
        std::task::Poll::Ready(outcome) => {
            let value = finish(py, outcome)?.into_bound(py);
            PyTuple::new(py, [value])?.into_any()
        }
        std::task::Poll::Pending => {
            let event_loop = running_loop(py)?;
            let waiter = Bound::new(py, Waiter::new(event_loop.clone().unbind()))?;
            let awaited = Awaited::Waiter(waiter.clone().unbind());
            begin(&event_loop, waiter.into_any(), awaited, None, |_| future, finish)?
        }
    };
    if is_alone {
        network.run_what_is_ready();
    }
    Ok(given)
}
