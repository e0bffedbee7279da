//! Listening on plain subscriptions; and what every listener does with a message: read it, and hand it to the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::Timestamp;
use agentnet_protocol::subject::REGISTRY_GROUP;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::convert;
use super::held::Held;
use super::queue::Queue;
use crate::clock::Now;
use crate::connect::end;
use crate::error::StartError;
use crate::metrics::Metrics;

/// The metrics' name for every captured message.
const HANDLER: (&str, &str) = ("account_message", "handler.account_message");

/// What a listener needs.
#[derive(Debug, Clone)]
pub(crate) struct Ear {
    pub(crate) client: Client,
    pub(crate) queue: Arc<Queue>,
    pub(crate) held: Arc<Held>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) chars_per_token: f64,
    /// How long messages of the stream gather before they are taken.
    pub(crate) gather: Duration,
    pub(crate) stop: CancellationToken,
}

impl Ear {
    /// Taps a subject; of all registries one gets each message.
    pub(crate) async fn subscribe(&self, subject: &str) -> Result<Subscriber, StartError> {
        let subscribed = self
            .client
            .queue_subscribe(subject.to_owned(), REGISTRY_GROUP.to_owned())
            .await;
        subscribed.map_err(|error| StartError::Nats(error.to_string()))
    }

    /// Follows a tap until the stop, and then takes what has come before it.
    pub(crate) async fn tap(self, mut messages: Subscriber) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                message = messages.next() => match message {
                    Some(message) => self.tapped(message).await,
                    None => return,
                },
            }
        }
        for message in end(&self.client, &mut messages).await {
            self.tapped(message).await;
        }
    }

    async fn tapped(&self, message: async_nats::Message) {
        if convert::may_be_message(&message.payload) {
            self.hear(message.payload, Now::read().time, None).await;
        } else {
            self.metrics.ignored.add(1);
        }
    }

    /// Reads a body and hands it on. What is no message is acknowledged at once.
    pub(super) async fn hear(&self, body: Bytes, received_at: Timestamp, ack: Option<async_nats::Subject>) {
        let since = Instant::now();
        let bytes = body.len();
        let new = convert::message(body, received_at, self.chars_per_token);
        self.metrics.handled(HANDLER, since, false);
        let ticket = ack.map(|ack| self.held.take(ack, since));
        match new {
            Some(new) => {
                self.queue.push(new, ticket, bytes).await;
            }
            None => {
                self.metrics.ignored.add(1);
                self.held.stored(&self.client, ticket).await;
            }
        }
    }
}
