//! The options of a task, from the dict that the Python part passes.

use agentnet::NewTask;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::exceptions::bug;
use crate::json;
use crate::options::{duration, noted};
use crate::text::TextArgument;

/// The task with these options; one that is missing keeps the SDK's default. Times are in seconds.
pub(super) fn apply(mut task: NewTask, options: &Bound<'_, PyDict>) -> PyResult<NewTask> {
    for (name, value) in options.iter() {
        let name = name.cast::<PyString>()?.to_str()?;
        task = set(task, name, &value).map_err(|error| noted(options.py(), name, error))?;
    }
    Ok(task)
}

fn set(task: NewTask, name: &str, value: &Bound<'_, PyAny>) -> PyResult<NewTask> {
    let text = || value.extract::<TextArgument>().map(|text| text.0);
    let time = || value.extract::<f64>().map(duration);
    Ok(match name {
        "task_id" => task.id(text()?),
        "title" => task.title(text()?),
        "text" => task.text(text()?),
        "payload" => task.payload(json::from_python(value)?),
        "metadata" => task.metadata(json::from_python(value)?),
        "parent" => task.parent(text()?),
        "coordinator" => task.coordinator(text()?),
        "thread_id" => task.thread(text()?),
        "key" => task.key(text()?),
        "deadline" => task.deadline(time()?),
        "delay" => task.delay(time()?),
        "backoff" => task.backoff(time()?),
        "heartbeat" => task.heartbeat(time()?),
        "retries" => task.retries(value.extract()?),
        "priority" => task.priority(value.extract()?),
        other => return Err(bug(format!("no option {other}"))),
    })
}
