//! The native part of the Python package `agentnet`: the Rust SDK, in Python's terms.
//!
//! The package's face is Python (`python/agentnet`); here is what needs Rust.
//!
//! - `runtime`: the tokio runtime of the process, and who drives it. Its tasks never enter the interpreter.
//! - `host`: an asyncio loop that drives it while it waits.
//! - `bridge`: between that runtime and one asyncio loop: a mailbox and a bell that wakes the loop once for many events.
//!   `waiter`: what a task awaits, settled without another turn of the loop.
//! - `text`: Python's texts as UTF-8. `json`: Python values to wire text and back. `message`: a message that is read when it is looked at.
//! - `node`, `registry`, `stream`, `blobs`: the calls. `keys`: key files. `failure`: errors as exceptions. `logs`: `tracing` for `logging`.

mod blobs;
mod bridge;
mod failure;
mod host;
mod json;
mod keys;
mod logs;
mod message;
mod node;
mod options;
mod protocol;
mod registry;
mod runtime;
mod stream;
mod text;
mod waiter;

/// The native module `agentnet._native`.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::blobs::Blobs;
    #[pymodule_export]
    use super::bridge::{Bridge, abandon, answer_call};
    #[pymodule_export]
    use super::keys::{is_on, key_name, load_or_create_key};
    #[pymodule_export]
    use super::logs::{close_logs, next_log, open_logs};
    #[pymodule_export]
    use super::message::AgentMessage;
    #[pymodule_export]
    use super::node::{Node, wait_for_leaving};
    #[pymodule_export]
    use super::protocol::{
        dumps, error_of_reply, extract_text, loads, new_message_id, new_ulid, parse_target, text_of_reply,
    };
    #[pymodule_export]
    use super::registry::{Registry, connect_registry};
    #[pymodule_export]
    use super::stream::{Answer, Outgoing};
    use pyo3::prelude::*;
    use pyo3::types::IntoPyDict as _;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        let told = [("after_in_child", wrap_pyfunction!(super::runtime::forked, module)?)].into_py_dict(py)?;
        py.import("os")?.call_method("register_at_fork", (), Some(&told))?;
        Ok(())
    }
}
