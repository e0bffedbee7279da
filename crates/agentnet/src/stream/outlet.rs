//! Where the frames of one stream go, and as what messages.

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::compose::Draft;
use agentnet_protocol::stream::StreamFrame;
use agentnet_protocol::{Envelope, RawJson, Text};
use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use crate::connect::NO_CONNECTION;
use crate::deliver::{Acknowledgement, deliver};
use crate::error::SendError;
use crate::ids;
use crate::metrics::Metrics;
use crate::session::Live;

/// How long a frame waits for a connection that is lost.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(5);
/// How long a frame is offered to a receiver that says `rate_limited` or `busy`; less than messages live.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(20);
/// The pause between two offers: what a receiver with the default limits lets through.
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);

/// Where frames go.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) live: Arc<Live>,
    pub(crate) subject: String,
    /// Every frame's message, but for the payload.
    pub(crate) draft: Draft,
    pub(crate) max_payload_bytes: usize,
    /// Frames to an inbox wait for their receipt.
    pub(crate) acknowledged: Option<(Acknowledgement, Arc<Metrics>)>,
}

impl Outlet {
    /// Sends a frame.
    pub(crate) async fn send(&self, frame: &StreamFrame) -> Result<(), SendError> {
        let (envelope, body) = self.compose(frame)?;
        let Some((acknowledgement, metrics)) = &self.acknowledged else {
            if timeout(CONNECTION_PATIENCE, self.live.connected()).await.is_err() {
                return Err(SendError::Connection(NO_CONNECTION.to_owned()));
            }
            return self.live.publish(self.subject.as_str(), body).await;
        };
        let _expected = self
            .live
            .expect_receipts(&envelope.message_id, envelope.to_account_id.as_ref());
        let patience = Instant::now() + REFUSAL_PATIENCE;
        loop {
            let message_id = &envelope.message_id;
            let delivered = deliver(
                &self.live,
                metrics,
                &self.subject,
                message_id,
                body.clone(),
                *acknowledgement,
            )
            .await;
            match delivered {
                Err(SendError::Rejected { code, .. }) if is_passing(&code) && Instant::now() < patience => {
                    sleep(REFUSAL_PAUSE).await;
                }
                delivered => return delivered,
            }
        }
    }

    /// Sends a stream's last frame without waiting for anything.
    pub(crate) async fn send_last_word(&self, frame: &StreamFrame) {
        let sent = match self.compose(frame) {
            Ok((_, body)) => self.live.publish_last(&self.subject, body).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, stream_id = frame.stream_id, "the reader of a stream was not told of its end");
        }
    }

    fn compose(&self, frame: &StreamFrame) -> Result<(Envelope, Bytes), SendError> {
        let mut draft = self.draft.clone();
        // One key for all frames would make the receiver drop all but the first.
        if let Some(key) = &mut draft.idempotency_key {
            *key = Text::from(format!("{key}:{}", frame.seq));
        }
        let envelope = compose(&self.live, draft, frame.to_payload());
        let body = envelope.encode();
        if body.len() > self.max_payload_bytes {
            return Err(SendError::TooLarge {
                size: body.len(),
                limit: self.max_payload_bytes,
            });
        }
        Ok((envelope, body))
    }
}

/// Whether a receiver that said this may take the same message a little later.
fn is_passing(code: &str) -> bool {
    ["rate_limited", "busy"].contains(&code)
}

/// The one place where messages of a stream are composed, those that cancel one included.
pub(crate) fn compose(live: &Live, draft: Draft, payload: RawJson) -> Envelope {
    let now = ids::now();
    let mut envelope = Draft { payload, ..draft }.compose(&live.sender, ids::message_id(now), now);
    live.sign(&mut envelope);
    envelope
}
