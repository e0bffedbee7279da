//! The reading side of a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use agentnet_protocol::envelope::kind;
use agentnet_protocol::reject::UNREACHABLE_CODES;
use agentnet_protocol::stream::{AssembleError, StreamAssembler, StreamFrame, StreamPart};
use agentnet_protocol::{DecodeError, RawJson, json};
use async_nats::StatusCode;
use futures::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep_until};

use super::cancel::Cancellation;
use super::delta::{Delta, StreamReply};
use super::error::StreamError;
use super::frame_buffer::{Arrived, Outflow};
use super::verify::decode;
use crate::error::SendError;
use crate::message::Message;
use crate::reply_mux::ReplyMux;
use crate::send::sent::Sent;
use crate::session::Session;
use crate::username_cache::UsernameCache;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// For the first frame.
    pub(crate) first: Duration,
    /// For each further one.
    pub(crate) idle: Duration,
}

/// The pieces of a reply, in order, each once, whatever the network did to them. After the first error, and after the end,
/// it gives `None`.
///
/// Dropped before the end, or after an error that is not the sender's own, it cancels the stream at the sender.
#[derive(Debug)]
pub struct ReplyStream {
    replies: Arc<ReplyMux>,
    usernames: Arc<UsernameCache>,
    number: u64,
    sent: Sent,
    flow: Outflow,
    assembler: StreamAssembler,
    cancellation: Arc<Cancellation>,
    waits: Waits,
    /// When the wait for the next frame ends.
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    /// The subject of the request, and the name to remove from the cache if its account cannot be reached.
    subject: String,
    username: Option<String>,
    /// The request may have been published.
    requested: bool,
    /// The sender has sent its last frame.
    over: bool,
    /// What is wrong with the last reply that was no message.
    unreadable: Option<DecodeError>,
    outcome: Option<Result<(), StreamError>>,
    deltas: u64,
    metadata: Option<RawJson>,
    result: Option<RawJson>,
    /// The end carried the whole text, which may be empty.
    has_whole_text: bool,
    /// The message that ended the stream.
    last: Option<Message>,
}

/// How many missing frames an error names.
const MAX_NAMED_MISSING: usize = 8;

impl ReplyStream {
    pub(crate) fn new(
        session: &Session,
        number: u64,
        sent: Sent,
        flow: Outflow,
        assembler: StreamAssembler,
        cancellation: Arc<Cancellation>,
        waits: Waits,
    ) -> Self {
        let deadline = after(Instant::now(), waits.first);
        Self {
            replies: session.replies.clone(),
            usernames: session.usernames.clone(),
            number,
            sent,
            flow,
            assembler,
            cancellation,
            waits,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
            subject: String::new(),
            username: None,
            requested: false,
            over: false,
            unreadable: None,
            outcome: None,
            deltas: 0,
            metadata: None,
            result: None,
            has_whole_text: false,
            last: None,
        }
    }

    pub(crate) fn unreached(&mut self, subject: String, username: Option<String>) {
        self.subject = subject;
        self.username = username;
    }

    pub(crate) fn requested(&mut self) {
        self.requested = true;
        self.deadline = after(Instant::now(), self.waits.first);
    }

    /// The request: its message id, thread and trace.
    #[must_use]
    pub fn request(&self) -> &Sent {
        &self.sent
    }

    /// The stream's id, once a frame has come.
    #[must_use]
    pub fn stream_id(&self) -> Option<&str> {
        self.assembler.stream_id()
    }

    /// The metadata of the stream's start, once it has come.
    #[must_use]
    pub fn metadata(&self) -> Option<&RawJson> {
        self.metadata.as_ref()
    }

    /// The text of all pieces so far.
    #[must_use]
    pub fn text_so_far(&self) -> &str {
        self.assembler.text()
    }

    /// Reads to the end and gives the whole text, also that of pieces which were read before.
    ///
    /// # Errors
    /// [`StreamError`], also one that was an item of the stream before.
    pub async fn text(self) -> Result<String, StreamError> {
        self.finish().await.map(|reply| reply.text)
    }

