//! A stable adapter for agent runtimes (PROTOCOL.md section 17, `AgentWrapper`).

use std::future::IntoFuture;
use std::path::PathBuf;
use std::time::Duration;

use agentnet_protocol::blob::BlobRef;
use agentnet_protocol::rpc::{
    MessageSearchRequest, MetricsReply, Profile, SearchRequest, ThreadListRequest, ThreadMessagesRequest,
};
use agentnet_protocol::target::Target;
use bytes::Bytes;
use futures::future::BoxFuture;

use crate::blob_store::{BlobError, BlobKey, GetBlob, PutBlob};
use crate::builder::{Agent, AgentBuilder, sealed};
use crate::context::Context;
use crate::deliver::Until;
use crate::error::{ResolveError, SendError, StartError};
use crate::handler::HandlerResult;
use crate::message::Message;
use crate::message_options::{IntoPayload, message_options};
use crate::node::AgentNode;
use crate::reply::Reply;
use crate::request::Request;
use crate::route::Destination;
use crate::sdk::{AgentSdk, Query, SdkError};
use crate::send::{MailboxSend, SendMessage, Sent};

/// The few calls that an agent runtime needs to sit on the network, kept as they are while the rest of the SDK grows.
///
/// Each send and each request names exactly one target, by [`WrapperSend::to_account_id`], [`WrapperSend::to_username`] or
/// [`WrapperSend::to_capability`].
///
/// ```no_run
/// use std::time::Duration;
/// use agentnet::{AgentWrapper, json};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let wrapper = AgentWrapper::builder("demo_worker").name("Demo Worker").username("demo_worker").build()?;
/// wrapper.receive(|message, context| async move {
///     if message.wants_reply() {
///         context.reply(json!({ "ok": true })).await?;
///     }
///     Ok(())
/// });
/// wrapper.connect().await?;
/// let status = json!({ "text": "status?" });
/// let reply = wrapper.request(status).to_username("weather_bot").timeout(Duration::from_secs(5)).await?;
/// println!("{}", reply.payload());
/// wrapper.close().await;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct AgentWrapper {
    sdk: AgentSdk,
}

impl From<AgentNode> for AgentWrapper {
    fn from(node: AgentNode) -> Self {
        Self { sdk: node.into() }
    }
}

impl sealed::Sealed for AgentWrapper {}

impl Agent for AgentWrapper {
    fn node(&self) -> &AgentNode {
        self.sdk.node()
    }
}

impl AgentWrapper {
    /// Describes an agent; `agent_id` is its logical role label.
    pub fn builder(agent_id: impl Into<String>) -> AgentBuilder<Self> {
        AgentBuilder::new(agent_id)
    }

    /// The node that does the work.
    #[must_use]
    pub fn node(&self) -> &AgentNode {
        self.sdk.node()
    }

    /// The account id, while connected.
    #[must_use]
    pub fn account_id(&self) -> Option<String> {
        self.node().account_id()
    }

    /// The username that the registry gave, while connected.
    #[must_use]
    pub fn username(&self) -> Option<String> {
        self.node().username()
    }

    /// The session tag, while connected.
    #[must_use]
    pub fn session_tag(&self) -> Option<String> {
        self.node().session_tag()
    }

