//! The sending side of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentnet_protocol::stream::{StreamCancel, StreamFrame, StreamPart, WholeText};
use agentnet_protocol::{RawJson, Text};
use async_nats::Subscriber;
use futures::StreamExt;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::error::StreamError;
use super::frame_writer::FrameWriter;
use super::verify::decode;
use crate::error::SendError;
use crate::identity::{Came, ReplyExpectation, verify_reply};
use crate::ids;
use crate::message_options::IntoPayload;

/// Sends one stream: pieces, then its end. Opened by [`Context::reply_stream`](crate::Context::reply_stream) or
/// [`AgentNode::send_stream`](crate::AgentNode::send_stream).
///
/// It can be moved into a task of its own, and is not tied to the handler that opened it. Dropped before its
/// [`end`](Self::end), also by a panic, it tells the reader so: a `stream_error` with the code `stream_abandoned`, or
/// `shutting_down` where the node was closed.
///
/// A call that is dropped before it is complete (in a `select!`) has sent its frame or has not; the numbers have no gap
/// either way.
///
/// # Errors
/// Every call that sends gives [`StreamError::Cancelled`] once the reader has cancelled, and [`StreamError::Send`] where the
/// frame could not be sent.
///
/// ```no_run
/// # async fn handle(context: agentnet::Context) -> agentnet::HandlerResult {
/// let stream = context.reply_stream().await?;
/// for word in ["one ", "two"] {
///     stream.delta(word).await?;
/// }
/// stream.end().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct StreamSender(Arc<Sending>);

/// What the sender and its watching task share.
#[derive(Debug)]
struct Sending {
    writer: FrameWriter,
    stream_id: String,
    content: Content,
    /// Held while a frame is sent.
    progress: Mutex<Progress>,
    /// The last frame was sent.
    ended: AtomicBool,
    cancelled: CancellationToken,
    /// The sender is gone.
    dropped: CancellationToken,
}

/// How far a stream has come.
#[derive(Debug)]
struct Progress {
    /// The number of the next frame.
    next: u64,
    /// What the end repeats.
    whole: WholeText,
}

/// The description of the content in every frame.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) role: Option<Text>,
    pub(crate) content_type: Option<Text>,
}

/// Code of a stream whose sender was dropped before the end.
const ABANDONED: &str = "stream_abandoned";
/// Code of a stream whose node was closed before the end.
const SHUTTING_DOWN: &str = "shutting_down";

impl StreamSender {
    /// Sends the start. `cancels`: what comes to the stream's cancel subject.
    pub(crate) async fn open(
        writer: FrameWriter,
        stream_id: String,
        content: Content,
        metadata: Option<RawJson>,
        cancelled: CancellationToken,
        cancels: Option<Subscriber>,
    ) -> Result<Self, StreamError> {
        let streams = writer.streams.clone();
        let whole = WholeText::new(streams.composer.max_payload_bytes);
        let sending = Arc::new(Sending {
            writer,
            stream_id,
            content,
            progress: Mutex::new(Progress { next: 0, whole }),
            ended: AtomicBool::new(false),
            cancelled,
            dropped: CancellationToken::new(),
        });
        streams.spawn(watch(sending.clone(), cancels));
        let sender = Self(sending);
        sender.send(StreamPart::start(metadata, Some(now()))).await?;
        Ok(sender)
    }

    /// The stream's id.
    #[must_use]
    pub fn stream_id(&self) -> &str {
        &self.0.stream_id
    }

