//! The high-level SDK: the calls of the Python implementation's SDK (PROTOCOL.md section 17).
//!
//! [`AgentSdk`] is an [`AgentNode`] with conveniences: text in and text out, one result type, error replies as typed errors,
//! threads that carry their parent, pages that are walked. Everything goes over the node's one connection.

mod ask;
mod blobs;
mod error;
mod frames;
mod outcome;
mod pages;
pub(crate) mod parent;
mod stream;
mod tell;

use agentnet_protocol::rpc::{MetricsReply, Profile, ThreadStatusReply};
use agentnet_protocol::target::{Target, TargetError, Verb};
use agentnet_protocol::{AgentInfo, ids};

use crate::builder::{Agent, AgentBuilder, sealed};
use crate::context::Context;
use crate::error::{SendError, StartError};
use crate::handler::HandlerResult;
use crate::message::Message;
use crate::node::AgentNode;
use crate::task::{ClaimedWork, TaskContext, TaskFailure, TaskOutput};

pub use ask::Ask;
pub use error::{Refusal, SdkError};
pub use frames::TellFrame;
pub use outcome::SdkResult;
pub use pages::{Paged, Query};
pub use stream::{AnswerStream, AskStream};
pub use tell::Tell;

/// An agent with the high-level calls. Cloning gives another handle to the same agent.
///
/// Targets are written `@name`, `name`, `username:<name>`, `acct_…`, `account:<id>` or `capability:<name>` (section 11.2).
///
/// ```no_run
/// use agentnet::AgentSdk;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let sdk = AgentSdk::builder("agent_a").name("Agent A").start().await?;
/// let result = sdk.ask_text("mesh_agent_1", "Analyze spread and total").thread("ops_1").await?;
/// println!("{}", result.text.unwrap_or_default());
/// sdk.stop().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AgentSdk {
    node: AgentNode,
}

impl From<AgentNode> for AgentSdk {
    /// The high-level calls on a node that is there, such as [`Context::node`](crate::Context::node).
    fn from(node: AgentNode) -> Self {
        Self { node }
    }
}

impl sealed::Sealed for AgentSdk {}

impl Agent for AgentSdk {
    fn node(&self) -> &AgentNode {
        &self.node
    }
}

impl AgentBuilder<AgentSdk> {
    /// How long an ask waits for its answer by default. Default 60 s, minimum 0.1 s.
    pub fn default_request_timeout(mut self, timeout: std::time::Duration) -> Self {
        self.sdk.request_timeout = timeout.max(std::time::Duration::from_millis(100));
        self
    }

    /// What the ids of threads begin with that the SDK makes up. Default `thread_sdk`.
    pub fn default_thread_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.sdk.thread_prefix = prefix.into();
        self
    }
}

impl AgentSdk {
    /// Describes an agent; `agent_id` is its logical role label.
    pub fn builder(agent_id: impl Into<String>) -> AgentBuilder<Self> {
        AgentBuilder::new(agent_id)
    }

    /// The node that does the work.
    #[must_use]
    pub fn node(&self) -> &AgentNode {
        &self.node
    }

    /// Sets what is done with the messages that arrive. Takes effect at the next start.
    pub fn receive<F, Fut>(&self, handler: F)
    where
        F: Fn(Message, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerResult> + Send + 'static,
    {
        self.node.on_message(handler);
    }

    /// Sets what is done with tasks, see [`AgentBuilder::on_task`]. Takes effect at the next start.
    pub fn on_task<F, Fut, R>(&self, handler: F)
    where
        F: Fn(ClaimedWork, TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, TaskFailure>> + Send + 'static,
        R: Into<TaskOutput> + 'static,
    {
        self.node.on_task(handler);
    }

    /// Joins the network, see [`AgentNode::start`].
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(&self) -> Result<(), StartError> {
        self.node.start().await
    }

    /// Leaves the network, see [`AgentNode::close`].
    pub async fn stop(&self) {
        self.node.close().await;
    }

    /// A fresh thread id: the prefix, `_` and a lower-case ULID (section 3).
    #[must_use]
    pub fn new_thread_id(&self) -> String {
        let prefix = &self.node.config().sdk.thread_prefix;
        ids::prefixed(prefix, crate::ids::now().as_unix_millis(), rand::random())
    }

    /// All agents online, by agent id and session; follows the pages of a large network.
    ///
    /// # Errors
    /// [`SdkError::Registry`].
    pub async fn list_online(&self) -> Result<Vec<AgentInfo>, SdkError> {
        Ok(self.node.list_online().await?)
    }

    /// One account, by `@name`, `name`, `username:<name>`, `acct_…` or `account:<id>`.
    ///
    /// # Errors
    /// [`SdkError::Registry`], `not_found` among them; [`SdkError::Send`] for what names no account.
    pub async fn get_profile(&self, target: &str) -> Result<Profile, SdkError> {
        Ok(match Target::parse(target).map_err(SendError::from)? {
            Target::Account(id) => self.node.profile_of_account(&id).await?,
            Target::Username(name) => self.node.profile_of_username(&name).await?,
            Target::Capability(_) => return Err(SendError::from(TargetError::NotRoutable(Verb::Request)).into()),
        })
    }

    /// One thread's counters.
    ///
    /// # Errors
    /// [`SdkError::Registry`], `not_found` among them.
    pub async fn thread_status(&self, thread_id: &str) -> Result<ThreadStatusReply, SdkError> {
        Ok(self.node.thread_status(thread_id).await?)
    }

    /// The registry's counters.
    ///
    /// # Errors
    /// [`SdkError::Registry`].
    pub async fn registry_metrics(&self) -> Result<MetricsReply, SdkError> {
        Ok(self.node.registry_metrics().await?)
    }
}

#[cfg(test)]
mod tests;
