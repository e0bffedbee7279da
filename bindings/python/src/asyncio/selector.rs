//! The selector of an event loop, and methods that take the place of its own.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The selectors that have a file descriptor of their own, which can be waited for in their place.
const REPLACEABLE_SELECTORS: [&str; 2] = ["EpollSelector", "KqueueSelector"];

/// While this is set in the environment, no selector is replaced.
const NETWORK_THREAD_VARIABLE: &str = "AGENTNET_NETWORK_THREAD";

/// The selector of a loop, if its methods can be replaced. It must be of a class of the standard library, and no subclass.
pub(crate) fn replaceable<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = event_loop.py();
    let Some(selector) = event_loop.getattr_opt(intern!(py, "_selector"))? else {
        return Ok(None);
    };
    let selectors = py.import(intern!(py, "selectors"))?;
    let mut classes = REPLACEABLE_SELECTORS
        .iter()
        .filter_map(|class| selectors.getattr_opt(*class).ok().flatten());
    let is_replaceable =
        std::env::var_os(NETWORK_THREAD_VARIABLE).is_none() && classes.any(|class| selector.get_type().is(&class));
    Ok(is_replaceable.then_some(selector))
}

/// Replaces `select` and `close` of a selector by those of another object.
pub(crate) fn replace(selector: &Bound<'_, PyAny>, by: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = selector.py();
    for name in [intern!(py, "select"), intern!(py, "close")] {
        selector.setattr(name, by.getattr(name)?)?;
    }
    Ok(())
}

/// Gives a selector its own methods back.
pub(crate) fn restore(selector: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = selector.py();
    selector.delattr(intern!(py, "select"))?;
    selector.delattr(intern!(py, "close"))
}

/// A method of the selector's class, which takes the selector as its first argument.
pub(crate) fn original<'py>(selector: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    selector.get_type().getattr(name)
}
