//! Sending (PROTOCOL.md sections 11.1 to 11.4).

pub(crate) mod error;
pub(crate) mod mailbox;
pub(crate) mod sent;

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use agentnet_protocol::RawJson;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::target::{Target, Verb};
use futures::future::BoxFuture;
use tracing::Span;

pub use self::mailbox::{MailboxDelivery, MailboxSend, MailboxSent};
pub use self::sent::Sent;
use crate::deliver::Acknowledgement;
pub use crate::deliver::Until;
use crate::error::SendError;
use crate::message_options::{IntoPayload, MessageOptions, message_options};
use crate::node::AgentNode;
use crate::route::{Destination, Route};
use crate::spans;

impl AgentNode {
    /// Sends a message to a target of section 11.2: `@name`, `name`, `acct_…` or `account:<id>`.
    pub fn send(&self, to: impl Into<String>, payload: impl IntoPayload) -> SendMessage {
        SendMessage::new(self.clone(), Destination::Text(to.into(), Verb::Send), payload)
    }

    /// Sends a message to an account.
    pub fn send_to_account(&self, account_id: impl Into<String>, payload: impl IntoPayload) -> SendMessage {
        SendMessage::new(
            self.clone(),
            Destination::Target(Target::Account(account_id.into())),
            payload,
        )
    }

    /// Sends a message to the account of a username.
    pub fn send_to_username(&self, username: impl Into<String>, payload: impl IntoPayload) -> SendMessage {
        SendMessage::new(
            self.clone(),
            Destination::Target(Target::Username(username.into())),
            payload,
        )
    }

    /// Sends a message to one of the agents with a capability.
    pub fn send_to_capability(&self, capability: impl Into<String>, payload: impl IntoPayload) -> SendMessage {
        SendMessage::new(
            self.clone(),
            Destination::Target(Target::Capability(capability.into())),
            payload,
        )
    }
}

/// A message to be sent; await it to send it.
///
/// By default the send waits for the receiver's receipt, repeats the message when none comes, and fails when the receiver
/// refuses it (section 11.4). [`SendMessage::until`] waits for less or for more.
///
/// # Errors
/// When awaited, [`SendError`].
#[derive(Debug)]
#[must_use = "await it to send the message"]
pub struct SendMessage {
    node: AgentNode,
    pub(crate) destination: Destination,
    payload: Result<RawJson, SendError>,
    pub(crate) options: MessageOptions,
    until: Until,
    processing_timeout: Option<Duration>,
    retry_attempts: Option<u32>,
    receipt_timeout: Option<Duration>,
}

impl SendMessage {
    pub(crate) fn new(node: AgentNode, destination: Destination, payload: impl IntoPayload) -> Self {
        Self {
            node,
            destination,
            payload: payload.into_payload(),
            options: MessageOptions::default(),
            until: Until::default(),
            processing_timeout: None,
            retry_attempts: None,
            receipt_timeout: None,
        }
    }

    /// Replaces the payload.
    pub(crate) fn set_payload(&mut self, payload: RawJson) {
        self.payload = Ok(payload);
    }

    message_options!();

    /// How far to wait for the message: until it is published, accepted (the default), or processed by the receiver's
    /// handler. A receiver of the Python implementation reports that too; one of its TypeScript SDK does
    /// not.
    ///
    /// With [`Until::Processed`] a message whose idempotency key the receiver knows from another message fails as
    /// `duplicate`: how the handling of that one ended is not reported. (Without, it counts as delivered.)
    ///
    /// ```no_run
    /// # use agentnet::{AgentNode, Until, json};
    /// # async fn run(node: AgentNode) -> Result<(), agentnet::SendError> {
    /// node.send("@ledger", json!({ "book": 12 })).until(Until::Processed).await?;
    /// # Ok(()) }
    /// ```
    pub fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    /// Publishes the message and returns, without waiting for a receipt: [`Until::Published`].
    pub fn without_ack(self) -> Self {
        self.until(Until::Published)
    }

    /// How long to wait for the end of the handling after the acceptance, with [`Until::Processed`].
    /// Default: [`Limits::processing_timeout`](crate::Limits).
    pub fn processing_timeout(mut self, timeout: Duration) -> Self {
        self.processing_timeout = Some(timeout);
        self
    }

    /// How often to repeat when no receipt comes. Default: [`Limits::send_retry_attempts`](crate::Limits).
    pub fn retry_attempts(mut self, attempts: u32) -> Self {
        self.retry_attempts = Some(attempts);
        self
    }

    /// How long to wait for each receipt, at least 0.2 s. Default: [`Limits::receipt_timeout`](crate::Limits).
    pub fn receipt_timeout(mut self, timeout: Duration) -> Self {
        self.receipt_timeout = Some(timeout);
        self
    }

    async fn run(self, span: Span) -> Result<Sent, SendError> {
        let payload = self.payload?;
        let node = self.node;
        let session = node.session()?;
        let started = Instant::now();
        let route = Route::resolve(&session.usernames, self.destination).await?;
        // The envelope is large: this future waits without it.
        let (sent, message_id, body) = {
            let composer = &session.composer;
            let (envelope, body) = composer.compose_to(&route, self.options, payload, kind::DIRECT)?;
            spans::describe(&span, &route.subject, &envelope);
            (Sent::from(&envelope), envelope.message_id, body)
        };
        if self.until == Until::Published {
            session.publisher.publish_message(&route.subject, body).await?;
            return Ok(sent);
        }
        let limits = node.limits();
        let acknowledgement = Acknowledgement {
            attempts: self
                .retry_attempts
                .unwrap_or(limits.send_retry_attempts)
                .saturating_add(1),
            wait: self
                .receipt_timeout
                .unwrap_or(limits.receipt_timeout)
                .max(MIN_RECEIPT_TIMEOUT),
            processing: (self.until == Until::Processed)
                .then(|| self.processing_timeout.unwrap_or(limits.processing_timeout)),
        };
        let account_id = route.to_account_id.as_ref();
        let delivery = &session.delivery;
        let delivered = delivery
            .deliver(&route.subject, &message_id, account_id, body, acknowledgement)
            .await;
        if delivered.as_ref().is_err_and(|error| !error.was_accepted()) {
            route.forget_username(&session.usernames);
        }
        delivered?;
        if route.to_account_id.is_some() {
            session.metrics.send_account.record(started.elapsed());
        }
        Ok(sent)
    }
}

const MIN_RECEIPT_TIMEOUT: Duration = Duration::from_millis(200);

impl IntoFuture for SendMessage {
    type Output = Result<Sent, SendError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let span = spans::send();
        spans::within(span.clone(), self.run(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_waits_in_little_memory() {
        let node = AgentNode::builder("sender").build().unwrap();
        let waiting = node.send("acct_1", "text").run(Span::none());
        let size = std::mem::size_of_val(&waiting);
        assert!(size <= 2560, "{size} bytes: what is rare belongs in a box of its own");
    }
}
