//! [`AgentNode`]: one agent on the network.

mod rejoin;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use agentnet_protocol::target::{Target, Verb};
use agentnet_protocol::{AgentInfo, Text};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::blob_store::BlobSettings;
use crate::builder::AgentBuilder;
use crate::config::{Config, Limits};
use crate::error::{SendError, StartError};
use crate::guard::Guards;
use crate::handler::{AnyHandler, Closure, Context, HandlerResult, Message};
use crate::identity::{self, KeySource, Verifier};
use crate::inbox::Intake;
use crate::metrics::{Metrics, MetricsSnapshot};
use crate::outgoing::IntoPayload;
use crate::request::Request;
use crate::send::{Destination, Reply, Send};
use crate::session::{self, Live};
use crate::worker::{Worker, Workers};

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
    running: RwLock<Option<Running>>,
    /// Held while the node starts or closes.
    changing: tokio::sync::Mutex<()>,
    /// Between start and close, also while it joins again.
    started: AtomicBool,
    /// The identity of the last session, for `metrics_snapshot` after close.
    last: Mutex<Option<(Text, Text)>>,
}

struct Running {
    live: Arc<Live>,
    /// Intake and workers.
    work: TaskTracker,
    #[cfg(feature = "metrics-http")]
    metrics_addr: Option<std::net::SocketAddr>,
    /// Ends every task when the last handle is dropped.
    _ends: DropGuard,
}

/// How long the refusals of unfinished work may take; they wait only for a connection.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

impl AgentNode {
    /// Describes an agent; `agent_id` is its logical role label.
    pub fn builder(agent_id: impl Into<String>) -> AgentBuilder {
        AgentBuilder::new(agent_id)
    }

    pub(crate) fn new(config: Config) -> Self {
        let metrics = Arc::new(Metrics::new(config.limits.metrics_window));
        Self {
            shared: Arc::new(Shared {
                config: Arc::new(config),
                metrics,
                handler: RwLock::new(None),
                running: RwLock::new(None),
                changing: tokio::sync::Mutex::new(()),
                started: AtomicBool::new(false),
                last: Mutex::new(None),
            }),
        }
    }

    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sets what is done with the messages that arrive. Takes effect at the next start.
    pub fn on_message<F, Fut>(&self, handler: F)
    where
        F: Fn(Message, Context) -> Fut + std::marker::Send + Sync + 'static,
        Fut: Future<Output = HandlerResult> + std::marker::Send + 'static,
    {
        self.set_handler(Arc::new(Closure(handler)));
    }

    pub(crate) fn set_handler(&self, handler: Arc<dyn AnyHandler>) {
        *self.shared.handler.write().unwrap_or_else(PoisonError::into_inner) = Some(handler);
    }

    /// Connects, registers, subscribes and says hello (PROTOCOL.md section 14).
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind then.
    pub async fn start(&self) -> Result<(), StartError> {
        let _changing = self.shared.changing.lock().await;
        if self.live().is_ok() {
            return Err(StartError::Running);
        }
        self.open_session().await?;
        self.shared.started.store(true, Ordering::Release);
        Ok(())
    }

    async fn open_session(&self) -> Result<(), StartError> {
        let config = &self.shared.config;
        #[cfg(feature = "metrics-http")]
        let page = crate::metrics::page::listen(config.metrics_addr).await?;
        let live = Arc::new(Live::open(config, self.shared.metrics.clone()).await?);
        let ends = live.ended.clone().drop_guard();
        match self.join(live.clone(), ends).await {
            Ok(running) => {
                #[cfg(feature = "metrics-http")]
                let running = self.show_metrics(page, running);
                tokio::spawn(rejoin::watch(Arc::downgrade(&self.shared), &running.live));
                *self.shared.running.write().unwrap_or_else(PoisonError::into_inner) = Some(running);
                Ok(())
            }
            Err(error) => {
                live.farewell().await;
                Err(error)
            }
        }
    }

    /// Subscribes, says hello and starts the tasks of a registered session.
    async fn join(&self, live: Arc<Live>, ends: DropGuard) -> Result<Running, StartError> {
        let config = &self.shared.config;
        let account_id = &live.sender.account_id;
        *self.shared.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((account_id.clone(), live.username.clone()));
        let mark = live.connections.denials.mark();
        live.hear_receipts().await?;
        let work = TaskTracker::new();
        let handler = self
            .shared
            .handler
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match handler {
            Some(handler) => self.start_intake(&live, &work, handler).await?,
            None => {
                if !config.capabilities.is_empty() {
                    tracing::warn!("capabilities are advertised, but without a handler no message is taken");
                }
            }
        }
        if let Some(identity) = &live.identity {
            let minded = identity::mind_binding(identity.clone(), live.sender.clone());
            live.serve(minded);
        }
        live.hello(config).await;
        // Whoever hears of the node from here on must be able to reach it.
        if !live.round_trip().await {
            tracing::warn!("the start was not confirmed by the server");
        }
        live.subscriptions_permitted(mark, &config.capabilities).await?;
        live.serve(session::keep_alive(live.clone(), config.clone()));
        Ok(Running {
            live,
            work,
            #[cfg(feature = "metrics-http")]
            metrics_addr: None,
            _ends: ends,
        })
    }

