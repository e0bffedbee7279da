//! The tokio runtime that all nodes of the process share.

use std::sync::OnceLock;

use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;
use tokio::runtime::{Builder, Runtime};

/// Few workers carry all that is not Python: what they hand to each other costs more than what they share. And a core is
/// left for Python's own thread.
const MOST_WORKERS: usize = 2;

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
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = Builder::new_multi_thread()
        .worker_threads(cores.saturating_sub(1).clamp(1, MOST_WORKERS))
        .thread_name("agentnet")
        .enable_all()
        .build()
        .map_err(|error| PyRuntimeError::new_err(format!("cannot start the threads of agentnet: {error}")))?;
    Ok(Owned {
        process: std::process::id(),
        runtime,
    })
}
