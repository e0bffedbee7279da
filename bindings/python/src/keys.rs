//! Key files of signed identity (PROTOCOL.md section 13.1).

use std::path::PathBuf;

use agentnet::protocol::env_bool::is_true;
use agentnet::protocol::signature::key_file_name;
use pyo3::prelude::*;

use crate::exceptions::exception;

/// Whether a setting such as `DEV_AUTH` is on.
#[pyfunction]
pub(crate) fn is_on(text: &str) -> bool {
    is_true(text)
}

/// The name of an agent's key file.
#[pyfunction]
pub(crate) fn key_name(username: Option<&str>, agent_id: &str) -> String {
    key_file_name(username, agent_id)
}

/// The public key of a key file, which is created if it does not exist.
#[pyfunction]
pub(crate) fn load_or_create_key(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    match agentnet_keys::load_or_create(&path) {
        Ok(key) => Ok(key.public_text().to_string()),
        Err(error) => Err(exception(py, "AgentNetError", &error.to_string(), &[])),
    }
}
