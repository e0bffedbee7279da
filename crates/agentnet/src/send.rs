//! Sending and replying (PROTOCOL.md sections 11.1 to 11.4 and 11.6).

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use agentnet_protocol::envelope::kind;
use agentnet_protocol::target::{Target, TargetError, Verb};
use agentnet_protocol::{Envelope, RawJson, Text, subject};
use futures::future::BoxFuture;
use tracing::Span;

pub use crate::deliver::Until;
use crate::deliver::{Acknowledgement, deliver};
use crate::error::{ResolveError, SendError};
use crate::handler::Message;
use crate::ids;
use crate::node::AgentNode;
use crate::outgoing::{IntoPayload, Options, message_options};
use crate::sdk::parse_target;
use crate::session::Live;
use crate::spans;

/// Where a message is to go, as the caller said it.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// Text of section 11.2, read by the rules of the node's calls.
    Text(String, Verb),
    /// Text of section 11.2, read by the rules of the high-level SDK.
    SdkText(String),
    /// Told one by one; there must be exactly one.
    OneOf(Vec<Target>),
    /// Told by the call's name.
    Target(Target),
}

/// A target with its account resolved.
pub(crate) struct Route {
    pub(crate) subject: String,
    pub(crate) to_agent: Text,
    pub(crate) to_account_id: Option<Text>,
    /// The name to forget if nothing is delivered.
    pub(crate) username: Option<String>,
}

impl AgentNode {
    pub(crate) async fn route(&self, live: &Live, destination: Destination) -> Result<Route, SendError> {
        let target = match destination {
            Destination::Text(text, verb) => Target::parse_node(&text, verb)?,
            Destination::SdkText(text) => parse_target(&text)?,
            Destination::OneOf(targets) => match <[Target; 1]>::try_from(targets) {
                Ok([target]) => target,
                Err(_) => return Err(TargetError::ExactlyOne.into()),
            },
            Destination::Target(target) => target,
        };
        let (account_id, username) = match target {
            Target::Capability(capability) => {
                let capability = agentnet_protocol::json::trim(&capability);
                if !subject::routable_capability(capability) {
                    return Err(SendError::Unroutable(capability.to_owned()));
                }
                return Ok(Route {
                    subject: subject::capability(capability),
                    to_agent: Text::from(format!("capability:{capability}")),
                    to_account_id: None,
                    username: None,
                });
            }
            Target::Account(account_id) => (Text::from(account_id), None),
            Target::Username(username) => {
                let account_id = match live.resolver.remembered(&username, self.metrics()) {
                    Some(account_id) => account_id,
                    // Rare, and larger than all the rest of a send.
                    None => Box::pin(live.resolver.ask(&live.registry, self.metrics(), &username)).await?,
                };
                (account_id, Some(username))
            }
        };
        if !subject::routable_account(&account_id) {
            return Err(SendError::Unroutable(account_id.to_string()));
        }
        Ok(Route {
            subject: subject::inbox(&account_id),
            to_agent: account_id.clone(),
            to_account_id: Some(account_id),
            username,
        })
    }

    /// Composes a message to a route and checks its size.
    pub(crate) fn compose(
        &self,
        live: &Live,
        options: Options,
        payload: RawJson,
        default_kind: &'static str,
        route: &Route,
    ) -> Result<(Envelope, bytes::Bytes), SendError> {
        let mut draft = options.draft(payload, default_kind, self.limits().default_ttl_ms);
        draft.to_agent = route.to_agent.clone();
        draft.to_account_id = route.to_account_id.clone();
        draft.schema_version = self.schema_version();
        let now = ids::now();
        let mut envelope = draft.compose(&live.sender, ids::message_id(now), now);
        live.sign(&mut envelope);
        let body = self.checked(&envelope)?;
        Ok((envelope, body))
    }

    /// The wire text, if it is not too large.
    fn checked(&self, envelope: &Envelope) -> Result<bytes::Bytes, SendError> {
        let body = envelope.encode();
        let limit = self.limits().max_payload_bytes;
        if body.len() > limit {
            return Err(SendError::TooLarge {
                size: body.len(),
                limit,
            });
        }
        Ok(body)
    }
}