    /// Sends a piece of text.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn delta(&self, text: &str) -> Result<(), StreamError> {
        self.delta_json(text).await
    }

    /// Sends a piece of any JSON but `null`, which no reader takes.
    ///
    /// # Errors
    /// [`StreamError`]; after [`StreamError::NullPiece`] the stream can go on.
    pub async fn delta_json(&self, piece: impl IntoPayload) -> Result<(), StreamError> {
        let delta = piece.into_payload()?;
        if delta.view().is_null() {
            return Err(StreamError::NullPiece);
        }
        self.send(StreamPart::Delta { delta }).await
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`StreamError`]; the reader is then told that the stream was abandoned.
    pub async fn end(self) -> Result<(), StreamError> {
        self.send_end(None).await
    }

    /// Ends the stream with a result: the whole text once more, a summary, numbers, what the two sides agree on.
    ///
    /// # Errors
    /// [`StreamError`]; the reader is then told that the stream was abandoned.
    pub async fn end_with(self, result: impl IntoPayload) -> Result<(), StreamError> {
        self.send_end(Some(result.into_payload()?)).await
    }

    /// The end repeats the whole text for readers that show nothing else, if that fits.
    async fn send_end(self, result: Option<RawJson>) -> Result<(), StreamError> {
        let text = self.0.progress.lock().await.whole.take(result.as_ref());
        let end = |text, result| StreamPart::End {
            text,
            result,
            finished_at: Some(now()),
            metadata: None,
        };
        let repeats = text.is_some();
        match self.send(end(text, result.clone())).await {
            Err(StreamError::Send(SendError::TooLarge { .. })) if repeats => self.send(end(None, result)).await,
            sent => sent,
        }
    }

    /// Ends the stream with an error: a code, and a sentence for people.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn fail(self, code: impl Into<String>, detail: impl Into<String>) -> Result<(), StreamError> {
        self.send(error_part(code.into(), detail.into())).await
    }

    /// Returns when the reader cancels. Streams to an inbox are never cancelled: there the receiver rejects a frame.
    pub async fn cancelled(&self) {
        self.0.cancelled.cancelled().await;
    }

    /// Whether the reader has cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }

    async fn send(&self, part: StreamPart) -> Result<(), StreamError> {
        let sending = &*self.0;
        let mut progress = sending.progress.lock().await;
        if sending.cancelled.is_cancelled() {
            return Err(StreamError::Cancelled);
        }
        if sending.ended.load(Ordering::Acquire) {
            return Err(SendError::NotRunning.into());
        }
        let frame = sending.frame(progress.next, part);
        sending.writer.send(&frame).await?;
        // Only now: a call that is dropped while it waits has not used up its number.
        progress.next += 1;
        if let StreamPart::Delta { delta } = &frame.part {
            progress.whole.push(delta);
        }
        let is_last = frame.part.is_last();
        sending.ended.store(is_last, Ordering::Release);
        Ok(())
    }
}

impl Drop for StreamSender {
    fn drop(&mut self) {
        self.0.dropped.cancel();
    }
}

impl Sending {
    fn frame(&self, seq: u64, part: StreamPart) -> StreamFrame {
        let mut frame = StreamFrame::new(self.stream_id.clone(), seq, part);
        if let Some(role) = &self.content.role {
            frame.role = role.clone();
        }
        if let Some(content_type) = &self.content.content_type {
            frame.content_type = content_type.clone();
        }
        frame
    }

    /// Tells the reader that nothing follows, if it does not know.
    async fn break_off(&self, code: &str, detail: &str) {
        let progress = self.progress.lock().await;
        if self.cancelled.is_cancelled() || self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        let part = error_part(code.to_owned(), detail.to_owned());
        self.writer.send_last(&self.frame(progress.next, part)).await;
    }

    async fn take(&self, message: async_nats::Message) {
        let subject = message.subject;
        match decode(message.payload) {
            Ok(message) => {
                let cancel = StreamCancel::parse(&message.payload().view());
                if !cancel.is_some_and(|cancel| cancel.concerns(&self.stream_id)) {
                    return;
                }
                let draft = &self.writer.draft;
                let expectation = ReplyExpectation {
                    account_id: draft.to_account_id.clone(),
                    message_id: draft.parent_message_id.clone().unwrap_or_default(),
                };
                let came = Came {
                    subject: &subject,
                    issuer: &self.writer.streams.publisher.issuer,
                };
                match verify_reply(self.writer.identity.as_ref(), came, &message, &expectation).await {
                    Ok(()) => self.cancelled.cancel(),
                    Err(why) => tracing::warn!(
                        stream_id = self.stream_id,
                        why,
                        "ignored a cancellation by another account"
                    ),
                }
            }
            Err(error) => tracing::debug!(%error, "ignored a cancellation that cannot be read"),
        }
    }
}

fn error_part(error: String, detail: String) -> StreamPart {
    StreamPart::Error {
        error,
        detail: Some(detail),
        finished_at: Some(now()),
        metadata: None,
    }
}

fn now() -> Text {
    Text::from(ids::now().to_string())
}

/// Receives cancellations, and sends the last frame when the sender is dropped or the node ends.
async fn watch(sending: Arc<Sending>, mut cancels: Option<Subscriber>) {
    let ended = &sending.writer.streams.ended;
    loop {
        let cancel = async {
            match &mut cancels {
                Some(cancels) => cancels.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = sending.dropped.cancelled() => {
                return sending.break_off(ABANDONED, "the sender dropped the stream before its end").await;
            }
            () = ended.cancelled() => {
                return sending.break_off(SHUTTING_DOWN, "agent is shutting down").await;
            }
            message = cancel => match message {
                Some(message) => sending.take(message).await,
                // The connection is closed for good.
                None => cancels = None,
            },
        }
    }
}