    /// Reads to the end and gives the whole, also what was read before.
    ///
    /// # Errors
    /// [`StreamError`], also one that was an item of the stream before.
    pub async fn finish(mut self) -> Result<StreamReply, StreamError> {
        while self.next().await.transpose()?.is_some() {}
        if let Some(Err(error)) = self.outcome.take() {
            return Err(error);
        }
        let Some(message) = self.last.take() else {
            return Err(SendError::NotRunning.into());
        };
        let stream_id = self.assembler.stream_id().unwrap_or_default().to_owned();
        let result = self.result.take();
        let mut text = std::mem::take(&mut self.assembler).into_text();
        if text.is_empty()
            && !self.has_whole_text
            && let Some(of_result) = result.as_ref().and_then(agentnet_protocol::stream::piece_text)
        {
            text = of_result.into_owned();
        }
        Ok(StreamReply {
            text,
            result,
            metadata: self.metadata.take(),
            deltas: self.deltas,
            stream_id,
            message,
        })
    }

    /// The next piece that is in order, or what ended the stream.
    fn pop(&mut self) -> Option<Delta> {
        while let Some(frame) = self.assembler.pop() {
            match frame.part {
                StreamPart::Start { metadata, .. } => self.metadata = metadata,
                StreamPart::Delta { delta } => {
                    self.deltas += 1;
                    return Some(Delta {
                        seq: frame.seq,
                        value: delta,
                    });
                }
                StreamPart::End { result, text, .. } => {
                    self.result = result;
                    self.has_whole_text = text.is_some();
                    self.over = true;
                    self.outcome = Some(Ok(()));
                }
                StreamPart::Error { error, detail, .. } => self.failed(error, detail.unwrap_or_default()),
            }
        }
        None
    }

    fn fail(&mut self, error: StreamError) {
        self.outcome = Some(Err(error));
    }

    /// The sender reported a failure.
    fn failed(&mut self, code: String, detail: String) {
        self.over = true;
        if UNREACHABLE_CODES.contains(&code.as_str()) {
            self.forget_username();
        }
        self.fail(StreamError::Failed { code, detail });
    }

    fn forget_username(&self) {
        if let Some(username) = &self.username {
            self.usernames.forget(username);
        }
    }

    /// Takes a message: a frame, an ordinary reply, an error reply, or the server's status `no responders`.
    fn take(&mut self, arrived: Arrived) {
        if arrived.message.status == Some(StatusCode::NO_RESPONDERS) {
            self.over = true;
            self.forget_username();
            let subject = self.subject.clone();
            return self.fail(StreamError::NoResponders { subject });
        }
        let message_id = || self.sent.message_id.clone();
        let message = match decode(arrived.message.payload) {
            Ok(message) => message,
            // Another client sent it: the reply may still come.
            Err(why) => {
                tracing::warn!(message_id = message_id(), %why, "ignored a reply that is no message");
                self.unreadable = Some(why);
                return;
            }
        };
        self.cancellation.subject.frame_from(message.from_account_id.as_ref());
        match message.stream_frame() {
            Ok(Some(frame)) => self.take_frame(frame, message, arrived.at),
            Ok(None) if *message.kind == *kind::ERROR => {
                let code = message.error_code().unwrap_or_else(|| "error".to_owned());
                let detail = member(&message, "detail");
                self.failed(code, detail);
            }
            // Types of a stream that this version does not know.
            Ok(None) if *message.kind == *kind::STREAM => {}
            Ok(None) if self.assembler.highest_seq().is_some() => {
                tracing::debug!(message_id = %message.message_id, "ignored an ordinary reply within a stream");
            }
            Ok(None) => self.take_whole(message, arrived.at),
            Err(why) => {
                let message_id = message_id();
                self.fail(StreamError::Frame { message_id, why });
            }
        }
    }

    fn take_frame(&mut self, frame: StreamFrame, message: Message, at: Instant) {
        let is_last = frame.part.is_last();
        match self.assembler.push(frame) {
            Ok(true) => {
                self.deadline = after(at, self.waits.idle);
                // One sender's frames come in the order in which they were sent.
                self.assembler.end_here();
                if is_last {
                    self.last = Some(message);
                }
            }
            Ok(false) => {}
            Err(error @ AssembleError::OtherStream { .. }) => tracing::debug!(%error, "ignored"),
            Err(error) => self.fail(error.into()),
        }
    }

