//! Where an answer goes: one reply at its end, a stream as it is made, or the result of a task, whose steps are its progress.
//!
//! A model's pieces are a few characters long. They are put together for some milliseconds, because every frame of a
//! stream is a message that the registry stores; the first one goes at once.

use std::time::Duration;

use agentnet::protocol::rpc::TaskProgress;
use agentnet::{Context, StreamError, StreamSender};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::activity::Activity;
use crate::config::AgentConfig;

/// How long pieces are put together.
const FLUSH_INTERVAL: Duration = Duration::from_millis(40);
/// Characters of one frame.
const MAX_FRAME_CHARS: usize = 16_000;
/// A reader waits 30 s for the next frame: an empty piece tells it that the answer goes on.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum ReplySink {
    /// Nothing is passed on before the end.
    Whole,
    /// A stream of pieces.
    Stream(StreamedReply),
    /// The steps are progress of a task.
    Task(mpsc::Sender<TaskProgress>),
}

/// An answer that is streamed.
#[derive(Debug)]
pub(super) struct StreamedReply {
    sender: StreamSender,
    shows_tools: bool,
    /// Text that was not sent yet.
    pending: String,
    /// Text of the whole answer.
    text: String,
    /// Whether the next text belongs to another turn of the model.
    begins_turn: bool,
    last_sent: Instant,
}

impl ReplySink {
    /// Opens a stream that answers a message.
    pub(super) async fn open(context: &Context, config: &AgentConfig) -> Result<Self, StreamError> {
        let model = config.models.first().map(|model| &model.name);
        let sender = context
            .reply_stream()
            .ttl_ms(config.reply.ttl_ms)
            .metadata(json!({ "agent_key": config.key, "model": model }))
            .await?;
        Ok(Self::Stream(StreamedReply {
            sender,
            shows_tools: config.reply.events,
            pending: String::new(),
            text: String::new(),
            begins_turn: false,
            last_sent: Instant::now(),
        }))
    }

    /// Bytes of text that were passed on.
    pub(super) fn passed_on(&self) -> usize {
        match self {
            Self::Whole | Self::Task(_) => 0,
            Self::Stream(reply) => reply.text.len(),
        }
    }

    /// A piece of text.
    pub(super) async fn text(&mut self, piece: &str) -> Result<(), StreamError> {
        let Self::Stream(reply) = self else { return Ok(()) };
        if piece.is_empty() {
            return Ok(());
        }
        let is_first = reply.text.is_empty();
        if std::mem::take(&mut reply.begins_turn) && !is_first {
            reply.add("\n\n");
        }
        reply.add(piece);
        if is_first || reply.last_sent.elapsed() >= FLUSH_INTERVAL {
            reply.flush().await?;
        }
        Ok(())
    }

    /// The model's next text is another turn.
    pub(super) fn begin_turn(&mut self) {
        if let Self::Stream(reply) = self {
            reply.begins_turn = true;
        }
    }

    /// Tells the reader what happens, if the configuration says so.
    pub(super) async fn event(&mut self, activity: Activity<'_>) -> Result<(), StreamError> {
        match self {
            Self::Stream(reply) if reply.shows_tools => {
                reply.flush().await?;
                reply.sender.delta_json(activity.to_event()).await?;
                reply.last_sent = Instant::now();
            }
            Self::Task(reports) => {
                // Work does not wait for a registry that is slow or away.
                let _ = reports.try_send(activity.to_progress());
            }
            Self::Whole | Self::Stream(_) => {}
        }
        Ok(())
    }

    /// Waits for some work; meanwhile, text goes on its way, and empty pieces keep the reader waiting.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, StreamError> {
        let Self::Stream(reply) = self else {
            return Ok(work.await);
        };
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return Ok(output),
                () = tokio::time::sleep_until(reply.due()) => reply.send_due().await?,
            }
        }
    }
}

impl StreamedReply {
    /// Id of the stream.
    pub(super) fn stream_id(&self) -> &str {
        self.sender.stream_id()
    }

    /// The text that was passed on.
    pub(super) fn whole_text(&self) -> &str {
        &self.text
    }

    /// Ends the stream.
    pub(super) async fn end(mut self, result: Value) -> Result<(), StreamError> {
        self.flush().await?;
        self.sender.end_with(result).await
    }

    /// Ends the stream by an error.
    pub(super) async fn fail(mut self, code: &str, detail: &str) -> Result<(), StreamError> {
        self.flush().await?;
        self.sender.fail(code, detail).await
    }

    fn add(&mut self, text: &str) {
        self.pending.push_str(text);
        self.text.push_str(text);
    }

    /// When something has to be sent at the latest.
    fn due(&self) -> Instant {
        let interval = if self.pending.is_empty() {
            KEEP_ALIVE_INTERVAL
        } else {
            FLUSH_INTERVAL
        };
        self.last_sent + interval
    }

    async fn send_due(&mut self) -> Result<(), StreamError> {
        if !self.pending.is_empty() {
            return self.flush().await;
        }
        self.sender.delta("").await?;
        self.last_sent = Instant::now();
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        while !self.pending.is_empty() {
            let end = self
                .pending
                .char_indices()
                .nth(MAX_FRAME_CHARS)
                .map_or(self.pending.len(), |(end, _)| end);
            self.sender.delta(&self.pending[..end]).await?;
            self.pending.drain(..end);
            self.last_sent = Instant::now();
        }
        Ok(())
    }
}