    /// Sets what is done with the messages that arrive. Takes effect at the next connect.
    pub fn receive<F, Fut>(&self, handler: F)
    where
        F: Fn(Message, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerResult> + Send + 'static,
    {
        self.node().on_message(handler);
    }

    /// Joins the network, see [`AgentNode::start`].
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn connect(&self) -> Result<(), StartError> {
        self.node().start().await
    }

    /// Leaves the network, see [`AgentNode::close`].
    pub async fn close(&self) {
        self.node().close().await;
    }

    /// The account behind a username.
    ///
    /// # Errors
    /// [`ResolveError::NotFound`] if no account has the name.
    pub async fn resolve_username(&self, username: &str) -> Result<String, ResolveError> {
        self.node().resolve_username(username).await
    }

    /// Sends a message to the one target that is named next.
    pub fn send(&self, payload: impl IntoPayload) -> WrapperSend {
        let unset = Destination::OneOf(Vec::new());
        WrapperSend(SendMessage::new(self.node().clone(), unset, payload))
    }

    /// Makes a request to the one target that is named next. An answer that reports an error is an error, see
    /// [`AgentSdk::ask_json`].
    pub fn request(&self, payload: impl IntoPayload) -> WrapperRequest {
        let unset = Destination::OneOf(Vec::new());
        WrapperRequest(Request::new(self.node().clone(), unset, payload))
    }

    /// Answers a message that was received.
    pub fn reply(&self, request: &Message, payload: impl IntoPayload) -> Reply {
        self.node().reply(request, payload)
    }

    /// See [`AgentSdk::put_blob_bytes`].
    pub fn put_blob_bytes(&self, bytes: impl Into<Bytes>) -> PutBlob {
        self.sdk.put_blob_bytes(bytes)
    }

    /// See [`AgentSdk::put_blob_file`].
    pub fn put_blob_file(&self, path: impl Into<PathBuf>) -> PutBlob {
        self.sdk.put_blob_file(path)
    }

    /// See [`AgentSdk::get_blob_bytes`].
    pub fn get_blob_bytes(&self, blob: impl Into<BlobKey>) -> GetBlob<Bytes> {
        self.sdk.get_blob_bytes(blob)
    }

    /// See [`AgentSdk::get_blob_text`].
    pub fn get_blob_text(&self, blob: impl Into<BlobKey>) -> GetBlob<String> {
        self.sdk.get_blob_text(blob)
    }

    /// See [`AgentSdk::head_blob`].
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn head_blob(&self, blob: impl Into<BlobKey>) -> Result<Option<BlobRef>, BlobError> {
        self.sdk.head_blob(blob).await
    }

    /// See [`AgentSdk::delete_blob`].
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn delete_blob(&self, blob: impl Into<BlobKey>) -> Result<bool, BlobError> {
        self.sdk.delete_blob(blob).await
    }

    /// Sends a reference to a blob to the one target that is named next.
    pub fn send_blob_ref(&self, blob: &BlobRef) -> WrapperSend {
        self.send(blob)
    }

    /// See [`AgentSdk::search_profiles`].
    pub fn search_profiles(&self, query: impl Into<String>) -> Query<SearchRequest> {
        self.sdk.search_profiles(query)
    }

    /// See [`AgentSdk::get_profile`].
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn get_profile(&self, target: &str) -> Result<Profile, SdkError> {
        self.sdk.get_profile(target).await
    }

    /// See [`AgentSdk::list_threads`].
    pub fn list_threads(&self) -> Query<ThreadListRequest> {
        self.sdk.list_threads()
    }

    /// See [`AgentSdk::thread_messages`].
    pub fn get_thread_messages(&self, thread_id: impl Into<String>) -> Query<ThreadMessagesRequest> {
        self.sdk.thread_messages(thread_id)
    }

    /// See [`AgentSdk::search_messages`].
    pub fn search_messages(&self) -> Query<MessageSearchRequest> {
        self.sdk.search_messages()
    }

    /// See [`AgentSdk::registry_metrics`].
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn registry_metrics(&self) -> Result<MetricsReply, SdkError> {
        self.sdk.registry_metrics().await
    }
}

/// A message to be sent to exactly one target; await it to send it.
///
/// # Errors
/// When awaited, [`SendError`]; among them that there is no target, or more than one.
#[derive(Debug)]
#[must_use = "name a target and await it"]
pub struct WrapperSend(SendMessage);

/// A request to be made to exactly one target; await it for the reply.
///
/// # Errors
/// When awaited, [`SdkError`]; among them that there is no target, or more than one.
#[derive(Debug)]
#[must_use = "name a target and await it"]
pub struct WrapperRequest(Request);

/// The three ways to name a target.
macro_rules! one_target {
    () => {
        message_options!(0.options);

        /// To this account.
        pub fn to_account_id(self, account_id: impl Into<String>) -> Self {
            self.to(Target::Account(account_id.into()))
        }

        /// To the account of this username.
        pub fn to_username(self, username: impl Into<String>) -> Self {
            self.to(Target::Username(username.into()))
        }

        /// To one of the agents with this capability.
        pub fn to_capability(self, capability: impl Into<String>) -> Self {
            self.to(Target::Capability(capability.into()))
        }

        fn to(mut self, target: Target) -> Self {
            if let Destination::OneOf(targets) = &mut self.0.destination {
                targets.push(target);
            }
            self
        }
    };
}

impl WrapperSend {
    one_target!();

    /// How far to wait for the message, see [`SendMessage::until`].
    pub fn until(self, until: Until) -> Self {
        Self(self.0.until(until))
    }

    /// Publishes the message and returns, without waiting for a receipt.
    pub fn without_ack(self) -> Self {
        self.until(Until::Published)
    }

    /// How often to repeat when no receipt comes, see [`SendMessage::retry_attempts`].
    pub fn retry_attempts(self, attempts: u32) -> Self {
        Self(self.0.retry_attempts(attempts))
    }

    /// How long to wait for each receipt, see [`SendMessage::receipt_timeout`].
    pub fn receipt_timeout(self, timeout: Duration) -> Self {
        Self(self.0.receipt_timeout(timeout))
    }

    /// Has the message kept while its receiver cannot take it, see [`SendMessage::mailbox`]. A target is named before.
    pub fn mailbox(self, lifetime: Duration) -> MailboxSend {
        self.0.mailbox(lifetime)
    }
}

impl WrapperRequest {
    one_target!();

    /// How long to wait for the reply. Default 5 s.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }
}

impl IntoFuture for WrapperSend {
    type Output = Result<Sent, SendError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.0.into_future()
    }
}

impl IntoFuture for WrapperRequest {
    type Output = Result<Message, SdkError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let answer = self.0.await?;
            match SdkError::reported(&answer) {
                Some(error) => Err(error),
                None => Ok(answer),
            }
        })
    }
}
