//! The one place where a message that belongs to a stream is decoded, and its sender verified under signed identity
//! (PROTOCOL.md section 13.7) and in secure mode (section 23.6): frames come from the account that was asked, cancellations from the account that asked.

use std::sync::Arc;

use agentnet_protocol::DecodeError;
use agentnet_protocol::reply::decode_reply;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::frame_buffer::{Arrived, Capacity, Inflow, Outflow, frame_buffer};
use crate::identity::{Came, Identity, ReplyExpectation, verify_reply};
use crate::message::Message;
use crate::metrics::Metrics;
use crate::session::Session;
use crate::spans::Origin;
use agentnet_nats::Issuer;

/// Frames of one stream that may be verified at the same time.
const VERIFY_CONCURRENCY: usize = 64;

/// Decodes what came to a reply subject or to a cancel subject.
pub(crate) fn decode(body: Bytes) -> Result<Message, DecodeError> {
    Ok(Message::new(decode_reply(body)?, None, Origin::default()))
}

/// The replies that the account that was asked has signed; all of them where the node does not sign.
pub(crate) fn verified(
    session: &Session,
    replies: Outflow,
    capacity: Capacity,
    expectation: ReplyExpectation,
) -> Outflow {
    let publisher = &session.publisher;
    if session.identity.is_none() && publisher.issuer.account_id().is_none() {
        return replies;
    }
    let (inflow, outflow) = frame_buffer(capacity);
    let verifier = FrameVerifier {
        identity: session.identity.clone(),
        issuer: publisher.issuer.clone(),
        metrics: session.metrics.clone(),
        expectation,
    };
    let ended = session.ended.clone();
    tokio::spawn(async move {
        ended.run_until_cancelled(verifier.run(replies, inflow)).await;
    });
    outflow
}

/// Verifies the frames of one stream.
struct FrameVerifier {
    identity: Option<Arc<Identity>>,
    issuer: Issuer,
    metrics: Arc<Metrics>,
    expectation: ReplyExpectation,
}

impl FrameVerifier {
    /// Passes valid frames on, until the stream is no longer read.
    async fn run(&self, mut replies: Outflow, verified: Inflow) {
        let mut checks = FuturesUnordered::new();
        let mut open = true;
        while open || !checks.is_empty() {
            tokio::select! {
                Some((arrived, outcome)) = checks.next() => {
                    let arrived: Arrived = arrived;
                    match outcome {
                        Ok(()) if verified.push(arrived.message) => {}
                        Ok(()) => return,
                        Err(why) => self.ignore(why),
                    }
                }
                arrived = replies.next(), if open && checks.len() < VERIFY_CONCURRENCY => match arrived {
                    None => open = false,
                    // In secure mode the server alone can say on the reply subject that there are no responders.
                    Some(arrived) if self.issuer.account_id().is_some() && arrived.message.status.is_some() => {
                        if !verified.push(arrived.message) {
                            return;
                        }
                    }
                    // Also the status `no responders`: every client can publish it.
                    Some(arrived) => match decode_reply(arrived.message.payload.clone()) {
                        Ok(envelope) if arrived.message.status.is_none() => checks.push(async move {
                            let came = Came {
                                subject: &arrived.message.subject,
                                issuer: &self.issuer,
                            };
                            let outcome =
                                verify_reply(self.identity.as_ref(), came, &envelope, &self.expectation).await;
                            (arrived, outcome)
                        }),
                        _ => self.ignore("message_invalid"),
                    },
                },
            }
        }
        if replies.overrun().is_some() {
            verified.give_up();
        }
    }

    fn ignore(&self, why: &'static str) {
        self.metrics.refused_replies.add_one();
        tracing::warn!(
            message_id = %self.expectation.message_id,
            why,
            "ignored frame: not signed by the account that was asked"
        );
    }
}
