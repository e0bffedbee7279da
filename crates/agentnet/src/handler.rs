//! The user's handler, the message it gets, and what it can do with it.

use std::error::Error;
use std::ops::Deref;
use std::sync::Arc;

use agentnet_protocol::subject::{is_reply_subject, may_reply_to};
use agentnet_protocol::{Envelope, RawJson, Text};
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::node::AgentNode;
use crate::outgoing::IntoPayload;
use crate::send::Reply;
use crate::spans::Origin;
use crate::stream::OpenStream;

/// Any error that a handler may end with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a handler returns: an error is reported as `handler_error` to the sender and logged here.
pub type HandlerResult = Result<(), BoxError>;

/// Handles the messages that the guards have admitted; for handlers that are more than a closure.
///
/// Handlers run concurrently, up to [`max_concurrency`](crate::Limits::max_concurrency), each for at most
/// [`work_timeout`](crate::Limits::work_timeout).
///
/// ```
/// use agentnet::{Context, Handler, HandlerResult, Message, json};
///
/// struct Greeter { greeting: String }
///
/// impl Handler for Greeter {
///     async fn handle(&self, message: Message, context: Context) -> HandlerResult {
///         let name = message.text().unwrap_or_default();
///         context.reply(json!({ "text": format!("{}, {name}!", self.greeting) })).await?;
///         Ok(())
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Handles one message.
    fn handle(&self, message: Message, context: Context) -> impl Future<Output = HandlerResult> + Send;
}

/// An async closure as a handler.
pub(crate) struct Closure<F>(pub(crate) F);

impl<F, Fut> Handler for Closure<F>
where
    F: Fn(Message, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send,
{
    fn handle(&self, message: Message, context: Context) -> impl Future<Output = HandlerResult> + Send {
        self.0(message, context)
    }
}

/// [`Handler`] behind a pointer.
pub(crate) trait AnyHandler: Send + Sync {
    fn handle(&self, message: Message, context: Context) -> BoxFuture<'_, HandlerResult>;
}

impl<H: Handler> AnyHandler for H {
    fn handle(&self, message: Message, context: Context) -> BoxFuture<'_, HandlerResult> {
        Box::pin(Handler::handle(self, message, context))
    }
}

/// A message that was received: its [`Envelope`] and where a reply would go. Cloning is cheap.
///
/// ```
/// # fn look(message: agentnet::Message) -> Result<(), serde_json::Error> {
/// println!("{} in {:?}: {:?}", message.kind, message.thread_id, message.text());
/// let order: std::collections::BTreeMap<String, u32> = message.json()?;
/// # drop(order);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Message(Arc<Received>);

#[derive(Debug)]
struct Received {
    envelope: Envelope,
    reply_to: Option<Text>,
    origin: Origin,
}

impl Deref for Message {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        &self.0.envelope
    }
}

impl Message {
    pub(crate) fn new(envelope: Envelope, reply_to: Option<Text>, origin: Origin) -> Self {
        Self(Arc::new(Received {
            envelope,
            // Who asks chooses the subject, and the reply is published with our rights.
            reply_to: reply_to.filter(|subject| may_reply_to(subject)),
            origin,
        }))
    }

    /// The span that it comes from.
    pub(crate) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// The envelope.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.0.envelope
    }

    /// The payload's exact JSON text.
    #[must_use]
    pub fn payload(&self) -> &RawJson {
        &self.0.envelope.payload
    }

    /// The payload as a Rust type.
    ///
    /// # Errors
    /// What `serde_json` says of the payload or of the type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.payload().deserialize()
    }

    /// The payload's text, if it has one (PROTOCOL.md section 17): a text payload, or the `text` member of an object.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        agentnet_protocol::payload_text::extract_text(&self.payload().view())
    }

    /// Where a reply goes.
    #[must_use]
    pub fn reply_to(&self) -> Option<&str> {
        self.0.reply_to.as_deref()
    }

    /// Whether the sender waits for a reply.
    #[must_use]
    pub fn wants_reply(&self) -> bool {
        self.0.reply_to.is_some()
    }

    /// The error code, if this is an error reply (`kind: "error"`).
    #[must_use]
    pub fn error_code(&self) -> Option<String> {
        error_code_of(&self.0.envelope)
    }
}

impl From<Envelope> for Message {
    /// A message that was kept as its envelope. A reply goes where the member `reply_to` says, if that is a reply subject
    /// (PROTOCOL.md section 0.7).
    fn from(envelope: Envelope) -> Self {
        let reply_to = written_reply_subject(&envelope);
        Self::new(envelope, reply_to, Origin::default())
    }
}

/// The JSON member `reply_to`, if it is a reply subject of this network (section 0.7).
pub(crate) fn written_reply_subject(envelope: &Envelope) -> Option<Text> {
    let written = envelope.reply_to.as_ref()?.view().as_str()?;
    is_reply_subject(&written).then(|| Text::from(written.into_owned()))
}

/// The error code of an error reply.
pub(crate) fn error_code_of(envelope: &Envelope) -> Option<String> {
    (*envelope.kind == *agentnet_protocol::envelope::kind::ERROR).then(|| {
        envelope
            .payload
            .view()
            .as_object()?
            .get("error")
            .opt_text()
            .map(std::borrow::Cow::into_owned)
    })?
}

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

    /// Returns when the requester wants no more of a [stream](Self::reply_stream) that answers this message; before one is
    /// opened it does not return.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether the requester wants no more of a stream that answers this message.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_kept_knows_where_its_reply_goes() {
        for (reply_to, expected) in [
            (r#""_INBOX.a.b""#, Some("_INBOX.a.b")),
            (r#""agentnet.reply.acct_1.x""#, Some("agentnet.reply.acct_1.x")),
            (r#""account.acct_1.inbox""#, None),
            (r#"["_INBOX.a"]"#, None),
            ("null", None),
        ] {
            let envelope = Envelope::decode(format!(r#"{{"message_id":"m","reply_to":{reply_to}}}"#)).unwrap();
            assert_eq!(Message::from(envelope).reply_to(), expected, "{reply_to}");
        }
    }
}
