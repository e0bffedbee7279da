//! A node's metrics and health over HTTP, with the feature `metrics-http`.

use std::net::SocketAddr;
use std::sync::Weak;

use agentnet_metrics_http::{Server, Source};

use crate::error::StartError;
use crate::node::{AgentNode, Shared};

/// Weak: the page must not keep a dropped node alive.
pub(crate) struct Page(pub(crate) Weak<Shared>);

/// Listens where the node is to show its metrics.
pub(crate) async fn listen(address: Option<SocketAddr>) -> Result<Option<Server>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let bound = Server::bind(address).await;
    bound.map(Some).map_err(|error| StartError::MetricsAddress {
        address,
        why: error.source.to_string(),
    })
}

impl Page {
    fn node(&self) -> Option<AgentNode> {
        self.0.upgrade().map(AgentNode::from_shared)
    }
}

impl Source for Page {
    fn metrics(&self) -> String {
        self.node()
            .map(|node| node.metrics_snapshot().to_prometheus())
            .unwrap_or_default()
    }

    async fn health(&self) -> Result<(), String> {
        let session = self.node().and_then(|node| node.session().ok());
        match session {
            Some(session) if session.publisher.is_connected() => Ok(()),
            Some(_) => Err("no connection to NATS".to_owned()),
            None => Err("the node is not running".to_owned()),
        }
    }
}
