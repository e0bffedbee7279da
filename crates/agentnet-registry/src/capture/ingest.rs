//! Reads plain subscriptions; and decodes the messages of every reader into the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_nats::{Issuer, end};
use agentnet_protocol::Timestamp;
use agentnet_protocol::subject::REGISTRY_GROUP;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::decode;
use super::in_flight::InFlight;
use super::proof::Proof;
use super::queue::Queue;
use crate::clock::Now;
use crate::error::StartError;
use crate::metrics::Metrics;

/// The name of captured messages in the metrics.
const HANDLER: (&str, &str) = ("account_message", "handler.account_message");

/// What every reader uses.
#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    pub(crate) client: Client,
    pub(crate) issuer: Issuer,
    pub(crate) queue: Arc<Queue>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) chars_per_token: f64,
    /// How long messages of the stream gather before they are fetched.
    pub(crate) gather: Duration,
    pub(crate) stop: CancellationToken,
}

impl Ingest {
    /// Subscribes to a subject; of all registries one gets each message.
    pub(crate) async fn subscribe(&self, subject: &str) -> Result<Subscriber, StartError> {
        let subscribed = self
            .client
            .queue_subscribe(subject.to_owned(), REGISTRY_GROUP.to_owned())
            .await;
        subscribed.map_err(|error| StartError::Nats(error.to_string()))
    }

    /// Reads a subscription until the stop, and then what was delivered before it.
    pub(crate) async fn tap(self, mut messages: Subscriber) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                message = messages.next() => match message {
                    Some(message) => self.push_tapped(message).await,
                    None => return,
                },
            }
        }
        for message in end(&self.client, &mut messages).await {
            self.push_tapped(message).await;
        }
    }

    async fn push_tapped(&self, message: async_nats::Message) {
        if decode::may_be_message(&message.payload) {
            let proof = Proof::of(&self.issuer, &message.subject);
            self.push(message.payload, proof, Now::read().time, None).await;
        } else {
            self.metrics.ignored.add(1);
        }
    }

    /// Decodes a body into the queue. One that is no message, or that names another sender than its issuer, is acknowledged at
    /// once: its receivers refuse it too (PROTOCOL.md section 23.6).
    pub(super) async fn push(
        &self,
        body: Bytes,
        proof: Proof,
        received_at: Timestamp,
        ack: Option<async_nats::Subject>,
    ) {
        let since = Instant::now();
        let bytes = body.len();
        let captured = decode::captured(body, &proof, received_at, self.chars_per_token);
        self.metrics.handled(HANDLER, since, false);
        let ticket = ack.map(|ack| self.in_flight.add(ack, since));
        match captured {
            Some(captured) => {
                self.queue.push(captured, ticket, bytes).await;
            }
            None => {
                self.metrics.ignored.add(1);
                self.in_flight.ack(&self.client, ticket).await;
            }
        }
    }
}
