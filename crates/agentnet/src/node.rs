//! [`AgentNode`]: one agent on the network.

mod lifecycle;
mod rejoin;
mod rotate_key;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentnet_protocol::{AgentInfo, Text};
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::blob_store::BlobSettings;
use crate::config::{Config, Limits};
use crate::context::Context;
use crate::error::SendError;
use crate::handler::{AnyHandler, Closure, HandlerResult};
use crate::identity::KeySource;
use crate::mailbox::outbox::Outbox;
use crate::message::Message;
use crate::metrics::{Metrics, MetricsSnapshot};
use crate::session::Session;
use crate::session::registration::requested_info;
use crate::task::{AnyTaskHandler, ClaimedWork, TaskClosure, TaskContext, TaskFailure, TaskOutput};

/// One agent on the network. Cloning gives another handle to the same agent.
///
/// Build it with [`AgentNode::builder`], start it, send and receive, close it. Dropping the last handle of a running node ends
/// its tasks without a goodbye; [`AgentNode::close`] is the clean way.
///
/// ```no_run
/// use agentnet::{AgentNode, json};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let node = AgentNode::builder("agent_a").username("alice").start().await?;
/// let sent = node.send("@bob", json!({ "text": "hello" })).thread("ops_1").await?;
/// let reply = node.request("@bob", json!({ "text": "got it?" })).parent(sent.message_id).await?;
/// println!("{}", reply.payload());
/// node.close().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AgentNode {
    shared: Arc<Shared>,
}

/// What all handles of a node share.
pub(crate) struct Shared {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    handler: RwLock<Option<Arc<dyn AnyHandler>>>,
    task_handler: RwLock<Option<Arc<dyn AnyTaskHandler>>>,
    running: RwLock<Option<Running>>,
    /// Held while the node starts or closes.
    changing: tokio::sync::Mutex<()>,
    /// Between start and close, also while it joins again.
    started: AtomicBool,
    /// The identity of the last session, for `metrics_snapshot` after close.
    last: Mutex<Option<(Text, Text)>>,
    outbox: Outbox,
}

struct Running {
    session: Arc<Session>,
    /// Intake and workers.
    work: TaskTracker,
    #[cfg(feature = "metrics-http")]
    metrics_addr: Option<std::net::SocketAddr>,
    /// Ends every task when the last handle is dropped.
    _ends: DropGuard,
}

impl AgentNode {
    pub(crate) fn new(config: Config) -> Self {
        let metrics = Arc::new(Metrics::new(config.limits.metrics_window));
        Self {
            shared: Arc::new(Shared {
                config: Arc::new(config),
                metrics,
                handler: RwLock::new(None),
                task_handler: RwLock::new(None),
                running: RwLock::new(None),
                changing: tokio::sync::Mutex::new(()),
                started: AtomicBool::new(false),
                last: Mutex::new(None),
                outbox: Outbox::default(),
            }),
        }
    }

    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sets what is done with the messages that arrive. Takes effect at the next start.
    pub fn on_message<F, Fut>(&self, handler: F)
    where
        F: Fn(Message, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerResult> + Send + 'static,
    {
        self.set_handler(Arc::new(Closure(handler)));
    }

    /// Sets what is done with tasks, see [`AgentBuilder::on_task`](crate::AgentBuilder::on_task). Takes effect at the next start.
    pub fn on_task<F, Fut, R>(&self, handler: F)
    where
        F: Fn(ClaimedWork, TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, TaskFailure>> + Send + 'static,
        R: Into<TaskOutput> + 'static,
    {
        self.set_task_handler(Arc::new(TaskClosure(handler)));
    }

    pub(crate) fn set_task_handler(&self, handler: Arc<dyn AnyTaskHandler>) {
        *self.shared.task_handler.write() = Some(handler);
    }

    pub(crate) fn set_handler(&self, handler: Arc<dyn AnyHandler>) {
        *self.shared.handler.write() = Some(handler);
    }

    /// The node's description of itself; it has account, username and session while the node runs.
    #[must_use]
    pub fn info(&self) -> AgentInfo {
        match self.session() {
            Ok(session) => session.info(&self.shared.config),
            Err(_) => requested_info(&self.shared.config),
        }
    }

    /// The account id, while the node runs.
    #[must_use]
    pub fn account_id(&self) -> Option<String> {
        self.session().ok().map(|session| session.account_id().to_string())
    }

    /// The username that the registry gave, while the node runs.
    #[must_use]
    pub fn username(&self) -> Option<String> {
        self.session().ok().map(|session| session.username.to_string())
    }

    /// The session tag, while the node runs.
    #[must_use]
    pub fn session_tag(&self) -> Option<String> {
        self.session()
            .ok()
            .map(|session| session.sender().session_tag.to_string())
    }

    /// The address where the metrics are served, while the node runs, if the builder named one.
    #[cfg(feature = "metrics-http")]
    #[must_use]
    pub fn metrics_addr(&self) -> Option<std::net::SocketAddr> {
        let running = self.shared.running.read();
        running.as_ref().and_then(|running| running.metrics_addr)
    }

    /// The node's counters at this moment (section 17).
    #[must_use]
    pub fn metrics_snapshot(&self) -> MetricsSnapshot {
        let mut snapshot = MetricsSnapshot::of(&self.shared.metrics);
        snapshot.agent_id.clone_from(&self.shared.config.agent_id);
        snapshot.username_cache.ttl_seconds = self.limits().resolve_cache_ttl.as_secs_f64();
        if let Some((account_id, username)) = &*self.shared.last.lock() {
            snapshot.account_id = Some(account_id.to_string());
            snapshot.username = Some(username.to_string());
        }
        let running = self.shared.running.read();
        if let Some(running) = &*running {
            let session = &running.session;
            snapshot.session_tag = Some(session.sender().session_tag.to_string());
            snapshot.inflight_count = session.inflight.load(Ordering::Relaxed) as u64;
            snapshot.pending_count = session.pending();
            snapshot.circuit_open = session.circuit.is_open(session.monotonic());
            snapshot.username_cache.size = session.usernames.len() as u64;
        }
        snapshot
    }

    pub(crate) fn session(&self) -> Result<Arc<Session>, SendError> {
        let running = self.shared.running.read();
        running
            .as_ref()
            .map(|running| running.session.clone())
            .ok_or(SendError::NotRunning)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.config.limits
    }

    pub(crate) fn blob_settings(&self) -> &BlobSettings {
        &self.shared.config.blobs
    }

    /// The order of the sends that ask for the mailbox, also after the node has joined again.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.shared.outbox
    }

    pub(crate) fn key_source(&self) -> Option<&KeySource> {
        self.shared.config.key.as_ref()
    }
}

impl std::fmt::Debug for AgentNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentNode")
            .field("agent_id", &self.shared.config.agent_id)
            .field("account_id", &self.account_id())
            .finish_non_exhaustive()
    }
}
