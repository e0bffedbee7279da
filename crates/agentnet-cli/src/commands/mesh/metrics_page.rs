//! `GET /metrics` and `GET /healthz` of `agentnet mesh run`.

use std::net::SocketAddr;
use std::sync::Arc;

use agentnet::Connection;
use agentnet_mesh::host::Host;
use agentnet_mesh::usage::metrics::MeshMetrics;
use agentnet_metrics_http::{Server, Source};
use async_nats::connection::State;
use tokio::task::JoinHandle;

use crate::exit::Failure;

struct Page {
    metrics: Arc<MeshMetrics>,
    connection: Connection,
}

impl Source for Page {
    fn metrics(&self) -> String {
        self.metrics.encode()
    }

    async fn health(&self) -> Result<(), String> {
        match self.connection.nats().connection_state() {
            State::Connected => Ok(()),
            _ => Err("no connection to NATS".to_owned()),
        }
    }
}

/// A listener that answers once the host runs.
pub(super) async fn bind(address: Option<SocketAddr>) -> Result<Option<Server>, Failure> {
    let Some(address) = address else { return Ok(None) };
    Server::bind(address).await.map(Some).map_err(|error| {
        Failure::error(error.to_string()).hint("give --metrics-addr a free port of this machine, or port 0 for any")
    })
}

/// Answers until the task is aborted.
pub(super) fn serve(server: Server, host: &Host) -> JoinHandle<()> {
    let page = Page {
        metrics: Arc::clone(host.metrics()),
        connection: host.connection().clone(),
    };
    tokio::spawn(server.serve(page, std::future::pending()))
}
