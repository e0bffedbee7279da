//! Writes the frames of one stream: as messages, to a reply subject or an inbox.

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::compose::Draft;
use agentnet_protocol::stream::StreamFrame;
use agentnet_protocol::{Envelope, Text};
use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::stream_tasks::StreamTasks;
use crate::connect::NO_CONNECTION;
use crate::deliver::{Acknowledgement, Delivery};
use crate::error::SendError;
use crate::identity::Identity;

/// How long a frame waits for a connection that is lost.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a frame is sent again to a receiver that rejects it as `rate_limited` or `busy`; less than messages live.
const OVERLOAD_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between two attempts: what a receiver with the default limits accepts.
const OVERLOAD_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Writes the frames of one stream.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    pub(crate) streams: Arc<StreamTasks>,
    /// Verifies cancellations, if the node signs.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) subject: String,
    /// Every frame's message, but for the payload.
    pub(crate) draft: Draft,
    /// Frames to an inbox wait for their receipt.
    pub(crate) acknowledged: Option<(Acknowledgement, Arc<Delivery>)>,
}

impl FrameWriter {
    /// Sends a frame.
    pub(crate) async fn send(&self, frame: &StreamFrame) -> Result<(), SendError> {
        let (envelope, body) = self.compose(frame)?;
        let Some((acknowledgement, delivery)) = &self.acknowledged else {
            let publisher = &self.streams.publisher;
            if timeout(CONNECTION_TIMEOUT, publisher.connected()).await.is_err() {
                return Err(SendError::Connection(NO_CONNECTION.to_owned()));
            }
            return publisher.publish(self.subject.as_str(), body).await;
        };
        let deadline = Instant::now() + OVERLOAD_TIMEOUT;
        loop {
            let account_id = envelope.to_account_id.as_ref();
            let delivered = delivery
                .deliver(
                    &self.subject,
                    &envelope.message_id,
                    account_id,
                    body.clone(),
                    *acknowledgement,
                )
                .await;
            match delivered {
                Err(SendError::Rejected { code, .. }) if is_overload(&code) && Instant::now() < deadline => {
                    sleep(OVERLOAD_RETRY_DELAY).await;
                }
                delivered => return delivered,
            }
        }
    }

    /// Sends a stream's last frame without waiting for anything.
    pub(crate) async fn send_last(&self, frame: &StreamFrame) {
        let sent = match self.compose(frame) {
            Ok((_, body)) => self.streams.publisher.publish_last(&self.subject, body).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, stream_id = frame.stream_id, "the last frame of a stream was not sent");
        }
    }

    /// The message of a frame.
    fn compose(&self, frame: &StreamFrame) -> Result<(Envelope, Bytes), SendError> {
        let mut draft = self.draft.clone();
        // One key for all frames would make the receiver drop all but the first.
        if let Some(key) = &mut draft.idempotency_key {
            *key = Text::from(format!("{key}:{}", frame.seq));
        }
        draft.payload = frame.to_payload();
        let composer = &self.streams.composer;
        let envelope = composer.compose(draft);
        let body = composer.encode(&envelope)?;
        Ok((envelope, body))
    }
}

/// Whether a receiver that rejects a message with this code may accept it a little later.
fn is_overload(code: &str) -> bool {
    ["rate_limited", "busy"].contains(&code)
}
