//! Opening a stream, as a reply or to an inbox.

use std::future::IntoFuture;

use agentnet_protocol::envelope::kind;
use agentnet_protocol::stream::{StreamError as FrameError, StreamFrame, cancel_subject};
use agentnet_protocol::target::{Target, Verb};
use agentnet_protocol::{RawJson, Text, subject};
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::error::StreamError;
use super::frame_writer::FrameWriter;
use super::sender::{Content, StreamSender};
use crate::deliver::{Acknowledgement, Until};
use crate::error::SendError;
use crate::ids;
use crate::message::Message;
use crate::message_options::{IntoPayload, MessageOptions, message_options};
use crate::node::AgentNode;
use crate::route::{Destination, Route};
use crate::session::Session;

/// A stream to be opened; await it for its [`StreamSender`]. The stream's start is then sent.
///
/// The options are those of every frame's message. An [idempotency key](Self::idempotency_key) gets the frame's number
/// appended, and the default trace of a stream to an inbox is the stream's id.
///
/// # Errors
/// When awaited, [`StreamError::Send`]; with [`SendError::NoReplySubject`] if the stream is a reply and the sender waits for
/// none.
#[derive(Debug)]
#[must_use = "await it to open the stream"]
pub struct OpenStream {
    node: AgentNode,
    way: Way,
    pub(crate) options: MessageOptions,
    stream_id: Option<String>,
    content: Content,
    metadata: Option<Result<RawJson, SendError>>,
    until: Until,
}

#[derive(Debug)]
enum Way {
    /// To the reply subject of this message; the token is cancelled with the stream.
    Reply(Message, CancellationToken),
    Inbox(Destination),
}

impl AgentNode {
    /// Opens a stream to the inbox of a target of section 11.2: its handler gets every frame as a message
    /// ([`Message::stream_frame`]).
    ///
    /// A frame waits for its receipt, and is sent again when the receiver rejects it as `rate_limited` or `busy`: with the receiver's
    /// default limits that is 10 frames at once and then 5 a second (docs/STREAMING_PROTOCOL.md).
    pub fn send_stream(&self, to: impl Into<String>) -> OpenStream {
        self.send_stream_at(Destination::Text(to.into(), Verb::Send))
    }

    /// Opens a stream to the inbox of an account.
    pub fn send_stream_to_account(&self, account_id: impl Into<String>) -> OpenStream {
        self.send_stream_at(Destination::Target(Target::Account(account_id.into())))
    }

    pub(crate) fn send_stream_at(&self, destination: Destination) -> OpenStream {
        OpenStream::new(self, Way::Inbox(destination))
    }

    pub(crate) fn reply_stream(&self, request: &Message, cancelled: CancellationToken) -> OpenStream {
        OpenStream::new(self, Way::Reply(request.clone(), cancelled))
    }
}

impl OpenStream {
    fn new(node: &AgentNode, way: Way) -> Self {
        Self {
            node: node.clone(),
            way,
            options: MessageOptions::default(),
            stream_id: None,
            content: Content::default(),
            metadata: None,
            until: Until::default(),
        }
    }

    message_options!();

    /// The stream's id. Default: a fresh one. A blank one is none.
    pub fn stream_id(mut self, stream_id: impl Into<String>) -> Self {
        self.stream_id = Some(stream_id.into());
        self
    }

    /// The role of the speaker in every frame. Default `assistant`.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.content.role = Some(Text::from(role.into()));
        self
    }

    /// The content type of the pieces in every frame. Default `text/plain`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content.content_type = Some(Text::from(content_type.into()));
        self
    }

    /// Metadata in the start of the stream, such as the model; any JSON. Programs of the Python implementation read only an object.
    pub fn metadata(mut self, metadata: impl IntoPayload) -> Self {
        self.metadata = Some(metadata.into_payload());
        self
    }

    /// How far to wait for each frame to an inbox. Default [`Until::Accepted`]. With [`Until::Published`] frames go as fast as
    /// they come, and what the receiver refuses is lost. Frames that are replies are always published and no more.
    pub fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    async fn run(self) -> Result<StreamSender, StreamError> {
        let metadata = self.metadata.transpose()?;
        let node = self.node;
        let session = node.session()?;
        let stream_id = self
            .stream_id
            .filter(|id| !agentnet_protocol::json::trim(id).is_empty())
            .unwrap_or_else(|| format!("stream_{}", ids::token().to_lowercase()));
        match self.way {
            Way::Reply(request, cancelled) => {
                let subject = request.reply_to().ok_or(SendError::NoReplySubject)?.to_owned();
                // Before the start is sent: who sees the start may cancel.
                let issuer = &session.publisher.issuer;
                let cancels = match issuer.account_id() {
                    None => cancel_subject(&subject),
                    Some(own) => issuer.subscribe_subject(subject::control(own)),
                };
                let cancels = subscribe(&session, cancels).await?;
                let mut writer = writer(&session, self.options, subject);
                writer.draft = writer.draft.answering(request.envelope());
                StreamSender::open(writer, stream_id, self.content, metadata, cancelled, Some(cancels)).await
            }
            Way::Inbox(destination) => {
                let route = Route::resolve(&session.usernames, destination).await?;
                let mut options = self.options;
                options.trace_id.get_or_insert_with(|| stream_id.clone());
                let mut writer = writer(&session, options, route.subject);
                writer.draft.to_agent = route.to_agent;
                writer.draft.to_account_id = route.to_account_id;
                if self.until > Until::Published {
                    let limits = node.limits();
                    let acknowledgement = Acknowledgement {
                        attempts: limits.send_retry_attempts.saturating_add(1),
                        wait: limits.receipt_timeout,
                        processing: (self.until == Until::Processed).then_some(limits.processing_timeout),
                    };
                    writer.acknowledged = Some((acknowledgement, session.delivery.clone()));
                }
                StreamSender::open(
                    writer,
                    stream_id,
                    self.content,
                    metadata,
                    CancellationToken::new(),
                    None,
                )
                .await
            }
        }
    }
}

fn writer(session: &Session, options: MessageOptions, subject: String) -> FrameWriter {
    FrameWriter {
        streams: session.streams.clone(),
        identity: session.identity.clone(),
        subject,
        draft: session.composer.draft(options, RawJson::null(), kind::STREAM),
        acknowledged: None,
    }
}

async fn subscribe(session: &Session, subject: String) -> Result<async_nats::Subscriber, SendError> {
    let subscription = session.publisher.subscribe(subject).await;
    subscription.map_err(|error| SendError::Connection(error.to_string()))
}

impl IntoFuture for OpenStream {
    type Output = Result<StreamSender, StreamError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Message {
    /// The frame of a stream that this message is, if it is one. Frames that come to an inbox are handled concurrently: put
    /// them in order with a [`StreamAssembler`](agentnet_protocol::stream::StreamAssembler).
    ///
    /// # Errors
    /// [`agentnet_protocol::stream::StreamError`] where the payload's type is a stream's and a member is wrong.
    pub fn stream_frame(&self) -> Result<Option<StreamFrame>, FrameError> {
        StreamFrame::parse(&self.payload().view())
    }
}
