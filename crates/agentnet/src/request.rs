//! Requests: a message and its reply (PROTOCOL.md section 11.5).

pub(crate) mod error;

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use agentnet_protocol::envelope::kind;
use agentnet_protocol::reject::UNREACHABLE_CODES;
use agentnet_protocol::reply::decode_reply;
use agentnet_protocol::target::{Target, Verb};
use agentnet_protocol::{DecodeError, Envelope, RawJson, Text};
use async_nats::StatusCode;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tracing::Span;

use crate::connect::NO_CONNECTION;
use crate::connect::denials::{Action, Denied, Mark};
use crate::error::{RequestError, SendError};
use crate::identity::{Came, IgnoredReplies, ReplyExpectation, verify_reply};
use crate::message::Message;
use crate::message_options::{IntoPayload, MessageOptions, message_options};
use crate::node::AgentNode;
use crate::route::{Destination, Route};
use crate::session::Session;
use crate::spans::{self, Origin};

/// Replies to one request that may be verified at the same time.
const VERIFY_CONCURRENCY: usize = 64;

impl AgentNode {
    /// Makes a request to a target of section 11.2.
    pub fn request(&self, to: impl Into<String>, payload: impl IntoPayload) -> Request {
        Request::new(self.clone(), Destination::Text(to.into(), Verb::Request), payload)
    }

    /// Makes a request to an account.
    pub fn request_account(&self, account_id: impl Into<String>, payload: impl IntoPayload) -> Request {
        Request::new(
            self.clone(),
            Destination::Target(Target::Account(account_id.into())),
            payload,
        )
    }

    /// Makes a request to the account of a username.
    pub fn request_username(&self, username: impl Into<String>, payload: impl IntoPayload) -> Request {
        Request::new(
            self.clone(),
            Destination::Target(Target::Username(username.into())),
            payload,
        )
    }

    /// Makes a request to one of the agents with a capability.
    pub fn request_capability(&self, capability: impl Into<String>, payload: impl IntoPayload) -> Request {
        Request::new(
            self.clone(),
            Destination::Target(Target::Capability(capability.into())),
            payload,
        )
    }
}

/// A request to be made; await it for the reply.
///
/// An error reply (`kind: "error"`) is returned like any other: see [`Message::error_code`].
///
/// # Errors
/// When awaited, [`RequestError`].
#[derive(Debug)]
#[must_use = "await it to make the request"]
pub struct Request {
    node: AgentNode,
    pub(crate) destination: Destination,
    payload: Result<RawJson, SendError>,
    pub(crate) options: MessageOptions,
    timeout: Duration,
}

impl Request {
    /// How long a request waits for its reply by default.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

    pub(crate) fn new(node: AgentNode, destination: Destination, payload: impl IntoPayload) -> Self {
        Self {
            node,
            destination,
            payload: payload.into_payload(),
            options: MessageOptions::default(),
            timeout: Self::DEFAULT_TIMEOUT,
        }
    }

    message_options!();

    /// How long to wait for the reply. Default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn run(self, span: Span) -> Result<Message, RequestError> {
        let payload = self.payload?;
        let node = self.node;
        let session = node.session()?;
        let started = Instant::now();
        let route = Route::resolve(&session.usernames, self.destination).await?;
        // The envelope is large: this future waits without it.
        let (message_id, body) = {
            let composer = &session.composer;
            let options = self.options.waited_for(self.timeout);
            let (envelope, body) = composer.compose_to(&route, options, payload, kind::REQUEST)?;
            spans::describe(&span, &route.subject, &envelope);
            (envelope.message_id, body)
        };
        let mark = session.publisher.connections.denials.mark();
        session.receive_replies().await?;
        let mut exchange = Exchange::new(&session, &route, message_id);
        let reply = match tokio::time::timeout(self.timeout, exchange.reply(mark, body)).await {
            Ok(reply) => reply?,
            Err(_) => exchange.timed_out(self.timeout)?,
        };
        let Some((envelope, origin)) = reply else {
            route.forget_username(&session.usernames);
            return Err(RequestError::NoResponders { subject: route.subject });
        };
        if route.to_account_id.is_some() {
            session.metrics.request_account.record(started.elapsed());
        }
        // The span of the arrival ends here; what the caller does with the reply is not part of it.
        drop(spans::receive(&envelope, &origin));
        let reply = Message::new(envelope, None, origin);
        if let Some(code) = reply.error_code() {
            if UNREACHABLE_CODES.contains(&code.as_str()) {
                route.forget_username(&session.usernames);
            }
            spans::failed(&span, code);
        }
        Ok(reply)
    }
}

