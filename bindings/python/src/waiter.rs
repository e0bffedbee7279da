//! What a task waits for while a message is on its way.
//!
//! An asyncio future tells its task by way of the loop's queue: one more turn of the loop, after the one in which the result
//! came. A [`Waiter`] is settled in a turn of its own loop, outside any task, and so goes on with the task there and then. It
//! is what `asyncio.Task` asks of the things that it waits for, and no more: one task waits for it, once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyDict;

#[pyclass(frozen, weakref, module = "agentnet._native")]
pub(crate) struct Waiter {
    event_loop: Py<PyAny>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outcome: Outcome,
    /// What asyncio asks: whether whoever yielded this means to wait for it.
    blocking: bool,
    /// Who is told, each in its context.
    callbacks: Vec<(Py<PyAny>, Option<Py<PyAny>>)>,
}

#[derive(Default)]
enum Outcome {
    #[default]
    Pending,
    Done(Py<PyAny>),
    /// The exception itself: its traceback may lead back here, which the collector must see.
    Failed(Py<PyBaseException>),
    Cancelled(Option<Py<PyAny>>),
}

impl Outcome {
    fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }

    /// Another hold of the same: no Python code runs for it.
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

impl Waiter {
    pub(crate) fn new(event_loop: Py<PyAny>) -> Self {
        Self {
            event_loop,
            state: Mutex::default(),
        }
    }

    /// Never held while Python code runs.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the result, and goes on with whoever waits. To be called by the loop, not from within a task.
    ///
    /// # Errors
    /// What the task lets through: an interrupt.
    pub(crate) fn settle(slf: &Bound<'_, Self>, result: PyResult<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let outcome = match result {
            Ok(value) => Outcome::Done(value),
            Err(error) => Outcome::Failed(error.into_value(py)),
        };
        let callbacks = {
            let mut state = slf.get().state();
            if !state.outcome.is_pending() {
                // Whoever waited was cancelled a moment ago.
                return Ok(());
            }
            state.outcome = outcome;
            std::mem::take(&mut state.callbacks)
        };
        // Everybody is told, also if one lets an interrupt through.
        let mut through = Ok(());
        let takes_turns = slf.get().takes_turns(py)?;
        for (callback, context) in callbacks {
            if takes_turns {
                through = through.and(Self::tell_soon(slf, callback, context));
                continue;
            }
            let told = match context {
                Some(context) => context.call_method1(py, intern!(py, "run"), (callback, slf)),
                None => callback.call1(py, (slf,)),
            };
            through = through.and(told.map(drop));
        }
        through
    }

    /// Whether the loop wants to run everything itself: one that is debugged, which names what takes long, and one in which
    /// others run (`nest_asyncio`): what waits within this turn would never see its end.
    fn takes_turns(&self, py: Python<'_>) -> PyResult<bool> {
        let event_loop = self.event_loop.bind(py);
        Ok(event_loop.getattr_opt(intern!(py, "_nest_patched"))?.is_some()
            || event_loop.call_method0(intern!(py, "get_debug"))?.is_truthy()?)
    }

    fn outcome(&self, py: Python<'_>) -> Outcome {
        self.state().outcome.clone_ref(py)
    }

    /// Tells whoever waits in a later turn of the loop.
    fn tell_soon(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
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
impl Waiter {
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
        matches!(self.state().outcome, Outcome::Cancelled(_))
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
        Self::tell_soon(slf, callback, context)
    }

    /// Gives up waiting: the task hears of it in a later turn of the loop.
    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let callbacks = {
            let mut state = slf.get().state();
            if !state.outcome.is_pending() {
                return Ok(false);
            }
            state.outcome = Outcome::Cancelled(msg);
            std::mem::take(&mut state.callbacks)
        };
        for (callback, context) in callbacks {
            Self::tell_soon(slf, callback, context)?;
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
        // Another thread may hold it; then nothing is collected this time.
        let Ok(state) = self.state.try_lock() else {
            return Ok(());
        };
        match &state.outcome {
            Outcome::Done(value) | Outcome::Cancelled(Some(value)) => visit.call(value)?,
            Outcome::Failed(error) => visit.call(error)?,
            Outcome::Pending | Outcome::Cancelled(None) => {}
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
