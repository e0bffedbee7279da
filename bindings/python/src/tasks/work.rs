//! Tasks that the node does: what a handler gets, and what it makes of them.

use agentnet::protocol::rpc::TaskProgress;
use agentnet::{ClaimedWork, TaskContext, TaskError, TaskFailure, TaskOutput};
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::attach::current_bridge;
use crate::calls::submit;
use crate::exceptions::{Raise as _, bug};
use crate::json;
use crate::text::{TextArgument, lossy_text};

/// The arguments of a handler: the task as a dict, and its context.
pub(crate) fn claimed<'py>(py: Python<'py>, work: &ClaimedWork, context: TaskContext) -> PyResult<Bound<'py, PyAny>> {
    let claimed = json::to_python(py, &work.to_json())?;
    (claimed, ClaimedContext { context }).into_bound_py_any(py)
}

/// What a handler can do besides looking at its task.
#[pyclass(frozen, module = "agentnet._native")]
pub(crate) struct ClaimedContext {
    context: TaskContext,
}

#[pymethods]
impl ClaimedContext {
    /// Says how far the work is.
    fn progress<'py>(
        &self,
        py: Python<'py>,
        percent: Option<i64>,
        text: Option<TextArgument>,
        phase: Option<TextArgument>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let context = self.context.clone();
        let progress = TaskProgress {
            text: text.map(|text| text.0),
            percent,
            phase: phase.map(|phase| phase.0),
        };
        submit(py, async move { context.report(progress).await }, none)
    }

    /// Keeps a value for the next attempt.
    fn checkpoint<'py>(&self, py: Python<'py>, state: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let state = json::from_python(state)?;
        let context = self.context.clone();
        submit(py, async move { context.checkpoint(state).await }, none)
    }

    /// Whether the task is not wanted any more.
    #[getter]
    fn cancelled(&self) -> bool {
        self.context.is_cancelled()
    }

    /// Returns when the task is not wanted any more.
    fn wait_cancelled<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let context = self.context.clone();
        submit(py, async move { context.cancelled().await }, |py, ()| Ok(py.None()))
    }

    /// Returns when the node begins to close.
    fn wait_closing<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let context = self.context.clone();
        submit(py, async move { context.closing().await }, |py, ()| Ok(py.None()))
    }

    /// Whether the task is no longer this worker's.
    #[getter]
    fn lease_lost(&self) -> bool {
        self.context.is_lease_lost()
    }

    /// Returns when the task is no longer this worker's.
    fn wait_lease_lost<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let context = self.context.clone();
        submit(py, async move { context.lease_lost().await }, |py, ()| Ok(py.None()))
    }
}

fn none(py: Python<'_>, outcome: Result<(), TaskError>) -> PyResult<Py<PyAny>> {
    match outcome {
        Ok(()) => Ok(py.None()),
        Err(error) => Err(error.raise(py)),
    }
}

/// Answers a handler call of a task with what came of it: a value, words, or both. Called on the loop that got the task.
#[pyfunction]
#[pyo3(signature = (call, result, text))]
pub(crate) fn complete_task(
    py: Python<'_>,
    call: u64,
    result: Option<Bound<'_, PyAny>>,
    text: Option<Bound<'_, PyString>>,
) -> PyResult<()> {
    let output = TaskOutput {
        result: result.map(|result| json::from_python(&result)).transpose()?,
        text: text.map(|text| lossy_text(&text)),
    };
    current_bridge(py)?.get().handlers().answer_task(call, Ok(output));
    Ok(())
}

/// Answers a handler call of a task that was not completed.
#[pyfunction]
#[pyo3(signature = (call, state, code, detail, retryable))]
pub(crate) fn fail_task(
    py: Python<'_>,
    call: u64,
    state: &str,
    code: &Bound<'_, PyString>,
    detail: &Bound<'_, PyString>,
    retryable: bool,
) -> PyResult<()> {
    let (code, detail) = (lossy_text(code), lossy_text(detail));
    let failure = match state {
        "failed" if retryable => TaskFailure::retryable(code, detail),
        "failed" => TaskFailure::failed(code, detail),
        "rejected" => TaskFailure::rejected(detail),
        "canceled" => TaskFailure::canceled(),
        "input_required" => TaskFailure::input_required(detail),
        "auth_required" => TaskFailure::auth_required(detail),
        "submitted" => TaskFailure::released(),
        other => return Err(bug(format!("no task ends as {other}"))),
    };
    current_bridge(py)?.get().handlers().answer_task(call, Err(failure));
    Ok(())
}