/// A request on its way, and what has come instead of its reply.
struct Exchange<'a> {
    session: &'a Session,
    route: &'a Route,
    expectation: ReplyExpectation,
    published: bool,
    no_responders: bool,
    ignored: IgnoredReplies,
    /// What is wrong with the last reply that was no message. Another client sent it: the reply may still come.
    unreadable: Option<DecodeError>,
}

impl<'a> Exchange<'a> {
    fn new(session: &'a Session, route: &'a Route, message_id: Text) -> Self {
        Self {
            session,
            route,
            expectation: ReplyExpectation {
                account_id: route.to_account_id.clone(),
                message_id,
            },
            published: false,
            no_responders: false,
            ignored: IgnoredReplies::default(),
            unreadable: None,
        }
    }

    /// Publishes the request and waits for its reply; `None` if the subject has no responders.
    async fn reply(&mut self, mark: Mark, body: Bytes) -> Result<Option<(Envelope, Origin)>, SendError> {
        let (session, subject, expectation) = (self.session, &self.route.subject, &self.expectation);
        let identity = session.identity.as_ref();
        let publisher = &*session.publisher;
        let replies = session.replies.wildcard();
        let issued = publisher.issuer.publish_subject(subject.as_str());
        let mut pending = session.replies.expect();
        let concerns = |denied: &Denied| denied.is(Action::Publish, &issued) || denied.is(Action::Subscribe, &replies);
        let mut denied = Box::pin(publisher.connections.denials.wait(mark, concerns));
        if !publisher.is_connected() {
            Box::pin(publisher.connected()).await;
        }
        publisher.publish_request(subject, &pending.subject, body).await?;
        self.published = true;
        let mut checks = FuturesUnordered::new();
        loop {
            let reply = tokio::select! {
                Some((envelope, origin, verified)) = checks.next() => {
                    let Err(why) = verified else { return Ok(Some((envelope, origin))) };
                    self.ignored.note(&expectation.message_id, why, &session.metrics);
                    continue;
                }
                denied = &mut denied => return Err(SendError::Denied(denied.to_string())),
                reply = pending.receiver.recv(), if checks.len() < VERIFY_CONCURRENCY => {
                    reply.ok_or(SendError::NotRunning)?
                }
            };
            if reply.status == Some(StatusCode::NO_RESPONDERS) {
                self.no_responders = true;
                // Every client can publish this status: under signed identity, a reply may still come. In secure mode the server
                // alone can.
                match identity {
                    Some(_) if publisher.issuer.account_id().is_none() => continue,
                    _ => return Ok(None),
                }
            }
            let origin = Origin::of(&reply);
            let subject = reply.subject;
            match decode_reply(reply.payload) {
                Ok(envelope) => checks.push(async move {
                    let came = Came {
                        subject: &subject,
                        issuer: &publisher.issuer,
                    };
                    let verified = verify_reply(identity, came, &envelope, expectation).await;
                    (envelope, origin, verified)
                }),
                Err(error) => {
                    self.ignored
                        .note(&expectation.message_id, "message_invalid", &session.metrics);
                    self.unreadable = Some(error);
                }
            }
        }
    }

    /// The outcome of a request without a reply in time; `None` if the subject has no responders.
    fn timed_out(self, timeout: Duration) -> Result<Option<(Envelope, Origin)>, RequestError> {
        if !self.published {
            return Err(SendError::Connection(NO_CONNECTION.to_owned()).into());
        }
        if self.no_responders && self.ignored.count == 0 {
            return Ok(None);
        }
        self.route.forget_username(&self.session.usernames);
        let message_id = self.expectation.message_id.to_string();
        if let Some(why) = self.unreadable.filter(|_| self.session.identity.is_none()) {
            return Err(RequestError::Invalid { message_id, why });
        }
        Err(match self.ignored.count {
            0 => RequestError::Timeout { message_id, timeout },
            refused => RequestError::Untrusted {
                message_id,
                timeout,
                refused,
                why: self.ignored.last,
            },
        })
    }
}

impl IntoFuture for Request {
    type Output = Result<Message, RequestError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let span = spans::request();
        spans::within(span.clone(), self.run(span))
    }
}
