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
mod builder;
mod config;
mod connect;
mod deliver;
mod discovery;
mod error;
mod guard;
mod handler;
mod identity;
mod ids;
mod inbox;
mod metrics;
mod node;
mod outgoing;
mod refuse;
mod registry;
mod replies;
mod request;
mod resolve;
mod sdk;
mod send;
mod session;
mod spans;
mod stream;
mod thread;
mod worker;
mod wrapper;

pub use agentnet_protocol::{self as protocol, blob::BlobRef, blob::BlobRefError};
pub use agentnet_protocol::{AgentInfo, Envelope, RawJson, Receipt, ReceiptStatus, Text, url::DEFAULT_NATS_URL};
pub use blob_store::{BlobError, BlobKey, BlobReader, BlobSettings, BlobStorage, BlobStore, Get, Put, UnknownStorage};
pub use builder::{Agent, AgentBuilder, SigningKey};
pub use config::{ConfigError, Limits};
pub use connect::{ConnectError, Connection, connect, dial};
pub use error::{KeyFileError, RegistryError, RequestError, ResolveError, RotateError, SendError, StartError};
pub use futures::{StreamExt, TryStreamExt};
pub use handler::{BoxError, Context, Handler, HandlerResult, Message};
pub use metrics::{LatencySnapshot, MetricsSnapshot, UsernameCacheSnapshot};
pub use node::AgentNode;
pub use outgoing::IntoPayload;
pub use registry::RegistryClient;
pub use request::Request;
pub use sdk::{AgentSdk, AnswerStream, Ask, AskStream, Paged, Query, Refusal, SdkError, SdkResult, Tell, TellFrame};
pub use send::{Reply, Send, Sent, Until};
pub use serde_json::json;
pub use stream::{Delta, OpenStream, ReplyStream, StreamError, StreamReply, StreamRequest, StreamSender};
pub use thread::ThreadSession;
pub use wrapper::{AgentWrapper, WrapperRequest, WrapperSend};
