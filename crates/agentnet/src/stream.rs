//! Streamed replies and streams to inboxes (docs/STREAMING_PROTOCOL.md).
//!
//! 1. The requester makes a request ([`StreamRequest`]) and reads a [`ReplyStream`] of [`Delta`]s.
//! 2. The handler opens a [`StreamSender`] with [`Context::reply_stream`](crate::Context::reply_stream): its frames are replies
//!    to that request, numbered from 0.
//! 3. The reader puts them in order, each once, and waits for the next no longer than its idle timeout.
//! 4. A reader that is dropped before the end publishes a cancellation to `<reply subject>.cancel`, which the sender subscribes to.
//! 5. A sender that is dropped before the end sends a `stream_error`.
//!
//! ```no_run
//! use agentnet::{AgentNode, StreamExt, json};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let poet = AgentNode::builder("poet")
//!     .on_message(|_, context| async move {
//!         let stream = context.reply_stream().await?;
//!         for word in ["roses ", "are ", "red"] {
//!             stream.delta(word).await?;
//!         }
//!         stream.end().await?;
//!         Ok(())
//!     })
//!     .start()
//!     .await?;
//! let reader = AgentNode::builder("reader").start().await?;
//! let mut deltas = reader.request_stream("@poet", json!({ "text": "a poem" })).await?;
//! while let Some(delta) = deltas.next().await {
//!     print!("{}", delta?.text().unwrap_or_default());
//! }
//! let whole = deltas.finish().await?;
//! assert_eq!(whole.text, "roses are red");
//! # Ok(()) }
//! ```

mod cancel;
mod delta;
mod error;
mod frame_buffer;
mod frame_writer;
pub(crate) mod open;
mod reader;
mod request;
mod sender;
mod stream_tasks;
mod verify;

pub(crate) use cancel::{Cancellation, DroppedStreams};
pub use delta::{Delta, StreamReply};
pub use error::StreamError;
pub(crate) use frame_buffer::Inflow;
pub use open::OpenStream;
pub use reader::ReplyStream;
pub use request::StreamRequest;
pub use sender::StreamSender;
pub(crate) use stream_tasks::StreamTasks;
