//! Building an agent.

mod environment;
mod tasks;

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use agentnet_nats::NatsUrl;
use agentnet_protocol::json::Kind;
pub use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::username::{lookup_key, usable};
use agentnet_protocol::{RawJson, ids};

use self::environment::{limits_from, url_from};
use self::tasks::TaskSettings;
use crate::blob_store::BlobSettings;
use crate::config::error::ConfigError;
use crate::config::{Config, Limits, SdkDefaults};
use crate::connect::Connection;
use crate::context::Context;
use crate::error::StartError;
use crate::handler::{AnyHandler, Closure, Handler, HandlerResult};
use crate::message::Message;
use crate::node::AgentNode;

/// What an [`AgentBuilder`] builds: [`AgentNode`], [`AgentSdk`](crate::AgentSdk) or [`AgentWrapper`](crate::AgentWrapper).
pub trait Agent: From<AgentNode> + sealed::Sealed {
    /// The node that does the work.
    fn node(&self) -> &AgentNode;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for AgentNode {}

impl Agent for AgentNode {
    fn node(&self) -> &AgentNode {
        self
    }
}

impl AgentNode {
    /// Describes an agent; `agent_id` is its logical role label.
    pub fn builder(agent_id: impl Into<String>) -> AgentBuilder {
        AgentBuilder::new(agent_id)
    }
}

/// Collects what an agent is; see [`AgentNode::builder`], [`AgentSdk::builder`](crate::AgentSdk::builder) and
/// [`AgentWrapper::builder`](crate::AgentWrapper::builder).
///
/// ```no_run
/// use agentnet::{AgentNode, json};
///
/// # async fn run() -> Result<(), agentnet::StartError> {
/// let node = AgentNode::builder("weather")
///     .name("Weather")
///     .username("weather_bot")
///     .capabilities(["weather"])
///     .metadata(json!({ "team": "ops" }))
///     .nats_url_from_env()
///     .limits(|limits| limits.max_concurrency = 16)
///     .on_message(|message, _| async move {
///         println!("{}", message.payload());
///         Ok(())
///     })
///     .start()
///     .await?;
/// # drop(node);
/// # Ok(()) }
/// ```
#[must_use = "finish it with `start` or `build`"]
pub struct AgentBuilder<A = AgentNode> {
    agent_id: String,
    name: Option<String>,
    account_id: Option<String>,
    username: Option<String>,
    capabilities: Vec<String>,
    advertised: Vec<String>,
    metadata: RawJson,
    keep_profile: bool,
    pull_mailbox: bool,
    nats_url: Option<String>,
    connection: Option<Connection>,
    limits: Limits,
    blobs: BlobSettings,
    limits_from_environment: bool,
    dev_auth: Option<bool>,
    key_dir: Option<PathBuf>,
    signing_key: Option<SigningKey>,
    schema_version: String,
    supported_schema_major: u32,
    pub(crate) sdk: SdkDefaults,
    handler: Option<Arc<dyn AnyHandler>>,
    tasks: TaskSettings,
    #[cfg(feature = "metrics-http")]
    metrics_addr: Option<std::net::SocketAddr>,
    builds: PhantomData<fn() -> A>,
}

impl<A: Agent> AgentBuilder<A> {
    pub(crate) fn new(agent_id: impl Into<String>) -> Self {
        Self {
            agent_id: agent_id.into(),
            name: None,
            account_id: None,
            username: None,
            capabilities: Vec::new(),
            advertised: Vec::new(),
            metadata: RawJson::empty_object(),
            keep_profile: false,
            pull_mailbox: true,
            nats_url: None,
            connection: None,
            limits: Limits::default(),
            blobs: BlobSettings::default(),
            limits_from_environment: true,
            dev_auth: None,
            key_dir: None,
            signing_key: None,
            schema_version: Config::default_schema_version(),
            supported_schema_major: Config::default_schema_major(),
            sdk: SdkDefaults::default(),
            handler: None,
            tasks: TaskSettings::default(),
            #[cfg(feature = "metrics-http")]
            metrics_addr: None,
            builds: PhantomData,
        }
    }

