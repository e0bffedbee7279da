//! The user's handler.

use std::error::Error;

use futures::future::BoxFuture;

use crate::context::Context;
use crate::message::Message;

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
