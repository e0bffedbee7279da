//! The native part of the Python package `agentnet`: the Rust SDK for Python.
//!
//! The public part of the package is Python (`python/agentnet`); here is what needs Rust.
//!
//! - `runtime`: the tokio runtime of the process, and the threads that run it. Its tasks never enter the interpreter.
//! - `selector_host`: an asyncio loop that runs it while the loop waits. `loops`: the loops of the process. `park`: how often a
//!   waiting thread slept.
//! - `bridge`: the connection between the runtime and one asyncio loop. `mailbox`: its events, for which the loop is woken once
//!   (not the registry's mailboxes of accounts: those are in `node`).
//!   `handler_calls`: messages and tasks that the loop handles. `attach`: makes the bridge of a loop. `calls`: starts calls.
//! - `asyncio`: everything that uses private parts of asyncio, with the versions of CPython that it was tested on.
//! - `text`: Python's strings as UTF-8. `json`: Python values to wire text and back. `message`: a message that is decoded when it
//!   is read.
//! - `node`, `registry`, `stream`, `tasks`, `blobs`: the calls; `options` and `running_node` serve them. `keys`: key files. `exceptions`:
//!   errors as exceptions. `logs`: `tracing` for `logging`. `protocol`: functions of the protocol.

mod asyncio;
mod attach;
mod blobs;
mod bridge;
mod calls;
mod exceptions;
mod handler_calls;
mod ids;
mod json;
mod keys;
mod logs;
mod loops;
mod mailbox;
mod message;
mod node;
mod options;
mod park;
mod protocol;
mod registry;
mod running_node;
mod runtime;
mod selector_host;
mod stream;
mod tasks;
mod text;

/// The native module `agentnet._native`.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::blobs::Blobs;
    #[pymodule_export]
    use super::bridge::Bridge;
    #[pymodule_export]
    use super::calls::{abandon, answer_call};
    #[pymodule_export]
    use super::keys::{is_on, key_name, load_or_create_key};
    #[pymodule_export]
    use super::logs::{close_logs, next_log, open_logs};
    #[pymodule_export]
    use super::message::AgentMessage;
    #[pymodule_export]
    use super::node::Node;
    #[pymodule_export]
    use super::protocol::{
        dumps, error_of_reply, extract_text, loads, new_message_id, new_ulid, parse_target, text_of_reply,
    };
    #[pymodule_export]
    use super::registry::{Registry, connect_registry};
    #[pymodule_export]
    use super::running_node::wait_for_leaving;
    #[pymodule_export]
    use super::stream::{Answer, Outgoing};
    #[pymodule_export]
    use super::tasks::work::{ClaimedContext, complete_task, fail_task};
    #[pymodule_export]
    use super::tasks::{TaskEvents, TaskHandle};
    use pyo3::prelude::*;
    use pyo3::types::IntoPyDict as _;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        let hooks = [("after_in_child", wrap_pyfunction!(super::runtime::forked, module)?)].into_py_dict(py)?;
        py.import("os")?.call_method("register_at_fork", (), Some(&hooks))?;
        Ok(())
    }
}