/// What a delivered message is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// Its id.
    pub message_id: String,
    /// Its thread.
    pub thread_id: String,
    /// Its trace.
    pub trace_id: String,
}

impl From<&Envelope> for Sent {
    fn from(envelope: &Envelope) -> Self {
        let text = |text: &Option<Text>| text.as_deref().unwrap_or_default().to_owned();
        Self {
            message_id: envelope.message_id.to_string(),
            thread_id: text(&envelope.thread_id),
            trace_id: text(&envelope.trace_id),
        }
    }
}

/// A message to be sent; await it to send it.
///
/// By default the send waits for the receiver's receipt, repeats the message when none comes, and fails when the receiver
/// refuses it (section 11.4). [`Send::until`] waits for less or for more.
///
/// # Errors
/// When awaited, [`SendError`].
#[derive(Debug)]
#[must_use = "await it to send the message"]
pub struct Send {
    node: AgentNode,
    pub(crate) destination: Destination,
    payload: Result<RawJson, SendError>,
    pub(crate) options: Options,
    until: Until,
    processing_timeout: Option<Duration>,
    retry_attempts: Option<u32>,
    receipt_timeout: Option<Duration>,
}

impl Send {
    pub(crate) fn new(node: AgentNode, destination: Destination, payload: impl IntoPayload) -> Self {
        Self {
            node,
            destination,
            payload: payload.into_payload(),
            options: Options::default(),
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
    /// handler. A receiver of the original tells that too; one of its TypeScript SDK tells nothing.
    ///
    /// With [`Until::Processed`] a message whose idempotency key the receiver knows from another message fails as
    /// `duplicate`: how the handling of that one ended is not told. (Without, it counts as delivered.)
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
        let live = node.live()?;
        let started = Instant::now();
        let route = node.route(&live, self.destination).await?;
        // The envelope is large: this future waits without it.
        let (sent, message_id, body) = {
            let (envelope, body) = node.compose(&live, self.options, payload, kind::DIRECT, &route)?;
            spans::describe(&span, &route.subject, &envelope);
            (Sent::from(&envelope), envelope.message_id, body)
        };
        if self.until == Until::Published {
            live.publish_message(&route.subject, body).await?;
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
        let _expected = live.expect_receipts(&message_id, route.to_account_id.as_ref());
        let delivered = deliver(
            &live,
            node.metrics(),
            &route.subject,
            &message_id,
            body,
            acknowledgement,
        )
        .await;
        if let (Err(error), Some(username)) = (&delivered, &route.username)
            && !error.was_accepted()
        {
            live.resolver.forget(username);
        }
        delivered?;
        if route.to_account_id.is_some() {
            node.metrics().send_account.record(started.elapsed());
        }
        Ok(sent)
    }
}

const MIN_RECEIPT_TIMEOUT: Duration = Duration::from_millis(200);

impl IntoFuture for Send {
    type Output = Result<Sent, SendError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let span = spans::send();
        spans::within(span.clone(), self.run(span))
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
    options: Options,
}

impl Reply {
    pub(crate) fn new(node: AgentNode, request: &Message, payload: impl IntoPayload) -> Self {
        Self {
            node,
            request: request.clone(),
            payload: payload.into_payload(),
            options: Options::default(),
        }
    }

    message_options!();

    async fn run(self, span: Span) -> Result<Sent, SendError> {
        let payload = self.payload?;
        let subject = self.request.reply_to().ok_or(SendError::NoReplySubject)?;
        let live = self.node.live()?;
        let mut draft = self
            .options
            .draft(payload, kind::REPLY, self.node.limits().default_ttl_ms);
        draft.schema_version = self.node.schema_version();
        let now = ids::now();
        let mut envelope = draft
            .answering(self.request.envelope())
            .compose(&live.sender, ids::message_id(now), now);
        live.sign(&mut envelope);
        let body = self.node.checked(&envelope)?;
        spans::describe(&span, subject, &envelope);
        live.publish_message(subject, body).await?;
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

impl From<ResolveError> for crate::error::RequestError {
    fn from(error: ResolveError) -> Self {
        Self::Send(SendError::Resolve(error))
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
