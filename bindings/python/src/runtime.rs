//! The tokio runtime that all nodes of the process share.

use std::sync::OnceLock;

use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;
use tokio::runtime::{Builder, Runtime};

/// Python's own thread is busy too; few workers carry everything that is not Python, and hand less to each other.
const WORKERS: usize = 2;

struct Owned {
    process: u32,
    runtime: Runtime,
}

static RUNTIME: OnceLock<Owned> = OnceLock::new();

/// The runtime, started at first use. It lives until the process ends and never enters the interpreter.
pub(crate) fn runtime() -> PyResult<&'static Runtime> {
    let owned = match RUNTIME.get() {
        Some(owned) => owned,
        None => {
            let started = start()?;
            RUNTIME.get_or_init(|| started)
        }
    };
    // Threads do not survive a fork: here nothing would ever happen.
    if owned.process != std::process::id() {
        return Err(PyRuntimeError::new_err(
            "agentnet was used before this process was forked, and its threads stayed behind: use agentnet only after the \
             fork, or start processes by the method 'spawn'",
        ));
    }
    Ok(&owned.runtime)
}

fn start() -> PyResult<Owned> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("agentnet")
        .enable_all()
        .build()
        .map_err(|error| PyRuntimeError::new_err(format!("cannot start the threads of agentnet: {error}")))?;
    Ok(Owned {
        process: std::process::id(),
        runtime,
    })
}
