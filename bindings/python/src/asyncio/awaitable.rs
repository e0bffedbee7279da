//! What a task awaits while a message is under way.
//!
//! An `asyncio.Future` resumes its task through the loop's queue: one turn of the loop after the turn in which the result came.
//! An [`Awaitable`] is completed in a turn of its loop, outside any task, and resumes the task at once. It has the methods that
//! `asyncio.Task` uses of what it waits for, and no more: one task can await it, once.

use parking_lot::{Mutex, MutexGuard};
use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyDict;

/// The result of a call that is not complete yet.
#[pyclass(frozen, weakref, module = "agentnet._native")]
pub(crate) struct Awaitable {
    event_loop: Py<PyAny>,
    state: Mutex<AwaitableState>,
}

#[derive(Default)]
struct AwaitableState {
    outcome: CallOutcome,
    /// Set when it is yielded to a task, which resets it: the sign that the task may wait for it.
    blocking: bool,
    /// Called on completion, each in its context.
    callbacks: Vec<(Py<PyAny>, Option<Py<PyAny>>)>,
}

#[derive(Default)]
enum CallOutcome {
    #[default]
    Pending,
    Done(Py<PyAny>),
    /// The exception itself: its traceback may refer back to this object, which the garbage collector must see.
    Failed(Py<PyBaseException>),
    Cancelled(Option<Py<PyAny>>),
}

impl CallOutcome {
    fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }

    /// Another reference to the same outcome: no Python code runs for it.
    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Pending => Self::Pending,
            Self::Done(value) => Self::Done(value.clone_ref(py)),
            Self::Failed(error) => Self::Failed(error.clone_ref(py)),
            Self::Cancelled(why) => Self::Cancelled(why.as_ref().map(|why| why.clone_ref(py))),
        }
    }

    fn result(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Pending => Err(InvalidStateError::new_err("the call is not complete yet")),
            Self::Done(value) => Ok(value),
            Self::Failed(error) => Err(PyErr::from_value(error.into_bound(py).into_any())),
            Self::Cancelled(None) => Err(CancelledError::new_err(())),
            Self::Cancelled(Some(why)) => Err(CancelledError::new_err((why,))),
        }
    }
}

impl Awaitable {
    pub(crate) fn new(event_loop: Py<PyAny>) -> Self {
        Self {
            event_loop,
            state: Mutex::default(),
        }
    }

    /// Never held while Python code runs.
    fn state(&self) -> MutexGuard<'_, AwaitableState> {
        self.state.lock()
    }

    /// Sets the result and resumes the task that waits. To be called by the loop, not from within a task.
    ///
    /// # Errors
    /// An interrupt that the task did not catch.
    pub(crate) fn complete(slf: &Bound<'_, Self>, result: PyResult<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let outcome = match result {
            Ok(value) => CallOutcome::Done(value),
            Err(error) => CallOutcome::Failed(error.into_value(py)),
        };
        let callbacks = {
            let mut state = slf.get().state();
            if !state.outcome.is_pending() {
                // The task was cancelled in the meantime.
                return Ok(());
            }
            state.outcome = outcome;
            std::mem::take(&mut state.callbacks)
        };
        // All callbacks are called, also if one raises an interrupt.
        let mut interrupt = Ok(());
        let is_deferred = slf.get().defers_callbacks(py)?;
        for (callback, context) in callbacks {
            if is_deferred {
                interrupt = interrupt.and(Self::call_soon(slf, callback, context));
                continue;
            }
            let called = match context {
                Some(context) => context.call_method1(py, intern!(py, "run"), (callback, slf)),
                None => callback.call1(py, (slf,)),
            };
            interrupt = interrupt.and(called.map(drop));
        }
        interrupt
    }

    /// Whether callbacks must run in a later turn: in debug mode, in which the loop reports slow callbacks, and in a loop that
    /// `nest_asyncio` has patched, because a nested `run_until_complete` within this turn would never return.
    fn defers_callbacks(&self, py: Python<'_>) -> PyResult<bool> {
        let event_loop = self.event_loop.bind(py);
        Ok(event_loop.getattr_opt(intern!(py, "_nest_patched"))?.is_some()
            || event_loop.call_method0(intern!(py, "get_debug"))?.is_truthy()?)
    }

    fn outcome(&self, py: Python<'_>) -> CallOutcome {
        self.state().outcome.clone_ref(py)
    }

    /// Calls a callback in a later turn of the loop.
    fn call_soon(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "context"), context)?;
        let event_loop = slf.get().event_loop.bind(py);
        event_loop
            .call_method(intern!(py, "call_soon"), (callback, slf), Some(&keywords))
            .map(drop)
    }
}

#[pymethods]
impl Awaitable {
    #[getter]
    fn _asyncio_future_blocking(&self) -> bool {
        self.state().blocking
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.state().blocking = blocking;
    }

    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    fn done(&self) -> bool {
        !self.state().outcome.is_pending()
    }

    fn cancelled(&self) -> bool {
        matches!(self.state().outcome, CallOutcome::Cancelled(_))
    }

    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.outcome(py).result(py)
    }

    #[pyo3(signature = (callback, *, context=None))]
    fn add_done_callback(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        {
            let mut state = slf.get().state();
            if state.outcome.is_pending() {
                state.callbacks.push((callback, context));
                return Ok(());
            }
        }
        Self::call_soon(slf, callback, context)
    }

    /// Cancels the wait: the task is resumed in a later turn of the loop.
    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let callbacks = {
            let mut state = slf.get().state();
            if !state.outcome.is_pending() {
                return Ok(false);
            }
            state.outcome = CallOutcome::Cancelled(msg);
            std::mem::take(&mut state.callbacks)
        };
        for (callback, context) in callbacks {
            Self::call_soon(slf, callback, context)?;
        }
        Ok(true)
    }

    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        let outcome = slf.get().outcome(slf.py());
        if !outcome.is_pending() {
            return Err(PyStopIteration::new_err((outcome.result(slf.py())?,)));
        }
        let mut state = slf.get().state();
        if state.blocking {
            return Err(PyRuntimeError::new_err("this call is awaited already"));
        }
        state.blocking = true;
        Ok(slf.clone().unbind())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        // Another thread may hold the lock; then nothing is collected this time.
        let Some(state) = self.state.try_lock() else {
            return Ok(());
        };
        match &state.outcome {
            CallOutcome::Done(value) | CallOutcome::Cancelled(Some(value)) => visit.call(value)?,
            CallOutcome::Failed(error) => visit.call(error)?,
            CallOutcome::Pending | CallOutcome::Cancelled(None) => {}
        }
        for (callback, context) in &state.callbacks {
            visit.call(callback)?;
            visit.call(context)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let state = std::mem::take(&mut *self.state());
        drop(state);
    }
}
