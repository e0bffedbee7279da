//! A cluster of three nats-servers.

use std::time::Duration;

use async_nats::jetstream::{self, stream};

use crate::error::StartError;
use crate::nats::NatsServer;
use crate::port::{PortLease, random_number};
use crate::raw_client::RawClient;
use crate::wait::eventually;

const NODES: usize = 3;
/// The longest wait until the servers have found each other and elected a leader, usually a few seconds.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of one request to the servers: without a leader there is no answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// A stream that exists only for a moment, to test whether streams can be created.
const PROBE_STREAM: &str = "TESTKIT_PROBE";

/// A cluster of three nats-servers on 127.0.0.1 with JetStream and one token. Dropping it ends all of them.
///
/// It survives the loss of any one server, streams with three copies included.
#[derive(Debug)]
pub struct NatsCluster {
    nodes: Vec<NatsServer>,
    _route_leases: Vec<PortLease>,
}

impl NatsCluster {
    /// Starts the servers and returns once a stream with three copies can be created.
    ///
    /// # Errors
    /// [`StartError`]: no nats-server found, one did not start, or they did not form a cluster.
    pub async fn start() -> Result<Self, StartError> {
        let leases: Vec<_> = (0..NODES)
            .map(|_| PortLease::take())
            .collect::<Result<_, _>>()
            .map_err(StartError::io("find a free port"))?;
        let routes: Vec<_> = leases
            .iter()
            .map(|lease| format!("\"nats://127.0.0.1:{}\"", lease.port()))
            .collect();
        let name = format!("testkit-{:016x}", random_number());
        let mut nodes = Vec::new();
        for lease in &leases {
            let cluster = format!(
                "cluster {{ name: {name}, listen: \"127.0.0.1:{}\", routes: [{}] }}",
                lease.port(),
                routes.join(", ")
            );
            nodes.push(
                NatsServer::builder()
                    .token("cluster_token")
                    .jetstream(true)
                    .extra_config(cluster)
                    .start()
                    .await?,
            );
        }
        let cluster = Self {
            nodes,
            _route_leases: leases,
        };
        let ready = eventually(CLUSTER_TIMEOUT, async || {
            for node in &cluster.nodes {
                answers(node).await?;
            }
            make_probe(&cluster.url()).await
        });
        match ready.await {
            Ok(()) => Ok(cluster),
            Err(_) => Err(cluster.apart(0)),
        }
    }

    /// URLs of the three servers, each with the token.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(NatsServer::url).collect()
    }

    /// All URLs in one text, separated by commas, as agents and registries take them.
    pub fn url(&self) -> String {
        self.urls().join(",")
    }

    /// One of the servers, 0 to 2.
    ///
    /// # Panics
    /// For another number.
    pub fn node(&self, number: usize) -> &NatsServer {
        &self.nodes[number]
    }

    /// Kills one server (0 to 2) with SIGKILL and returns when it is gone. Its files and ports stay.
    ///
    /// # Panics
    /// For another number.
    pub fn kill9(&mut self, number: usize) {
        self.nodes[number].kill9();
    }

    /// Starts one server (0 to 2) again, after stopping it if it runs, and returns once its JetStream answers.
    ///
    /// # Errors
    /// [`StartError`] when it does not start, or does not find the others.
    ///
    /// # Panics
    /// For another number.
    pub async fn restart(&mut self, number: usize) -> Result<(), StartError> {
        self.nodes[number].restart().await?;
        let back = eventually(CLUSTER_TIMEOUT, async || answers(&self.nodes[number]).await);
        back.await.map_err(|_| self.apart(number))
    }

    /// The number of the server that leads `stream`, `None` while it has no leader.
    ///
    /// # Errors
    /// The reason: no server of the cluster can be reached, or there is no such stream.
    pub async fn leader_of(&self, stream: &str) -> Result<Option<usize>, String> {
        let context = context(&self.url()).await?;
        let stream = context.get_stream(stream).await.map_err(|error| error.to_string())?;
        let leader = stream
            .cached_info()
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.leader.clone());
        Ok(leader.and_then(|leader| self.nodes.iter().position(|node| node.name() == leader)))
    }

    /// The error for servers that run, but do not form a cluster.
    fn apart(&self, number: usize) -> StartError {
        self.nodes[number].not_ready(CLUSTER_TIMEOUT)
    }
}

async fn context(url: &str) -> Result<jetstream::Context, String> {
    let client = RawClient::connect(url).await.map_err(|error| error.to_string())?;
    Ok(jetstream::ContextBuilder::new().timeout(REQUEST_TIMEOUT).build(client))
}

/// Whether JetStream answers through this server, that is, whether there is a leader.
async fn answers(node: &NatsServer) -> Result<(), String> {
    let context = context(&node.url()).await?;
    context
        .query_account()
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Creates a stream with a copy on every server, and removes it.
async fn make_probe(url: &str) -> Result<(), String> {
    let context = context(url).await?;
    let config = stream::Config {
        name: PROBE_STREAM.to_owned(),
        subjects: vec!["testkit.probe".to_owned()],
        storage: stream::StorageType::Memory,
        num_replicas: NODES,
        ..Default::default()
    };
    context
        .get_or_create_stream(config)
        .await
        .map_err(|error| error.to_string())?;
    context
        .delete_stream(PROBE_STREAM)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}