    /// Display name. Default: the agent id.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The username to register with. Default: derived from the agent id by the registry.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The account to register as, known or new. Default: the username's.
    pub fn account_id(mut self, account_id: impl Into<String>) -> Self {
        self.account_id = Some(account_id.into());
        self
    }

    /// What the agent can do. With a handler, messages to `capability:<name>` reach it.
    pub fn capabilities<T: Into<String>>(mut self, capabilities: impl IntoIterator<Item = T>) -> Self {
        self.capabilities = capabilities.into_iter().map(Into::into).collect();
        self
    }

    /// Capabilities that others only find the agent by, in searches and lists: no messages are routed by them, so that their
    /// names may contain `.` and white space.
    pub fn advertise<T: Into<String>>(mut self, capabilities: impl IntoIterator<Item = T>) -> Self {
        self.advertised = capabilities.into_iter().map(Into::into).collect();
        self
    }

    /// A JSON object that others see. Default `{}`.
    pub fn metadata(mut self, metadata: impl Into<RawJson>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Leaves display name, capabilities and metadata of an account that exists as they are: for a program that speaks for an
    /// agent in passing. Registries of the Python implementation do not know this and overwrite them.
    pub fn keep_profile(mut self) -> Self {
        self.keep_profile = true;
        self
    }

    /// Whether the agent itself takes the messages that wait in its mailbox (PROTOCOL.md section 21.4): the default, in order
    /// and at its own pace. Without a handler, they wait on for a session that has one. With `false` the registry publishes
    /// them to the agent's inbox, one after another.
    pub fn pull_mailbox(mut self, on: bool) -> Self {
        self.pull_mailbox = on;
        self
    }

    /// The broker, `nats://TOKEN@host:port`. Default: `AGENTNET_NATS_URL`, else `NATS_URL`, else [`DEFAULT_NATS_URL`](crate::DEFAULT_NATS_URL); a variable that
    /// is set to nothing counts as unset.
    pub fn nats_url(mut self, url: impl Into<String>) -> Self {
        self.nats_url = Some(url.into());
        self
    }

    /// The broker named by `AGENTNET_NATS_URL`, else by `NATS_URL`, else [`DEFAULT_NATS_URL`](crate::DEFAULT_NATS_URL), also with
    /// [`AgentBuilder::ignore_environment`].
    pub fn nats_url_from_env(self) -> Self {
        self.nats_url(url_from(|name| std::env::var(name).ok()))
    }

    /// Joins by a connection that other agents of this process use too, instead of one of its own to the
    /// [`nats_url`](Self::nats_url): a thousand agents then cost the server one connection, and this process
    /// less memory. They also share its fate: one socket carries everything that they send and receive.
    ///
    /// ```no_run
    /// # use agentnet::{AgentNode, Connection, DEFAULT_NATS_URL};
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let connection = Connection::open(DEFAULT_NATS_URL, "workers").await?;
    /// for number in 0..1000 {
    ///     AgentNode::builder(format!("worker_{number}")).connection(&connection).start().await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn connection(mut self, connection: &Connection) -> Self {
        self.connection = Some(connection.clone());
        self
    }

    /// Changes limits and timeouts: `.limits(|limits| limits.max_concurrency = 16)`.
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(crate) fn blob_settings(&mut self) -> &mut BlobSettings {
        &mut self.blobs
    }

    /// Whether the agent signs its messages and accepts only signed ones (signed identity, section 13). Default: `DEV_AUTH`,
    /// else off. Its key is in the file `<username or agent id>.json` of [`AgentBuilder::key_dir`], made at the first start.
    pub fn dev_auth(mut self, on: bool) -> Self {
        self.dev_auth = Some(on);
        self
    }

    /// The directory of the key file. Default: `DEV_AUTH_KEY_DIR`, else `.keys`.
    pub fn key_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.key_dir = Some(directory.into());
        self
    }

    /// Signs with this key instead of one in a file; as `.dev_auth(true)`.
    pub fn signing_key(mut self, key: SigningKey) -> Self {
        self.signing_key = Some(key);
        self
    }

