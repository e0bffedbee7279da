//! The high-level SDK: the seed's calls, one sentence each (PROTOCOL.md section 17).
//!
//! [`AgentSdk`] is an [`AgentNode`] with conveniences: text in and text out, one result type, error replies as typed errors,
//! threads that carry their parent, pages that are walked. Everything goes over the node's one connection.

mod ask;
mod blobs;
mod error;
mod frames;
mod outcome;
mod pages;
mod stream;
mod tell;

use agentnet_protocol::rpc::{
    MessageSearchRequest, MetricsReply, Profile, SearchRequest, ThreadListRequest, ThreadMessagesRequest,
    ThreadStatusReply,
};
use agentnet_protocol::target::{Target, TargetError, Verb};
use agentnet_protocol::{AgentInfo, ids};

use crate::builder::{Agent, AgentBuilder, sealed};
use crate::error::{SendError, StartError};
use crate::handler::{Context, HandlerResult, Message};
use crate::node::AgentNode;
use crate::outgoing::IntoPayload;
use crate::thread::ThreadSession;

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
    /// How long an ask waits for its answer unless told otherwise. Default 60 s, minimum 0.1 s.
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

    /// A conversation in one thread: its sends and asks carry the thread and the message before as their parent.
    #[must_use]
    pub fn thread(&self, thread_id: impl Into<String>) -> ThreadSession {
        ThreadSession::new(self.clone(), thread_id.into())
    }

    /// Sends `{"text": text}`.
    pub fn send_text(&self, to: impl Into<String>, text: impl Into<String>) -> Tell {
        self.send_json(to, text_payload(&text.into()))
    }

    /// Sends any JSON.
    pub fn send_json(&self, to: impl Into<String>, payload: impl IntoPayload) -> Tell {
        Tell::new(self.clone(), to.into(), payload)
    }

    /// Sends `{"text": text}` as a request and waits for the answer.
    pub fn ask_text(&self, to: impl Into<String>, text: impl Into<String>) -> Ask {
        self.ask_json(to, text_payload(&text.into()))
    }

    /// Sends any JSON as a request and waits for the answer.
    pub fn ask_json(&self, to: impl Into<String>, payload: impl IntoPayload) -> Ask {
        Ask::new(self.clone(), to.into(), payload)
    }

    /// Everybody online, by agent id and session; follows the pages of a large network.
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
        Ok(match parse_target(target).map_err(SendError::from)? {
            Target::Account(id) => self.node.profile_of_account(&id).await?,
            Target::Username(name) => self.node.profile_of_username(&name).await?,
            Target::Capability(_) => return Err(SendError::from(TargetError::NotRoutable(Verb::Request)).into()),
        })
    }

    /// Accounts by a part of their name, online ones first.
    pub fn search_profiles(&self, query: impl Into<String>) -> Query<SearchRequest> {
        let query = query.into();
        Query::new(
            &self.node,
            SearchRequest {
                query,
                ..Default::default()
            },
        )
    }

    /// Threads, latest activity first.
    pub fn list_threads(&self) -> Query<ThreadListRequest> {
        Query::new(&self.node, ThreadListRequest::default())
    }

    /// One thread's messages, newest first: await it for a page, or walk them all with [`Query::stream`].
    pub fn thread_messages(&self, thread_id: impl Into<String>) -> Query<ThreadMessagesRequest> {
        let thread_id = thread_id.into();
        Query::new(
            &self.node,
            ThreadMessagesRequest {
                thread_id,
                ..Default::default()
            },
        )
    }

    /// [`AgentSdk::thread_messages`] by the seed's name.
    pub fn get_thread_messages(&self, thread_id: impl Into<String>) -> Query<ThreadMessagesRequest> {
        self.thread_messages(thread_id)
    }

    /// Messages by filters, newest first.
    pub fn search_messages(&self) -> Query<MessageSearchRequest> {
        Query::new(&self.node, MessageSearchRequest::default())
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

/// The payload of a text.
fn text_payload(text: &str) -> serde_json::Value {
    serde_json::json!({ "text": text })
}

/// Reads a target. Beside what the original's SDK reads, `username:<name>` names a username, as it does everywhere else.
pub(crate) fn parse_target(text: &str) -> Result<Target, TargetError> {
    const PREFIX: &str = "username:";
    match Target::parse_sdk(text)? {
        Target::Username(name)
            if name
                .get(..PREFIX.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(PREFIX)) =>
        {
            Target::parse_node(&name, Verb::Send).map_err(|_| TargetError::EmptyUsername)
        }
        target => Ok(target),
    }
}

#[cfg(test)]
mod tests;