    #[cfg(feature = "metrics-http")]
    fn show_metrics(&self, page: Option<agentnet_metrics_http::Server>, mut running: Running) -> Running {
        if let Some(page) = page {
            running.metrics_addr = Some(page.address());
            let source = crate::metrics::page::Page(Arc::downgrade(&self.shared));
            let ended = running.live.ended.clone().cancelled_owned();
            running.live.service.tasks.spawn(page.serve(source, ended));
        }
        running
    }

    async fn start_intake(
        &self,
        live: &Arc<Live>,
        work: &TaskTracker,
        handler: Arc<dyn AnyHandler>,
    ) -> Result<(), StartError> {
        let config = &self.shared.config;
        let limits = &config.limits;
        let subscriptions = live.subscribe_intake(&config.capabilities).await?;
        let (sender, backlog) = async_channel::bounded(limits.max_pending);
        let (failed_sender, failed) = tokio::sync::mpsc::channel(limits.max_concurrency);
        let worker = Worker {
            node: Arc::downgrade(&self.shared),
            live: live.clone(),
            metrics: self.shared.metrics.clone(),
            handler,
            timeout: limits.work_timeout,
            failed: failed_sender,
        };
        let workers = Workers {
            worker,
            backlog: backlog.clone(),
            running: Arc::default(),
            at_most: limits.max_concurrency,
            tasks: work.clone(),
        };
        let account_id = &live.sender.account_id;
        let intake = Intake {
            live: live.clone(),
            metrics: self.shared.metrics.clone(),
            guards: Guards::new(account_id, &config.agent_id, config.supported_schema_major, limits)
                .of_signed(live.identity.is_some()),
            verifier: Verifier::new(live.identity.clone(), account_id.clone(), config),
            max_payload_bytes: limits.max_payload_bytes,
            backlog: sender,
            workers,
            failed,
        };
        live.spawn(work, Box::new(intake).run(subscriptions));
        // A session has one intake.
        let _ = live.backlog.set(backlog);
        Ok(())
    }

