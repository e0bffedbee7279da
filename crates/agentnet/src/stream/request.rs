//! Requests whose reply is a stream.

use std::future::IntoFuture;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agentnet_protocol::RawJson;
use agentnet_protocol::compose::Draft;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::stream::{StreamAssembler, StreamLimits, cancel_subject};
use agentnet_protocol::target::{Target, Verb};
use futures::future::BoxFuture;
use tracing::Span;

use super::cancel::{CancelSubject, Cancellation};
use super::error::StreamError;
use super::frame_buffer::{Capacity, frame_buffer};
use super::reader::{ReplyStream, Waits};
use super::verify::verified;
use crate::connect::NO_CONNECTION;
use crate::error::SendError;
use crate::identity::ReplyExpectation;
use crate::message_options::{IntoPayload, MessageOptions, message_options};
use crate::node::AgentNode;
use crate::request::Request;
use crate::route::{Destination, Route};
use crate::send::sent::Sent;
use crate::spans;

/// A request for a stream; await it to send it and get the [`ReplyStream`].
///
/// # Errors
/// When awaited, [`StreamError::Send`]: the request could not be sent. What goes wrong later is an item of the stream.
#[derive(Debug)]
#[must_use = "await it to make the request"]
pub struct StreamRequest {
    node: AgentNode,
    destination: Destination,
    payload: Result<RawJson, SendError>,
    pub(crate) options: MessageOptions,
    timeout: Duration,
    idle_timeout: Duration,
    capacity: Capacity,
    limits: StreamLimits,
}

impl AgentNode {
    /// Makes a request to a target of section 11.2, and reads its reply piece by piece. Ordinary replies count as one piece.
    pub fn request_stream(&self, to: impl Into<String>, payload: impl IntoPayload) -> StreamRequest {
        StreamRequest::new(self, Destination::Text(to.into(), Verb::Request), payload)
    }

    /// The same to an account.
    pub fn request_stream_account(&self, account_id: impl Into<String>, payload: impl IntoPayload) -> StreamRequest {
        let target = Target::Account(account_id.into());
        StreamRequest::new(self, Destination::Target(target), payload)
    }

    /// The same to the account of a username.
    pub fn request_stream_username(&self, username: impl Into<String>, payload: impl IntoPayload) -> StreamRequest {
        let target = Target::Username(username.into());
        StreamRequest::new(self, Destination::Target(target), payload)
    }

    /// The same to one of the agents with a capability.
    pub fn request_stream_capability(&self, capability: impl Into<String>, payload: impl IntoPayload) -> StreamRequest {
        let target = Target::Capability(capability.into());
        StreamRequest::new(self, Destination::Target(target), payload)
    }
}

impl StreamRequest {
    /// How long the stream may be silent by default.
    pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
    /// Frames that may wait for the reader by default.
    pub const DEFAULT_BUFFER_FRAMES: usize = 16_384;
    /// Bytes that may wait for the reader by default: 32 MiB.
    pub const DEFAULT_BUFFER_BYTES: usize = 32 << 20;

    pub(crate) fn new(node: &AgentNode, destination: Destination, payload: impl IntoPayload) -> Self {
        Self {
            node: node.clone(),
            destination,
            payload: payload.into_payload(),
            options: MessageOptions::default(),
            timeout: Request::DEFAULT_TIMEOUT,
            idle_timeout: Self::DEFAULT_IDLE_TIMEOUT,
            capacity: Capacity {
                frames: Self::DEFAULT_BUFFER_FRAMES,
                bytes: Self::DEFAULT_BUFFER_BYTES,
            },
            limits: StreamLimits::default(),
        }
    }

    message_options!();

    /// How long to wait for the first frame, which is the stream's start, or for an ordinary reply. Default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long to wait for each further frame. Frames that were there before do not count. Default 30 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// What may wait for the reader before the stream fails with [`StreamError::TooSlow`]. Default 16,384 frames, 32 MiB.
    pub fn buffer(mut self, frames: usize, bytes: usize) -> Self {
        self.capacity = Capacity { frames, bytes };
        self
    }

    /// What may wait for frames that come later than their successors, and how long the text may be. Default
    /// [`StreamLimits::default`].
    pub fn limits(mut self, limits: StreamLimits) -> Self {
        self.limits = limits;
        self
    }

    async fn run(self, span: Span) -> Result<ReplyStream, StreamError> {
        let payload = self.payload?;
        let node = self.node;
        let session = node.session()?;
        let route = Route::resolve(&session.usernames, self.destination).await?;
        let composer = &session.composer;
        let options = self.options.waited_for(self.timeout);
        let (envelope, body) = composer.compose_to(&route, options, payload, kind::REQUEST)?;
        session.receive_replies().await?;
        let (number, subject) = session.replies.fresh();
        let draft = Draft {
            to_agent: route.to_agent,
            to_account_id: route.to_account_id,
            trace_id: envelope.trace_id.clone(),
            thread_id: envelope.thread_id.clone(),
            parent_message_id: Some(envelope.message_id.clone()),
            ..composer.draft(MessageOptions::default(), RawJson::null(), kind::STREAM)
        };
        let expectation = ReplyExpectation {
            account_id: draft.to_account_id.clone(),
            message_id: envelope.message_id.clone(),
        };
        let cancellation = Arc::new(Cancellation {
            streams: session.streams.clone(),
            subject: match session.publisher.issuer.account_id() {
                None => CancelSubject::OfReply(cancel_subject(&subject)),
                Some(_) => {
                    CancelSubject::Control(draft.to_account_id.clone().map_or_else(OnceLock::new, OnceLock::from))
                }
            },
            draft,
            is_published: AtomicBool::new(false),
        });
        let (inflow, outflow) = frame_buffer(self.capacity);
        session.replies.expect_stream(number, inflow, cancellation.clone());
        let outflow = verified(&session, outflow, self.capacity, expectation);
        let waits = Waits {
            first: self.timeout,
            idle: self.idle_timeout,
        };
        let assembler = StreamAssembler::new().with_limits(self.limits);
        let sent = Sent::from(&envelope);
        let mut stream = ReplyStream::new(&session, number, sent, outflow, assembler, cancellation, waits);
        stream.unreached(route.subject.clone(), route.username);
        let publisher = &session.publisher;
        if tokio::time::timeout(self.timeout, publisher.connected()).await.is_err() {
            return Err(SendError::Connection(NO_CONNECTION.to_owned()).into());
        }
        stream.requested();
        spans::describe(&span, &route.subject, &envelope);
        publisher.publish_request(&route.subject, &subject, body).await?;
        Ok(stream)
    }
}

impl IntoFuture for StreamRequest {
    type Output = Result<ReplyStream, StreamError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let span = spans::request();
        spans::within(span.clone(), self.run(span))
    }
}
