//! Calling the registry: requests and replies are the dicts of PROTOCOL.md section 6.

use std::time::Duration;

use agentnet::protocol::rpc::{
    ListRequest, MailboxListRequest, MailboxStatusRequest, MessageSearchRequest, MetricsRequest, ProfileRequest,
    Request, ResolveAccountRequest, ResolveKeyRequest, RpcError, SearchRequest, TaskEventsRequest, TaskListRequest,
    TaskStatusRequest, ThreadListRequest, ThreadMessagesRequest, ThreadStatusRequest, decode_request,
};
use agentnet::{AgentNode, RawJson, RegistryClient, RegistryError, SendError, Text};
use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::calls::submit;
use crate::exceptions::{Raise as _, bug};
use crate::json;
use crate::node::Node;
use crate::options::duration;

/// A client of the registry, on a connection of its own or on a node's.
#[pyclass(frozen, module = "agentnet._native")]
pub(crate) struct Registry {
    client: ClientSource,
}

enum ClientSource {
    Own(RegistryClient),
    Of(AgentNode),
}

/// The reason why there is no reply.
enum CallError {
    Request(RpcError),
    Unknown(String),
    Registry(RegistryError),
    Node(SendError),
}

#[pymethods]
impl Registry {
    /// The client of a node.
    #[staticmethod]
    fn of(node: &Node) -> Self {
        Self {
            client: ClientSource::Of(node.node().clone()),
        }
    }

    /// Calls `registry.<name>`; the result is its reply as a dict, also if it has an `error`.
    fn call<'py>(
        &self,
        py: Python<'py>,
        name: String,
        request: &Bound<'py, PyAny>,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let body = json::from_python(request)?;
        let client = match &self.client {
            ClientSource::Own(client) => Ok(client.clone()),
            ClientSource::Of(node) => node.registry().map_err(CallError::Node),
        };
        let timeout = duration(timeout);
        let called = async move { call(client?, &name, &body, timeout).await };
        submit(py, called, |py, reply| match reply {
            Ok(body) => {
                let text = Text::try_from(body).map_err(bug)?;
                let value = RawJson::parse(text).map_err(|error| PyValueError::new_err(error.to_string()))?;
                json::to_python(py, &value).map(Bound::unbind)
            }
            Err(CallError::Request(error)) => Err(PyValueError::new_err(error.to_string())),
            Err(CallError::Unknown(name)) => Err(bug(format!("no call registry.{name}"))),
            Err(CallError::Registry(error)) => Err(error.raise(py)),
            Err(CallError::Node(error)) => Err(error.raise(py)),
        })
    }
}

/// Opens a connection for calls of the registry.
#[pyfunction]
pub(crate) fn connect_registry(py: Python<'_>, url: String) -> PyResult<Bound<'_, PyAny>> {
    let connected = async move { RegistryClient::connect(&url).await };
    submit(py, connected, |py, connected| match connected {
        Ok(client) => {
            let registry = Registry {
                client: ClientSource::Own(client),
            };
            Ok(Bound::new(py, registry)?.into_any().unbind())
        }
        Err(error) => Err(error.raise(py)),
    })
}

async fn call(client: RegistryClient, name: &str, body: &RawJson, timeout: Duration) -> Result<Bytes, CallError> {
    let client = client.with_timeout(timeout);
    match name {
        ListRequest::NAME => ask::<ListRequest>(&client, body).await,
        ResolveAccountRequest::NAME => ask::<ResolveAccountRequest>(&client, body).await,
        ResolveKeyRequest::NAME => ask::<ResolveKeyRequest>(&client, body).await,
        SearchRequest::NAME => ask::<SearchRequest>(&client, body).await,
        ProfileRequest::NAME => ask::<ProfileRequest>(&client, body).await,
        ThreadStatusRequest::NAME => ask::<ThreadStatusRequest>(&client, body).await,
        ThreadListRequest::NAME => ask::<ThreadListRequest>(&client, body).await,
        ThreadMessagesRequest::NAME => ask::<ThreadMessagesRequest>(&client, body).await,
        MessageSearchRequest::NAME => ask::<MessageSearchRequest>(&client, body).await,
        MetricsRequest::NAME => ask::<MetricsRequest>(&client, body).await,
        MailboxStatusRequest::NAME => ask::<MailboxStatusRequest>(&client, body).await,
        MailboxListRequest::NAME => ask::<MailboxListRequest>(&client, body).await,
        TaskStatusRequest::NAME => ask::<TaskStatusRequest>(&client, body).await,
        TaskListRequest::NAME => ask::<TaskListRequest>(&client, body).await,
        TaskEventsRequest::NAME => ask::<TaskEventsRequest>(&client, body).await,
        other => Err(CallError::Unknown(other.to_owned())),
    }
}

async fn ask<R: Request + Sync>(client: &RegistryClient, body: &RawJson) -> Result<Bytes, CallError> {
    let request: R = decode_request(body.get().as_bytes()).map_err(CallError::Request)?;
    client.call_raw(&request).await.map_err(CallError::Registry)
}
