//! The bridge of an event loop: made at the first use of the network on that loop, and found again at each further use.

use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

use pyo3::exceptions::PyAttributeError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::bridge::{Bridge, WakeCallback};
use crate::loops::running_loop;
use crate::runtime::network;
use crate::selector_host::SelectorHost;

/// The bridge of a loop. The loop owns it.
pub(crate) fn bridge_of<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Bridge>> {
    let py = event_loop.py();
    let name = intern!(py, "_agentnet_bridge");
    match event_loop.getattr(name) {
        Ok(bridge) => return Ok(bridge.cast_into::<Bridge>()?),
        Err(error) if error.is_instance_of::<PyAttributeError>(py) => {}
        Err(error) => return Err(error),
    }
    let network = network()?;
    let (wake_reader, wake_writer) = UnixStream::pair()?;
    wake_reader.set_nonblocking(true)?;
    wake_writer.set_nonblocking(true)?;
    let wake_fd = wake_reader.as_raw_fd();
    let bridge = Bound::new(py, Bridge::new(py, network, wake_reader, wake_writer)?)?;
    event_loop.setattr(name, &bridge)?;
    let callback = Bound::new(py, WakeCallback::new(bridge.clone().unbind()))?;
    event_loop.call_method1(intern!(py, "add_reader"), (wake_fd, callback))?;
    SelectorHost::install(event_loop, &bridge, wake_fd)?;
    Ok(bridge)
}

/// The bridge of the running loop.
pub(crate) fn current_bridge(py: Python<'_>) -> PyResult<Bound<'_, Bridge>> {
    bridge_of(&running_loop(py)?)
}
