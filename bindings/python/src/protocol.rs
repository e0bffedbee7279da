//! Functions of the protocol for Python.

use std::time::{SystemTime, UNIX_EPOCH};

use agentnet::protocol::json::{self as wire, Object};
use agentnet::protocol::payload_text;
use agentnet::protocol::target::{Target, TargetError, Verb};
use agentnet::{RawJson, Text};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::json;
use crate::message::AgentMessage;

/// A value's wire text, as bytes.
#[pyfunction]
pub(crate) fn dumps<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(value.py(), json::from_python(value)?.get().as_bytes()))
}

/// The value of wire text, given as str or bytes.
#[pyfunction]
pub(crate) fn loads<'py>(text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let owned: Text = if let Ok(text) = text.cast::<PyString>() {
        Text::from(text.to_str()?)
    } else if let Ok(bytes) = text.cast::<PyBytes>() {
        let text = std::str::from_utf8(bytes.as_bytes()).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Text::from(text)
    } else {
        return Err(PyTypeError::new_err("the JSON text must be str or bytes"));
    };
    let value = RawJson::parse(owned).map_err(|error| PyValueError::new_err(error.to_string()))?;
    json::to_python(text.py(), &value)
}

/// The text of a payload, if it has one (PROTOCOL.md section 17).
#[pyfunction]
pub(crate) fn extract_text(payload: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    Ok(payload_text::extract_text(&json::from_python(payload)?.view()))
}

/// The text of a reply, without making Python values of its payload.
#[pyfunction]
pub(crate) fn text_of_reply(reply: &AgentMessage) -> Option<String> {
    reply.message().text()
}

/// Code, detail, trace id and request id of the error that a reply of any kind reports; None if it reports no error.
#[pyfunction]
pub(crate) fn error_of_reply(reply: &AgentMessage) -> Option<(String, String, Option<String>, Option<String>)> {
    let payload = reply.message().payload().view();
    let code = payload_text::extract_error(&payload)?;
    let object: Object<'_> = payload.as_object()?;
    let text = |name| Some(object.get(name).text().into_owned()).filter(|text: &String| !text.is_empty());
    let detail = wire::trim(&text("detail").unwrap_or_default()).to_owned();
    let trace_id = text("trace_id").or_else(|| reply.message().trace_id.as_deref().map(str::to_owned));
    Some((code, detail, trace_id, text("request_message_id")))
}

/// A target by the rules of the high-level SDK (section 11.2): `account`, `username` or `capability`, and which.
#[pyfunction]
pub(crate) fn parse_target(text: &str) -> PyResult<(&'static str, String)> {
    let failed = |error: TargetError| PyValueError::new_err(error.to_string());
    Ok(match Target::parse_sdk(text).map_err(failed)? {
        Target::Account(id) => ("account", id),
        Target::Capability(name) => ("capability", name),
        Target::Username(name) if starts_with(&name, "username:") => match Target::parse_node(&name, Verb::Send) {
            Ok(Target::Username(name)) => ("username", name),
            _ => return Err(failed(TargetError::EmptyUsername)),
        },
        Target::Username(name) => ("username", name),
    })
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// A new ULID in upper case.
#[pyfunction]
pub(crate) fn new_ulid() -> String {
    agentnet::protocol::ids::ulid(now_millis(), random())
}

/// A new message id.
#[pyfunction]
pub(crate) fn new_message_id() -> String {
    agentnet::protocol::ids::message_id(now_millis(), random())
}

fn now_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes);
    bytes
}
