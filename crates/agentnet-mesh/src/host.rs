//! The host: the agents of a [`Mesh`] on one connection, and their tools, budgets and counters.
//!
//! 1. [`Host::start`] connects, starts the tools and joins with every agent. One that cannot join ends the start.
//! 2. Each message goes to the agent's `Responder`, whose parts [`Host::reload`] exchanges for the next message.
//! 3. [`Host::reload`] compares by key: agents that did not change are not touched. One with another identity joins anew before
//!    its old session is drained, so that no request is dropped.
//! 4. [`Host::close`] drains the agents in reverse order, ends what still runs, then the tools, and writes the ledger to the disk;
//!    [`Host::close_until`] also ends what still runs once it is told to.
//!
//! ```no_run
//! use agentnet_mesh::{config, host::{Host, HostOptions}};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let environment = |name: &str| std::env::var(name).ok();
//! let mesh = config::load("mesh.yaml".as_ref(), &environment, &[])?;
//! let host = Host::start(mesh, HostOptions::default()).await?;
//! // … until the program is stopped:
//! host.close().await;
//! # Ok(()) }
//! ```

mod agent_task;
mod changes;
mod events;
mod in_flight;
mod options;
pub mod watch;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentNode, Connection, DEFAULT_NATS_URL};
use futures::StreamExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::agent_task::AgentStatus;
use self::agent_task::{AgentEnvironment, AgentTask};
pub use self::changes::ReloadReport;
use self::changes::{Change, Changes};
pub use self::events::HostEvent;
use self::in_flight::InFlight;
pub use self::options::{HostError, HostOptions};
use crate::agent::AgentParts;
use crate::config::{AgentConfig, Mesh};
use crate::model::chain::ModelChain;
use crate::model::client::HttpClient;
use crate::tools::SharedTools;
use crate::tools::network::network_tools;
use crate::usage::ledger::Ledger;
use crate::usage::metrics::MeshMetrics;

/// Agents that join at the same time.
const START_CONCURRENCY: usize = 16;
/// How long cancelled handlers may take to refuse their messages.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);
/// The same, when the host must end at once.
const FORCED_REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Running agents. See the [module](self).
pub struct Host {
    core: Core,
    /// Held while the host reloads.
    state: tokio::sync::Mutex<State>,
    /// Old sessions that finish their messages, old MCP servers that are still used.
    background: TaskTracker,
}

/// What stays the same while the host runs.
struct Core {
    http: HttpClient,
    ledger: Arc<Ledger>,
    metrics: Arc<MeshMetrics>,
    environment: AgentEnvironment,
    only: Vec<String>,
    drain_timeout: Duration,
}

/// What a reload changes.
struct State {
    mesh: Mesh,
    tools: SharedTools,
    /// In the order of the file.
    agents: Vec<AgentTask>,
}

impl Host {
    /// Joins the network with the agents of the mesh.
    ///
    /// # Errors
    /// [`HostError`]; no agent stays on the network then.
    pub async fn start(mesh: Mesh, options: HostOptions) -> Result<Self, HostError> {
        Self::start_until(mesh, options, std::future::pending()).await
    }

    /// As [`Host::start`], until `interrupted` is ready: then MCP servers are killed at once, which takes a second at most.
    ///
    /// # Errors
    /// As [`Host::start`], and [`HostError::Interrupted`]: agents that had joined go offline when their sessions expire.
    pub async fn start_until(
        mut mesh: Mesh,
        options: HostOptions,
        interrupted: impl Future<Output = ()>,
    ) -> Result<Self, HostError> {
        options::select(&mut mesh, &options.only)?;
        let mut interrupted = pin!(interrupted);
        let core = tokio::select! {
            core = Core::connect(&mesh, options) => core?,
            () = &mut interrupted => return Err(HostError::Interrupted),
        };
        let tools = SharedTools::start(&mesh);
        let starting = async {
            let started = core.start_agents(&mesh, &tools).await;
            if started.is_err() {
                tools.close().await;
            }
            started
        };
        let started = tokio::select! {
            biased;
            started = starting => started,
            () = &mut interrupted => {
                tools.kill().await;
                Err(HostError::Interrupted)
            }
        };
        let agents = started?;
        core.count(&agents);
        Ok(Self {
            core,
            state: tokio::sync::Mutex::new(State { mesh, tools, agents }),
            background: TaskTracker::new(),
        })
    }

