//! Requests: a message and its reply (PROTOCOL.md section 11.5).

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use agentnet_protocol::envelope::kind;
use agentnet_protocol::{Envelope, RawJson};
use async_nats::StatusCode;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tracing::Span;

use crate::connect::NO_CONNECTION;
use crate::connect::denials::{Action, Denied};
use crate::error::{RequestError, SendError};
use crate::handler::Message;
pub(crate) use crate::identity::UNREACHED;
use crate::identity::{Asked, Refusals};
use crate::node::AgentNode;
use crate::outgoing::{IntoPayload, Options, message_options};
use crate::send::Destination;
use crate::spans::{self, Origin};

/// Replies to one request that may be checked at the same time.
const CHECKS: usize = 64;

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
    pub(crate) options: Options,
    timeout: Duration,
}

impl Request {
    /// How long a request waits for its reply unless told otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

    pub(crate) fn new(node: AgentNode, destination: Destination, payload: impl IntoPayload) -> Self {
        Self {
            node,
            destination,
            payload: payload.into_payload(),
            options: Options::default(),
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
        let live = node.live()?;
        let started = Instant::now();
        let route = node.route(&live, self.destination).await?;
        let (envelope, body) = node.compose(&live, self.options, payload, kind::REQUEST, &route)?;
        spans::describe(&span, &route.subject, &envelope);
        let message_id = envelope.message_id;
        let asked = Asked {
            account_id: route.to_account_id.clone(),
            message_id: message_id.clone(),
        };
        let mut refusals = Refusals::default();
        let mut nobody = false;
        // What is no message was said by somebody else: the reply may still come.
        let mut unreadable = None;
        let mark = live.connections.denials.mark();
        live.hear_replies().await?;
        let replies = live.replies.wildcard();
        let mut expected = live.replies.expect();
        let mut published = false;
        let concerns =
            |denied: &Denied| denied.is(Action::Publish, &route.subject) || denied.is(Action::Subscribe, &replies);
        let publish_and_wait = async {
            let mut denied = Box::pin(live.connections.denials.wait(mark, concerns));
            if !live.is_connected() {
                Box::pin(live.connected()).await;
            }
            live.publish_request(&route.subject, &expected.subject, body).await?;
            published = true;
            let mut checks = FuturesUnordered::new();
            loop {
                tokio::select! {
                    Some((envelope, origin, verdict)) = checks.next() => {
                        let Err(why) = verdict else { return Ok(Some((envelope, origin))) };
                        refusals.note(&message_id, why, node.metrics());
                    }
                    denied = &mut denied => return Err(SendError::Denied(denied.to_string())),
                    reply = expected.receiver.recv(), if checks.len() < CHECKS => {
                        let reply = reply.ok_or(SendError::NotRunning)?;
                        if reply.status == Some(StatusCode::NO_RESPONDERS) {
                            // Anybody could have said so: with signatures, a reply may still come.
                            nobody = true;
                            if live.identity.is_some() {
                                continue;
                            }
                            return Ok::<_, SendError>(None);
                        }
                        let origin = Origin::of(&reply);
                        match Envelope::decode_reply(reply.payload) {
                            Ok(envelope) => checks.push(async {
                                let verdict = live.verify_reply(&envelope, &asked).await;
                                (envelope, origin, verdict)
                            }),
                            Err(error) => {
                                refusals.note(&message_id, "message_invalid", node.metrics());
                                unreadable = Some(error);
                            }
                        }
                    }
                }
            }
        };
        let unreached = || {
            if let Some(username) = &route.username {
                live.resolver.forget(username);
            }
        };
        let reply = match tokio::time::timeout(self.timeout, publish_and_wait).await {
            Ok(reply) => reply?,
            Err(_) if !published => return Err(SendError::Connection(NO_CONNECTION.to_owned()).into()),
            Err(_) if nobody && refusals.count == 0 => None,
            Err(_) => {
                unreached();
                let (message_id, timeout) = (message_id.to_string(), self.timeout);
                if let Some(why) = unreadable.filter(|_| live.identity.is_none()) {
                    return Err(RequestError::Invalid { message_id, why });
                }
                return Err(match refusals.count {
                    0 => RequestError::Timeout { message_id, timeout },
                    refused => RequestError::Untrusted {
                        message_id,
                        timeout,
                        refused,
                        why: refusals.last,
                    },
                });
            }
        };
        let Some(reply) = reply else {
            unreached();
            return Err(RequestError::NoResponders { subject: route.subject });
        };
        if route.to_account_id.is_some() {
            node.metrics().request_account.record(started.elapsed());
        }
        let (envelope, origin) = reply;
        // Its arrival is a moment; what is done with it belongs to whoever asked.
        drop(spans::receive(&envelope, &origin));
        let reply = Message::new(envelope, None, origin);
        if let Some(code) = reply.error_code() {
            if UNREACHED.contains(&code.as_str()) {
                unreached();
            }
            spans::failed(&span, code);
        }
        Ok(reply)
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
