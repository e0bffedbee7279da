//! A message in Python: its envelope, decoded when it is read (PROTOCOL.md section 5.1).

use std::sync::OnceLock;

use agentnet::protocol::DecodeError;
use agentnet::protocol::json::{JsonError, Kind};
use agentnet::{Context, Envelope, Message, RawJson, Text};
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyDict, PyString, PyType};

use crate::json;

/// One message: sender, receiver, thread and payload. Messages do not change.
#[pyclass(frozen, module = "agentnet.schema")]
pub(crate) struct AgentMessage {
    message: Message,
    /// The handler's calls for this message.
    context: Option<Context>,
    /// The payload as a Python value, made at the first access: always the same object.
    payload: OnceLock<Py<PyAny>>,
}

fn opt(text: Option<&Text>) -> Option<&str> {
    text.map(|text| &**text)
}

impl AgentMessage {
    pub(crate) fn received(message: Message, context: Option<Context>) -> Self {
        Self {
            message,
            context,
            payload: OnceLock::new(),
        }
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(payload) = self.payload.get() {
            return Ok(payload.bind(py).clone());
        }
        let payload = json::to_python(py, self.message.payload())?;
        Ok(self.payload.get_or_init(|| payload.unbind()).bind(py).clone())
    }
}

#[pymethods]
#[expect(clippy::wrong_self_convention, reason = "members whose names begin with `from_`")]
impl AgentMessage {
    #[new]
    #[pyo3(signature = (
        message_id, from_agent, to_agent, payload, sent_at, from_account_id=None, to_account_id=None, from_session_tag=None,
        ttl_ms=None, expires_at=None, trace_id=None, thread_id=None, parent_message_id=None, kind="direct",
        schema_version="1.0", idempotency_key=None, reply_to=None, auth=None
    ))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the constructor of the data class in agentnet-realm 0.1.1"
    )]
    fn new(
        message_id: String,
        from_agent: String,
        to_agent: String,
        payload: &Bound<'_, PyAny>,
        sent_at: String,
        from_account_id: Option<String>,
        to_account_id: Option<String>,
        from_session_tag: Option<String>,
        ttl_ms: Option<i128>,
        expires_at: Option<String>,
        trace_id: Option<String>,
        thread_id: Option<String>,
        parent_message_id: Option<String>,
        kind: &str,
        schema_version: &str,
        idempotency_key: Option<String>,
        reply_to: Option<Bound<'_, PyString>>,
        auth: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let text = |text: Option<String>| text.map(Text::from);
        let envelope = Envelope {
            message_id: message_id.into(),
            from_agent: from_agent.into(),
            to_agent: to_agent.into(),
            payload: json::from_python(payload)?,
            sent_at: sent_at.into(),
            kind: kind.into(),
            schema_version: schema_version.into(),
            from_session_tag: text(from_session_tag),
            from_account_id: text(from_account_id),
            to_account_id: text(to_account_id),
            ttl_ms,
            expires_at: text(expires_at),
            trace_id: text(trace_id),
            thread_id: text(thread_id),
            parent_message_id: text(parent_message_id),
            idempotency_key: text(idempotency_key),
            reply_to: reply_to.map(|text| json::from_python(&text)).transpose()?,
            auth: auth.map(|auth| json::from_python(&auth)).transpose()?,
            mailbox: None,
        };
        let message = Self::received(envelope.into(), None);
        // No other reference to it exists yet.
        let _ = message.payload.set(payload.clone().unbind());
        Ok(message)
    }

    /// Reads a message from a dict as it is on the wire. Raises `OverflowError` for an infinite `ttl_ms`.
    #[classmethod]
    fn from_dict(_class: &Bound<'_, PyType>, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = data.py();
        let data = match data.cast::<PyDict>() {
            Ok(dict) => dict.clone(),
            Err(_) => PyType::new::<PyDict>(py).call1((data,))?.cast_into::<PyDict>()?,
        };
        let body = json::from_python(&data)?.into_text();
        match Envelope::decode(body.into_bytes()) {
            Ok(envelope) => Ok(Self::received(envelope.into(), None)),
            Err(DecodeError::Json(error @ JsonError::Overflow)) => Err(PyOverflowError::new_err(error.to_string())),
            Err(error) => Err(PyValueError::new_err(error.to_string())),
        }
    }

    /// The message as it is on the wire, absent members left out.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut envelope = self.message.envelope().clone();
        envelope.payload = RawJson::null();
        if let Some(subject) = self.message.reply_to() {
            envelope.reply_to = RawJson::from_serialize(subject).ok();
        }
        let text = Text::try_from(envelope.encode()).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let json = RawJson::parse(text).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let dict = json::to_python(py, &json)?.cast_into::<PyDict>()?;
        dict.set_item(intern!(py, "payload"), self.value(py)?)?;
        Ok(dict)
    }

    #[getter]
    fn message_id(&self) -> &str {
        &self.message.message_id
    }

    #[getter]
    fn from_agent(&self) -> &str {
        &self.message.from_agent
    }

    #[getter]
    fn to_agent(&self) -> &str {
        &self.message.to_agent
    }

    /// The payload: any JSON, as plain Python values.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.value(py)
    }

    /// The payload's text, if it has one: a text payload, or the `text` of a dict.
    #[getter]
    fn text(&self) -> Option<String> {
        self.message.text()
    }

    #[getter]
    fn sent_at(&self) -> &str {
        &self.message.sent_at
    }

    #[getter]
    fn kind(&self) -> &str {
        &self.message.kind
    }

    #[getter]
    fn schema_version(&self) -> &str {
        &self.message.schema_version
    }

    #[getter]
    fn from_session_tag(&self) -> Option<&str> {
        opt(self.message.from_session_tag.as_ref())
    }

    #[getter]
    fn from_account_id(&self) -> Option<&str> {
        opt(self.message.from_account_id.as_ref())
    }

    #[getter]
    fn to_account_id(&self) -> Option<&str> {
        opt(self.message.to_account_id.as_ref())
    }

    #[getter]
    fn ttl_ms(&self) -> Option<i128> {
        self.message.ttl_ms
    }

    #[getter]
    fn expires_at(&self) -> Option<&str> {
        opt(self.message.expires_at.as_ref())
    }

    #[getter]
    fn trace_id(&self) -> Option<&str> {
        opt(self.message.trace_id.as_ref())
    }

    #[getter]
    fn thread_id(&self) -> Option<&str> {
        opt(self.message.thread_id.as_ref())
    }

    #[getter]
    fn parent_message_id(&self) -> Option<&str> {
        opt(self.message.parent_message_id.as_ref())
    }

    #[getter]
    fn idempotency_key(&self) -> Option<&str> {
        opt(self.message.idempotency_key.as_ref())
    }

    /// The subject for a reply; None if the sender does not wait for one.
    #[getter]
    fn reply_to<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match (self.message.reply_to(), &self.message.reply_to) {
            (Some(subject), _) => subject.into_bound_py_any(py),
            (None, Some(written)) if written.view().kind() == Kind::String => json::to_python(py, written),
            _ => Ok(py.None().into_bound(py)),
        }
    }

    #[getter]
    fn auth<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.message
            .auth
            .as_ref()
            .map(|auth| json::to_python(py, auth))
            .transpose()
    }

    fn __eq__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match other.cast::<Self>() {
            Ok(other) => self.to_dict(py)?.eq(other.get().to_dict(py)?)?.into_bound_py_any(py),
            Err(_) => Ok(py.NotImplemented().into_bound(py)),
        }
    }

    /// Equal messages have equal ids.
    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyString::new(py, &self.message.message_id).hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let members: Vec<String> = self
            .to_dict(py)?
            .iter()
            .map(|(name, value)| Ok(format!("{}={}", name.str()?, value.repr()?)))
            .collect::<PyResult<_>>()?;
        Ok(format!("AgentMessage({})", members.join(", ")))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyDict>,))> {
        let py = slf.py();
        let read = PyType::new::<Self>(py).getattr(intern!(py, "from_dict"))?;
        Ok((read, (slf.get().to_dict(py)?,)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.payload.get())
    }
}
