//! The event loops of the process that use the network.
//!
//! Only a loop that is the sole one runs the network itself ([`crate::selector_host`]).

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::ids::next_id;

/// The running loop.
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET.import(py, "asyncio", "get_running_loop")?.call0()
}

static LOOPS: Mutex<Vec<u64>> = Mutex::new(Vec::new());
/// The id of the only loop, or 0.
static SOLE_LOOP: AtomicU64 = AtomicU64::new(0);

/// One loop that uses the network, until it is closed or this is dropped.
pub(crate) struct LoopRegistration(u64);

impl LoopRegistration {
    pub(crate) fn new() -> Self {
        let id = next_id();
        change_loops(|loops| loops.push(id));
        Self(id)
    }

    pub(crate) fn id(&self) -> u64 {
        self.0
    }
}

impl Drop for LoopRegistration {
    fn drop(&mut self) {
        remove_loop(self.0);
    }
}

/// Whether a loop is the only one that uses the network.
pub(crate) fn is_sole_loop(id: u64) -> bool {
    SOLE_LOOP.load(Ordering::Acquire) == id
}

/// Removes a loop before its registration is dropped.
pub(crate) fn remove_loop(id: u64) {
    change_loops(|loops| loops.retain(|other| *other != id));
}

fn change_loops(change: impl FnOnce(&mut Vec<u64>)) {
    let mut loops = LOOPS.lock();
    change(&mut loops);
    let sole = if let [id] = loops[..] { id } else { 0 };
    SOLE_LOOP.store(sole, Ordering::Release);
}
