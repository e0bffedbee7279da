//! Tasks (PROTOCOL.md section 22): those that a node has asked for. `work` has those that it does.

mod options;
pub(crate) mod work;

use std::sync::Arc;

use agentnet::protocol::rpc::{TaskEvent, TaskSnapshot};
use agentnet::{StreamExt as _, TaskError, TaskHandle as Handle, TaskOutcome};
use futures::FutureExt as _;
use futures::stream::BoxStream;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tokio::sync::Mutex;

use crate::calls::submit;
use crate::exceptions::Raise as _;
use crate::json;
use crate::node::Node;
use crate::text::TextArgument;

/// The largest number of events that one call returns.
const MAX_EVENTS_PER_CALL: usize = 128;

/// A task that the node has asked for, or looks after.
#[pyclass(frozen, module = "agentnet._native")]
pub(crate) struct TaskHandle {
    handle: Handle,
}

#[pymethods]
impl TaskHandle {
    /// Asks for a task; the result is its handle. The options are those of `TaskOptions` in `agentnet._options`.
    #[staticmethod]
    fn start<'py>(
        py: Python<'py>,
        node: &Node,
        to: TextArgument,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let task = options::apply(node.present(py)?.task(to.0), options)?;
        submit(py, async move { task.start().await }, |py, started| match started {
            Ok(handle) => Self { handle }.into_py_any(py),
            Err(error) => Err(error.raise(py)),
        })
    }

    /// The handle of a task that exists.
    #[staticmethod]
    fn of(py: Python<'_>, node: &Node, task_id: TextArgument) -> PyResult<Self> {
        let handle = node.present(py)?.task_handle(task_id.0);
        Ok(Self { handle })
    }

    #[getter]
    fn id(&self) -> &str {
        self.handle.id()
    }

    /// Whether it is new; otherwise its id or its key was known.
    #[getter]
    fn created(&self) -> bool {
        self.handle.created()
    }

    /// The task as it was when it was asked for; None for a task that was there.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let snapshot = self.handle.snapshot();
        snapshot
            .map(|snapshot| json::written(py, snapshot.encode()))
            .transpose()
    }

    /// Why the account that is to do it could not be told of it.
    #[getter]
    fn not_told(&self) -> Option<String> {
        self.handle.not_told().map(ToString::to_string)
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let handle = self.handle.clone();
        submit(py, async move { handle.status().await }, snapshot)
    }

    /// Says that it is not wanted any more; nor are its parts, if `cascade` is set.
    fn cancel<'py>(&self, py: Python<'py>, reason: TextArgument, cascade: bool) -> PyResult<Bound<'py, PyAny>> {
        let handle = self.handle.clone();
        let canceled = async move {
            if cascade {
                handle.cancel(reason.0).await
            } else {
                handle.cancel_keeping_parts(reason.0).await
            }
        };
        submit(py, canceled, snapshot)
    }

    /// Answers the worker that waits.
    fn input<'py>(&self, py: Python<'py>, payload: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let payload = json::from_python(payload)?;
        let handle = self.handle.clone();
        submit(py, async move { handle.input(payload).await }, snapshot)
    }

    fn retry<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let handle = self.handle.clone();
        submit(py, async move { handle.retry().await }, snapshot)
    }

    /// Waits for the end, if `settled` is set also until the worker waits: state, result, text, code and detail.
    fn result<'py>(&self, py: Python<'py>, settled: bool) -> PyResult<Bound<'py, PyAny>> {
        let handle = self.handle.clone();
        let ended = async move {
            if settled {
                handle.settled().await
            } else {
                handle.result().await
            }
        };
        submit(py, ended, |py, outcome: Result<TaskOutcome, TaskError>| {
            let TaskOutcome {
                state,
                result,
                text,
                code,
                detail,
                ..
            } = outcome.map_err(|error| error.raise(py))?;
            let result = result.map(|result| json::to_python(py, &result)).transpose()?;
            (state.as_str(), result, text, code, detail).into_py_any(py)
        })
    }

    /// The events behind a number.
    fn events(&self, after: i64) -> TaskEvents {
        TaskEvents {
            state: Arc::new(Mutex::new(EventState {
                stream: self.handle.events_after(after).boxed(),
                error: None,
            })),
        }
    }
}

/// The snapshot of a task as a dict.
fn snapshot(py: Python<'_>, snapshot: Result<TaskSnapshot, TaskError>) -> PyResult<Py<PyAny>> {
    match snapshot {
        Ok(snapshot) => json::written(py, snapshot.encode()).map(Bound::unbind),
        Err(error) => Err(error.raise(py)),
    }
}

/// The events of a task, in order.
#[pyclass(frozen, module = "agentnet._native")]
pub(crate) struct TaskEvents {
    state: Arc<Mutex<EventState>>,
}

struct EventState {
    stream: BoxStream<'static, Result<TaskEvent, TaskError>>,
    /// An error that came behind events, for the next call.
    error: Option<TaskError>,
}

#[pymethods]
impl TaskEvents {
    /// The next events, at least one, as dicts; None after the last. A call that is cancelled may lose events: open others then.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let state = self.state.clone();
        let events = async move {
            let mut state = state.lock().await;
            let EventState { stream, error } = &mut *state;
            if let Some(error) = error.take() {
                return Err(error);
            }
            let mut events: Vec<TaskEvent> = Vec::new();
            let mut next = stream.next().await;
            while let Some(event) = next {
                match event {
                    Ok(event) => events.push(event),
                    Err(failed) if events.is_empty() => return Err(failed),
                    Err(failed) => {
                        *error = Some(failed);
                        break;
                    }
                }
                next = match stream.next().now_or_never() {
                    Some(ready) if events.len() < MAX_EVENTS_PER_CALL => ready,
                    _ => break,
                };
            }
            Ok(events)
        };
        submit(py, events, |py, events: Result<Vec<TaskEvent>, TaskError>| {
            let events = events.map_err(|error| error.raise(py))?;
            if events.is_empty() {
                return Ok(py.None());
            }
            let list = PyList::empty(py);
            for event in events {
                list.append(json::written(py, event.encode())?)?;
            }
            list.into_py_any(py)
        })
    }
}