    /// Takes another configuration: agents are compared by key, and those that did not change are not touched, nor are MCP servers
    /// that did not change. Messages that are being answered are finished with the configuration that they began with.
    ///
    /// # Errors
    /// [`HostError::NoAgents`]: nothing would be left to run; nothing changed then. An agent that cannot join is in
    /// [`ReloadReport::failed`]: its old session, if it has one, goes on.
    pub async fn reload(&self, mut mesh: Mesh) -> Result<ReloadReport, HostError> {
        mesh.agents
            .retain(|agent| self.core.only.is_empty() || self.core.only.contains(&agent.key));
        if mesh.agents.is_empty() {
            self.core.metrics.record_reload(false);
            return Err(HostError::NoAgents);
        }
        let mut guard = self.state.lock().await;
        let state = &mut *guard;
        let changes = Changes::between(&state.mesh, &mesh);
        let retired = changes.tools.then(|| state.tools.renew(&mesh));
        self.core.ledger.set_prices(mesh.prices.clone());
        let mut report = ReloadReport::default();
        let mut drains = Vec::new();
        for config in &mesh.agents {
            let old = self.apply(&changes, state, &mesh, config, &mut report).await;
            drains.extend(old.map(|old| self.background.spawn(old.drain())));
        }
        let wanted = |task: &AgentTask| mesh.agents.iter().position(|agent| agent.key == task.config.key);
        for index in (0..state.agents.len()).rev() {
            if wanted(&state.agents[index]).is_none() {
                let old = state.agents.remove(index);
                report.removed.push(old.config.key.clone());
                drains.push(self.background.spawn(old.drain()));
            }
        }
        state.agents.sort_by_key(|task| wanted(task));
        self.core.count(&state.agents);
        state.mesh = mesh;
        if let Some(retired) = retired {
            let earlier = self.core.environment.in_flight.begin_generation();
            self.background.spawn(async move {
                futures::future::join_all(drains).await;
                earlier.wait().await;
                retired.close().await;
            });
        }
        self.core.metrics.record_reload(true);
        Ok(report)
    }

    /// Makes one agent what the file says. Returns the session that it leaves.
    async fn apply(
        &self,
        changes: &Changes,
        state: &mut State,
        mesh: &Mesh,
        config: &AgentConfig,
        report: &mut ReloadReport,
    ) -> Option<AgentTask> {
        let key = config.key.clone();
        let index = state.agents.iter().position(|task| task.config.key == key);
        let missing = options::missing_variables(mesh, config);
        let change = match index.map(|index| &state.agents[index]) {
            Some(task) => changes.of(&task.config, config, task.missing.is_empty() == missing.is_empty()),
            None => Change::Rejoin,
        };
        if change == Change::Keep {
            report.kept.push(key);
            return None;
        }
        let parts = self.core.parts(mesh, &state.tools, config).await;
        let Some(index) = index.filter(|_| change == Change::Swap) else {
            return match AgentTask::join(parts, missing.clone(), &self.core.environment).await {
                Ok(task) => match index {
                    Some(index) => {
                        report.rejoined.push(key);
                        let mut left = std::mem::replace(&mut state.agents[index], task);
                        // It gets messages until the server has ended its subscriptions.
                        let parts = self.core.parts(mesh, &state.tools, config).await;
                        left.replace(parts, missing);
                        Some(left)
                    }
                    None => {
                        report.added.push(key);
                        state.agents.push(task);
                        None
                    }
                },
                Err(error) => {
                    report.failed.push((key, error.to_string()));
                    None
                }
            };
        };
        state.agents[index].replace(parts, missing);
        report.changed.push(key);
        None
    }

    /// The agents, in the order of the file.
    pub async fn agents(&self) -> Vec<AgentStatus> {
        self.state.lock().await.agents.iter().map(AgentTask::status).collect()
    }

    /// The node of an agent.
    pub async fn node(&self, key: &str) -> Option<AgentNode> {
        let state = self.state.lock().await;
        state
            .agents
            .iter()
            .find(|task| task.config.key == key)
            .map(|task| task.node.clone())
    }