    /// Does not read `AGENTNET_NATS_URL`, `NATS_URL`, `ACCOUNT_RESOLVE_CACHE_TTL_SECONDS`, `AGENT_METRICS_WINDOW_SIZE`, `DEV_AUTH`, `DEV_AUTH_KEY_DIR` and the
    /// variables of [`BlobSettings`].
    pub fn ignore_environment(mut self) -> Self {
        self.limits_from_environment = false;
        self
    }

    /// The schema version of messages sent. Default `1.1`.
    pub fn schema_version(mut self, version: impl Into<String>) -> Self {
        self.schema_version = version.into();
        self
    }

    /// The major schema version that is taken. Default 1.
    pub fn supported_schema_major(mut self, major: u32) -> Self {
        self.supported_schema_major = major;
        self
    }

    /// Serves `GET /metrics` (Prometheus) and `GET /healthz` here while the node runs; port 0 takes a free one. Default:
    /// nowhere. Needs the feature `metrics-http`; a program with a server of its own shows
    /// [`MetricsSnapshot::to_prometheus`](crate::MetricsSnapshot::to_prometheus) there.
    #[cfg(feature = "metrics-http")]
    pub fn metrics_addr(mut self, address: std::net::SocketAddr) -> Self {
        self.metrics_addr = Some(address);
        self
    }

    /// What is done with the messages that arrive: `|message, context| async move { … Ok(()) }`. Without a handler the agent
    /// only sends.
    pub fn on_message<F, Fut>(self, handler: F) -> Self
    where
        F: Fn(Message, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerResult> + Send + 'static,
    {
        self.handler(Closure(handler))
    }

    /// As [`AgentBuilder::on_message`], for a type that implements [`Handler`].
    pub fn handler(mut self, handler: impl Handler) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// The agent, not yet started.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn build(self) -> Result<A, ConfigError> {
        let key = self.key_source(|name| std::env::var(name).ok());
        let from_environment_or_default =
            || url_from(|name| std::env::var(name).ok().filter(|_| self.limits_from_environment));
        let url = self.nats_url.clone().unwrap_or_else(from_environment_or_default);
        let mut limits = self.limits;
        let mut blobs = self.blobs;
        if self.limits_from_environment {
            limits_from(&mut limits, |name| std::env::var(name).ok())?;
            blobs.fill(|name| std::env::var(name).ok())?;
        }
        if self.agent_id.is_empty() {
            return Err(ConfigError::AgentIdRequired);
        }
        if self.metadata.view().kind() != Kind::Object {
            return Err(ConfigError::Metadata);
        }
        if let Some(name) = self.username.as_deref().filter(|name| !name.trim().is_empty()) {
            let username = usable(name)?;
            if username != lookup_key(name) {
                tracing::warn!(
                    "the username {name:?} becomes @{username}: usernames consist of a-z 0-9 . _ -, at most 32"
                );
            }
        }
        if let Some(id) = self.account_id.as_ref().filter(|id| !ids::valid_account_id(id)) {
            return Err(ConfigError::AccountId(id.clone()));
        }
        let node = AgentNode::new(Config {
            key,
            name: self
                .name
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| self.agent_id.clone()),
            agent_id: self.agent_id,
            account_id: self.account_id,
            username: self.username,
            capabilities: self.capabilities,
            advertised: self.advertised,
            metadata: self.metadata,
            keep_profile: self.keep_profile,
            pull_mailbox: self.pull_mailbox,
            url: NatsUrl::parse(&url)?,
            connection: self.connection,
            limits: limits.at_least_minima(),
            task_concurrency: self.tasks.concurrency(),
            max_tasks: self.tasks.max_tasks.unwrap_or(usize::MAX),
            blobs,
            schema_version: self.schema_version,
            supported_schema_major: self.supported_schema_major,
            sdk: self.sdk,
            #[cfg(feature = "metrics-http")]
            metrics_addr: self.metrics_addr,
        });
        if let Some(handler) = self.handler {
            node.set_handler(handler);
        }
        if let Some(handler) = self.tasks.handler {
            node.set_task_handler(handler);
        }
        Ok(node.into())
    }

    /// Builds the agent and starts it.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(self) -> Result<A, StartError> {
        let agent = self.build()?;
        agent.node().start().await?;
        Ok(agent)
    }
}

impl<A> std::fmt::Debug for AgentBuilder<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentBuilder")
            .field("agent_id", &self.agent_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
