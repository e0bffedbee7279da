//! What a handler can do with its message.

use tokio_util::sync::CancellationToken;

use crate::message::Message;
use crate::message_options::IntoPayload;
use crate::node::AgentNode;
use crate::reply::Reply;
use crate::stream::open::OpenStream;

/// What a handler can do besides looking at its message.
///
/// ```
/// use agentnet::{Context, HandlerResult, Message, json};
///
/// async fn handle(message: Message, context: Context) -> HandlerResult {
///     context.reply(json!({ "you_said": message.text() })).await?;
///     context.node().send("@log", json!({ "handled": &*message.message_id })).without_ack().await?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Context {
    node: AgentNode,
    message: Message,
    cancelled: CancellationToken,
}

impl Context {
    pub(crate) fn new(node: AgentNode, message: Message) -> Self {
        let cancelled = CancellationToken::new();
        Self {
            node,
            message,
            cancelled,
        }
    }

    /// Answers the message. Await the result to publish it.
    ///
    /// # Errors
    /// When awaited, [`SendError::NoReplySubject`](crate::SendError::NoReplySubject) if the sender waits for no reply.
    pub fn reply(&self, payload: impl IntoPayload) -> Reply {
        self.node.reply(&self.message, payload)
    }

    /// Answers the message by a stream of pieces. Await the result to open it; open it first of all, because from then on
    /// the requester can cancel it.
    ///
    /// The handler's [`work_timeout`](crate::Limits::work_timeout) is not prolonged by a stream. One that may last longer
    /// is moved into a task of its own: the [`StreamSender`](crate::StreamSender) outlives the handler.
    ///
    /// # Errors
    /// When awaited, [`StreamError::Send`](crate::StreamError::Send) with
    /// [`SendError::NoReplySubject`](crate::SendError::NoReplySubject) if the sender waits for no reply.
    pub fn reply_stream(&self) -> OpenStream {
        self.node.reply_stream(&self.message, self.cancelled.clone())
    }

    /// Returns when the requester cancels a [stream](Self::reply_stream) that answers this message; before one is opened it
    /// does not return.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether the requester has cancelled a stream that answers this message.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// The node that received the message, to send others with.
    #[must_use]
    pub fn node(&self) -> &AgentNode {
        &self.node
    }
}