    /// The connection that the agents share.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.core.environment.connection
    }

    /// Counters of the host.
    #[must_use]
    pub fn metrics(&self) -> &Arc<MeshMetrics> {
        &self.core.metrics
    }

    /// Tokens and money of the host.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.core.ledger
    }

    /// Leaves the network, the last agent of the file first: no new messages; those at hand are finished within
    /// [`HostOptions::drain_timeout`], the rest is refused with `shutting_down`. Then ends the tools.
    pub async fn close(self) {
        self.close_until(std::future::pending()).await;
    }

    /// As [`Host::close`], until `forced` is ready: then messages at hand are refused and MCP servers are killed at once, which takes
    /// a second at most. Streams that have begun end with `shutting_down` too.
    pub async fn close_until(self, forced: impl Future<Output = ()>) {
        let Self {
            core,
            state,
            background,
        } = self;
        let State { tools, agents, .. } = state.into_inner();
        let stopping = &core.environment.stopping;
        for task in agents.into_iter().rev() {
            background.spawn(task.drain());
        }
        background.close();
        let orderly = async {
            if timeout(core.drain_timeout, background.wait()).await.is_err() {
                refuse_rest(stopping, &background, REFUSAL_TIMEOUT).await;
            }
            tools.close().await;
        };
        tokio::select! {
            biased;
            () = orderly => {}
            () = forced => {
                let refusals = refuse_rest(stopping, &background, FORCED_REFUSAL_TIMEOUT);
                tokio::join!(refusals, tools.kill());
            }
        }
        if let Err(error) = core.ledger.sync() {
            tracing::error!(%error, "the last usage records may not be on the disk");
        }
    }
}

/// Ends the handlers that still run, and waits until they have refused their messages.
async fn refuse_rest(stopping: &CancellationToken, background: &TaskTracker, limit: Duration) {
    stopping.cancel();
    if timeout(limit, background.wait()).await.is_err() {
        tracing::warn!("closing too early or without a connection: what was left may not have been refused");
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Host").finish_non_exhaustive()
    }
}

impl Core {
    /// Opens the ledger and connects.
    async fn connect(mesh: &Mesh, options: HostOptions) -> Result<Self, HostError> {
        let http = HttpClient::new().map_err(|error| HostError::HttpClient(error.to_string()))?;
        let ledger = options::open_ledger(&options, mesh)?;
        let url = options
            .nats_url
            .as_deref()
            .or(mesh.nats_url.as_deref())
            .unwrap_or(DEFAULT_NATS_URL);
        let connection = Connection::open(url, "agentnet-mesh").await?;
        Ok(Self {
            http,
            ledger: Arc::new(ledger),
            metrics: Arc::new(MeshMetrics::new()),
            environment: AgentEnvironment {
                connection,
                dev_auth: options.dev_auth,
                key_dir: options.key_dir,
                events: options.events,
                stopping: CancellationToken::new(),
                in_flight: Arc::new(InFlight::default()),
            },
            only: options.only,
            drain_timeout: options.drain_timeout,
        })
    }

    /// Joins with all agents of the mesh, in the order of the file; with none if one fails.
    async fn start_agents(&self, mesh: &Mesh, tools: &SharedTools) -> Result<Vec<AgentTask>, HostError> {
        let join = |config| async move {
            let parts = self.parts(mesh, tools, config).await;
            let joined = AgentTask::join(parts, options::missing_variables(mesh, config), &self.environment).await;
            joined.map_err(|source| HostError::Start {
                agent: config.key.clone(),
                source,
            })
        };
        let joins: Vec<_> = mesh.agents.iter().map(join).collect();
        let joined: Vec<_> = futures::stream::iter(joins).buffered(START_CONCURRENCY).collect().await;
        let mut agents = Vec::with_capacity(joined.len());
        let mut failed = None;
        for agent in joined {
            match agent {
                Ok(agent) => agents.push(agent),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let Some(error) = failed else { return Ok(agents) };
        self.environment.stopping.cancel();
        futures::future::join_all(agents.into_iter().map(AgentTask::drain)).await;
        Err(error)
    }

    /// What an agent answers with.
    async fn parts(&self, mesh: &Mesh, tools: &SharedTools, config: &AgentConfig) -> AgentParts {
        let own = config
            .memory
            .compaction
            .as_ref()
            .and_then(|compaction| compaction.model.as_ref());
        let compaction_models = own.map_or(config.models.as_slice(), std::slice::from_ref);
        AgentParts {
            models: ModelChain::new(&self.http, &mesh.providers, &config.models),
            compaction_models: ModelChain::new(&self.http, &mesh.providers, compaction_models),
            tools: tools.select(&config.tools, network_tools()).await,
            config: Arc::new(config.clone()),
            ledger: Arc::clone(&self.ledger),
            metrics: Arc::clone(&self.metrics),
        }
    }

    fn count(&self, agents: &[AgentTask]) {
        let degraded = agents.iter().filter(|task| !task.missing.is_empty()).count();
        self.metrics.set_agents("ready", agents.len() - degraded);
        self.metrics.set_agents("degraded", degraded);
    }
}
