//! Records messages that their sender has kept out of the stream.
//!
//! With a header for the server (`Nats-Expected-Stream`, `Nats-Rollup`, …) a message is delivered and handled, while the stream
//! refuses or drops it; one with a status in its headers looks like a control message of the server when it comes from the
//! stream. The SDK rejects such messages; other agents may not. So the registry that reads inboxes records them.

use std::future;
use std::sync::Arc;

use agentnet_protocol::Timestamp;
use agentnet_protocol::subject::is_server_header;
use async_nats::{Message, Subject};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::capture::{Capture, CaptureMode};
use crate::clock::Now;
use crate::tasks::{Phase, TaskSet};

/// Messages that may wait to be recorded.
const QUEUE_CAPACITY: usize = 16;

/// Hands messages to the capture in a task of its own: a full write queue must not hold up the router.
pub(super) struct Recorder {
    /// `None` where the capture reads every message anyway.
    queue: Option<mpsc::Sender<(Subject, Bytes, Timestamp)>>,
}

impl Recorder {
    pub(super) fn start(capture: &Arc<Capture>, tasks: &TaskSet) -> Self {
        if capture.mode != CaptureMode::JetStream {
            return Self { queue: None };
        }
        let (queue, mut messages) = mpsc::channel::<(Subject, Bytes, Timestamp)>(QUEUE_CAPACITY);
        let capture = Arc::clone(capture);
        tasks.spawn(Phase::Requests, async move {
            while let Some((subject, body, received_at)) = messages.recv().await {
                capture.record(subject.as_str(), body, received_at).await;
            }
        });
        Self { queue: Some(queue) }
    }

    /// Whether the stream may lack messages at all.
    pub(super) fn is_needed(&self) -> bool {
        self.queue.is_some()
    }

    /// Returns when there is room for a message. The router is the only one to add messages, so the room stays.
    pub(super) async fn room(&self) {
        if let Some(queue) = &self.queue
            && queue.reserve().await.is_err()
        {
            // The registry ends at once.
            future::pending().await
        }
    }

    /// Whether there is room for a message now.
    pub(super) fn has_room(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.capacity() > 0)
    }

    /// Records a message if the stream may lack it. There has to be room.
    pub(super) fn record(&self, message: &Message) {
        if let Some(queue) = self.queue.as_ref().filter(|_| is_hidden(message)) {
            // An error means that the registry ends at once.
            let _ = queue.try_send((message.subject.clone(), message.payload.clone(), Now::read().time));
        }
    }
}

/// The same past the queue, waiting for the capture.
pub(super) async fn record_directly(capture: &Capture, message: &Message) {
    if capture.mode == CaptureMode::JetStream && is_hidden(message) {
        capture
            .record(&message.subject, message.payload.clone(), Now::read().time)
            .await;
    }
}

/// Whether the stream may lack a message.
fn is_hidden(message: &Message) -> bool {
    let steers = |headers: &async_nats::HeaderMap| headers.iter().any(|(name, _)| is_server_header(name.as_ref()));
    message.status.is_some() || message.headers.as_ref().is_some_and(steers)
}