    /// Starts the node and runs it until the process is told to stop (Ctrl-C, or SIGTERM on Unix); then closes it.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_forever(&self) -> Result<(), StartError> {
        self.start().await?;
        self.run_until_stopped().await
    }

    /// Runs a started node until the process is told to stop (Ctrl-C, or SIGTERM on Unix); then closes it.
    ///
    /// # Errors
    /// None today; the type leaves room.
    pub async fn run_until_stopped(&self) -> Result<(), StartError> {
        stop_signal().await;
        self.close().await;
        Ok(())
    }

    /// Leaves the network: no new work, accepted work is finished within
    /// [`drain_timeout`](Limits::drain_timeout), the rest is refused with `shutting_down`, goodbye (section 0.7).
    /// Does nothing if the node is not running.
    pub async fn close(&self) {
        let _changing = self.shared.changing.lock().await;
        self.shared.started.store(false, Ordering::Release);
        self.end_session().await;
    }

    async fn end_session(&self) {
        let running = self
            .shared
            .running
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|running| (running.live.clone(), running.work.clone()));
        let Some((live, work)) = running else { return };
        live.leaving.cancel();
        work.close();
        if tokio::time::timeout(self.limits().drain_timeout, work.wait())
            .await
            .is_err()
        {
            live.accepting.store(false, Ordering::Release);
            live.aborted.cancel();
            if tokio::time::timeout(REFUSAL_TIMEOUT, work.wait()).await.is_err() {
                tracing::warn!("closing without a connection: what was left could not be refused");
            }
        }
        live.replies.cancel_streams(&live);
        live.streams.close().await;
        live.farewell().await;
        live.receipts.abandon();
        live.replies.abandon();
        live.ended.cancel();
        live.service.ended().await;
        // Only now: until here a handler could still reply and send.
        self.shared
            .running
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Sends a message to a target of section 11.2: `@name`, `name`, `acct_…` or `account:<id>`.
    pub fn send(&self, to: impl Into<String>, payload: impl IntoPayload) -> Send {
        Send::new(self.clone(), Destination::Text(to.into(), Verb::Send), payload)
    }

    /// Sends a message to an account.
    pub fn send_to_account(&self, account_id: impl Into<String>, payload: impl IntoPayload) -> Send {
        Send::new(
            self.clone(),
            Destination::Target(Target::Account(account_id.into())),
            payload,
        )
    }

    /// Sends a message to the account of a username.
    pub fn send_to_username(&self, username: impl Into<String>, payload: impl IntoPayload) -> Send {
        Send::new(
            self.clone(),
            Destination::Target(Target::Username(username.into())),
            payload,
        )
    }

    /// Sends a message to one of the agents with a capability.
    pub fn send_to_capability(&self, capability: impl Into<String>, payload: impl IntoPayload) -> Send {
        Send::new(
            self.clone(),
            Destination::Target(Target::Capability(capability.into())),
            payload,
        )
    }

    /// Makes a request to a target of section 11.2.
    pub fn request(&self, to: impl Into<String>, payload: impl IntoPayload) -> Request {
        Request::new(self.clone(), Destination::Text(to.into(), Verb::Request), payload)
    }

    /// Makes a request to an account.
    pub fn request_account(&self, account_id: impl Into<String>, payload: impl IntoPayload) -> Request {
        Request::new(
            self.clone(),
            Destination::Target(Target::Account(account_id.into())),
            payload,
        )
    }

    /// Makes a request to the account of a username.
    pub fn request_username(&self, username: impl Into<String>, payload: impl IntoPayload) -> Request {
        Request::new(
            self.clone(),
            Destination::Target(Target::Username(username.into())),
            payload,
        )
    }

    /// Makes a request to one of the agents with a capability.
    pub fn request_capability(&self, capability: impl Into<String>, payload: impl IntoPayload) -> Request {
        Request::new(
            self.clone(),
            Destination::Target(Target::Capability(capability.into())),
            payload,
        )
    }

    /// Answers a message that was received (section 11.6).
    pub fn reply(&self, request: &Message, payload: impl IntoPayload) -> Reply {
        Reply::new(self.clone(), request, payload)
    }

    /// What the node says of itself; account, username and session are there while it runs.
    #[must_use]
    pub fn info(&self) -> AgentInfo {
        match self.live() {
            Ok(live) => live.info(&self.shared.config),
            Err(_) => session::wanted(&self.shared.config),
        }
    }

    /// The account id, while the node runs.
    #[must_use]
    pub fn account_id(&self) -> Option<String> {
        self.live().ok().map(|live| live.sender.account_id.to_string())
    }

    /// The username that the registry gave, while the node runs.
    #[must_use]
    pub fn username(&self) -> Option<String> {
        self.live().ok().map(|live| live.username.to_string())
    }

    /// The session tag, while the node runs.
    #[must_use]
    pub fn session_tag(&self) -> Option<String> {
        self.live().ok().map(|live| live.sender.session_tag.to_string())
    }

    /// Where the metrics are served, while the node runs and if it was told to.
    #[cfg(feature = "metrics-http")]
    #[must_use]
    pub fn metrics_addr(&self) -> Option<std::net::SocketAddr> {
        let running = self.shared.running.read().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().and_then(|running| running.metrics_addr)
    }

    /// The node's counters at this moment (section 17).
    #[must_use]
    pub fn metrics_snapshot(&self) -> MetricsSnapshot {
        let mut snapshot = MetricsSnapshot::of(&self.shared.metrics);
        snapshot.agent_id.clone_from(&self.shared.config.agent_id);
        snapshot.username_cache.ttl_seconds = self.limits().resolve_cache_ttl.as_secs_f64();
        if let Some((account_id, username)) = &*self.shared.last.lock().unwrap_or_else(PoisonError::into_inner) {
            snapshot.account_id = Some(account_id.to_string());
            snapshot.username = Some(username.to_string());
        }
        let running = self.shared.running.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*running {
            let live = &running.live;
            snapshot.session_tag = Some(live.sender.session_tag.to_string());
            snapshot.inflight_count = live.inflight.load(Ordering::Relaxed) as u64;
            snapshot.pending_count = live.waiting();
            snapshot.circuit_open = live.circuit.is_open(live.monotonic());
            snapshot.username_cache.size = live.resolver.len() as u64;
        }
        snapshot
    }

    pub(crate) fn live(&self) -> Result<Arc<Live>, SendError> {
        let running = self.shared.running.read().unwrap_or_else(PoisonError::into_inner);
        running
            .as_ref()
            .map(|running| running.live.clone())
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

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    pub(crate) fn key_source(&self) -> Option<&KeySource> {
        self.shared.config.key.as_ref()
    }

    pub(crate) fn schema_version(&self) -> Text {
        Text::from(self.shared.config.schema_version.as_str())
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

async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
