//! The AgentNet SDK: join the network with one [`AgentNode`].
//!
//! ```no_run
//! use agentnet::{AgentNode, json};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let node = AgentNode::builder("agent_foo")
//!     .username("foo")
//!     .on_message(|message, context| async move {
//!         if message.wants_reply() {
//!             context.reply(json!({ "ok": true })).await?;
//!         }
//!         Ok(())
//!     })
//!     .start()
//!     .await?;
//! node.send("@weather_bot", json!({ "text": "yo" })).thread("ops_1").await?;
//! node.run_until_stopped().await?;
//! # Ok(()) }
//! ```
//!
//! Cargo features, none of them on by default:
//!
//! - `metrics-http`: a node serves its metrics and health over HTTP (`AgentBuilder::metrics_addr`).
//! - `otel`: spans of messages for OpenTelemetry, and their context on the wire (docs/OPERATIONS.md, "Traces").

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod blob_store;
mod bounded_cache;
mod builder;
mod composer;
mod config;
mod connect;
mod context;
mod deliver;
mod discovery;
mod error;
mod guard;
mod handler;
mod identity;
mod ids;
mod inbox;
mod mailbox;
mod message;
mod message_options;
mod metrics;
mod nats_headers;
mod node;
mod publisher;
mod registry;
mod reject;
mod reply;
mod reply_mux;
mod request;
mod route;
mod sdk;
mod send;
mod session;
mod spans;
mod stream;
mod task;
mod thread;
mod username_cache;
mod worker;
mod wrapper;

pub use agentnet_nats::DEFAULT_NATS_URL;
pub use agentnet_protocol::rpc::{TaskEvent, TaskProgress, TaskSnapshot};
pub use agentnet_protocol::task::TaskState;
pub use agentnet_protocol::{self as protocol, blob::BlobRef, blob::BlobRefError};
pub use agentnet_protocol::{AgentInfo, Envelope, RawJson, Receipt, ReceiptStatus, Text};
pub use blob_store::{
    BlobError, BlobKey, BlobReader, BlobSettings, BlobStorage, BlobStore, GetBlob, PutBlob, UnknownStorage,
};
pub use builder::{Agent, AgentBuilder, SigningKey};
pub use config::Limits;
pub use connect::{Connection, connect};
pub use context::Context;
pub use error::{
    ConfigError, ConnectError, KeyFileError, RegistryError, RegistryRefusal, RequestError, ResolveError, RotateError,
    SendError, StartError,
};
pub use futures::{StreamExt, TryStreamExt};
pub use handler::{BoxError, Handler, HandlerResult};
pub use message::Message;
pub use message_options::IntoPayload;
pub use metrics::{LatencySnapshot, MetricsSnapshot, UsernameCacheSnapshot};
pub use node::AgentNode;
pub use registry::RegistryClient;
pub use reply::Reply;
pub use request::Request;
pub use sdk::{AgentSdk, AnswerStream, Ask, AskStream, Paged, Query, Refusal, SdkError, SdkResult, Tell, TellFrame};
pub use send::{MailboxDelivery, MailboxSend, MailboxSent, SendMessage, Sent, Until};
pub use serde_json::json;
pub use stream::{Delta, OpenStream, ReplyStream, StreamError, StreamReply, StreamRequest, StreamSender};
pub use task::{
    ClaimedWork, NewTask, ParentTask, TaskContext, TaskError, TaskEvents, TaskFailure, TaskHandle, TaskHandler,
    TaskHandlerResult, TaskOutcome, TaskOutput,
};
pub use thread::ThreadSession;
pub use wrapper::{AgentWrapper, WrapperRequest, WrapperSend};
