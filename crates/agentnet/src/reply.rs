//! Replying to a message (PROTOCOL.md section 11.6).

use std::future::IntoFuture;

use agentnet_protocol::RawJson;
use agentnet_protocol::envelope::kind;
use futures::future::BoxFuture;
use tracing::Span;

use crate::error::SendError;
use crate::message::Message;
use crate::message_options::{IntoPayload, MessageOptions, message_options};
use crate::node::AgentNode;
use crate::send::sent::Sent;
use crate::spans;

impl AgentNode {
    /// Answers a message that was received (section 11.6).
    pub fn reply(&self, request: &Message, payload: impl IntoPayload) -> Reply {
        Reply::new(self.clone(), request, payload)
    }
}

/// An answer to a request; await it to publish it. It is neither acknowledged nor repeated.
///
/// # Errors
/// When awaited, [`SendError::NoReplySubject`] if the sender waits for no reply, or another [`SendError`].
#[derive(Debug)]
#[must_use = "await it to publish the reply"]
pub struct Reply {
    node: AgentNode,
    request: Message,
    payload: Result<RawJson, SendError>,
    options: MessageOptions,
}

impl Reply {
    pub(crate) fn new(node: AgentNode, request: &Message, payload: impl IntoPayload) -> Self {
        Self {
            node,
            request: request.clone(),
            payload: payload.into_payload(),
            options: MessageOptions::default(),
        }
    }

    message_options!();

    async fn run(self, span: Span) -> Result<Sent, SendError> {
        let payload = self.payload?;
        let subject = self.request.reply_to().ok_or(SendError::NoReplySubject)?;
        let session = self.node.session()?;
        let draft = session.composer.draft(self.options, payload, kind::REPLY);
        let envelope = session.composer.compose(draft.answering(self.request.envelope()));
        let body = session.composer.encode(&envelope)?;
        spans::describe(&span, subject, &envelope);
        session.publisher.publish_message(subject, body).await?;
        Ok(Sent::from(&envelope))
    }
}

impl IntoFuture for Reply {
    type Output = Result<Sent, SendError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let span = spans::reply();
        spans::within(span.clone(), self.run(span))
    }
}