    /// An ordinary reply is one piece and the end.
    fn take_whole(&mut self, message: Message, at: Instant) {
        let stream_id = Some(&*message.message_id)
            .filter(|id| !json::trim(id).is_empty())
            .unwrap_or("reply")
            .to_owned();
        let delta = message.payload().clone();
        let result = Some(delta.clone());
        let parts = [StreamPart::Delta { delta }, StreamPart::end(result)];
        for (seq, part) in (0..).zip(parts) {
            let stream_id = stream_id.clone();
            self.take_frame(StreamFrame::new(stream_id, seq, part), message.clone(), at);
        }
    }

    /// Why nothing more is waited for.
    fn timed_out(&self) -> StreamError {
        let idle = self.waits.idle;
        let Some(_) = self.assembler.highest_seq() else {
            self.forget_username();
            if let Some(why) = self.unreadable.clone() {
                let message_id = self.sent.message_id.clone();
                return StreamError::Invalid { message_id, why };
            }
            return StreamError::Timeout {
                message_id: self.sent.message_id.clone(),
                timeout: self.waits.first,
            };
        };
        if let Some((code, detail)) = self.assembler.failure() {
            return StreamError::Failed {
                code: code.to_owned(),
                detail: detail.unwrap_or_default().to_owned(),
            };
        }
        let count = self.assembler.missing_count();
        if count > 0 {
            let first = self.assembler.missing().take(MAX_NAMED_MISSING).collect();
            return StreamError::Missing { first, count, idle };
        }
        StreamError::Idle {
            last_seq: self.assembler.next_seq().saturating_sub(1),
            idle,
        }
    }

    /// Nothing is queued any more, for good.
    fn flow_ended(&self) -> StreamError {
        match self.flow.overrun() {
            Some(capacity) => StreamError::TooSlow {
                frames: capacity.frames,
                bytes: capacity.bytes,
            },
            None => SendError::NotRunning.into(),
        }
    }
}

impl Stream for ReplyStream {
    type Item = Result<Delta, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.outcome.is_some() {
                return Poll::Ready(None);
            }
            if let Some(delta) = this.pop() {
                return Poll::Ready(Some(Ok(delta)));
            }
            if this.outcome.is_none() {
                match this.flow.poll_next(context) {
                    Poll::Ready(Some(arrived)) => this.take(arrived),
                    Poll::Ready(None) => this.fail(this.flow_ended()),
                    Poll::Pending => {
                        // Frames may have come since the timer was set; it is set again only when it matters.
                        if this.timer.deadline() > this.deadline || this.timer.is_elapsed() {
                            this.timer.as_mut().reset(this.deadline);
                        }
                        ready!(this.timer.as_mut().poll(context));
                        if Instant::now() >= this.deadline && !this.assembler.do_without_start() {
                            this.fail(this.timed_out());
                        }
                    }
                }
            }
            if let Some(Err(error)) = &this.outcome {
                return Poll::Ready(Some(Err(error.clone())));
            }
        }
    }
}

impl Drop for ReplyStream {
    fn drop(&mut self) {
        let cancellation = (self.requested && !self.over).then(|| self.cancellation.clone());
        let stream_id = self.assembler.stream_id().map(str::to_owned);
        self.replies
            .drop_stream(self.number, cancellation.clone(), stream_id.is_some());
        if let Some(cancellation) = cancellation {
            cancellation.publish(stream_id);
        }
    }
}

fn member(message: &Message, name: &str) -> String {
    let payload = message.payload().view();
    let text = payload.as_object().and_then(|object| object.get(name).opt_text());
    text.unwrap_or_default().into_owned()
}

/// The time after a wait; where the clock cannot express it, in 30 years, which is what tokio takes for never.
fn after(start: Instant, wait: Duration) -> Instant {
    const MAX_WAIT: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    start.checked_add(wait).unwrap_or_else(|| start + MAX_WAIT)
}
