//! What a session publishes by: the NATS client, whether it is connected, and the receipts that wait for the next message.

mod deferred_receipts;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;

use self::deferred_receipts::DeferredReceipts;
use crate::connect::{Connection, Connections};
use crate::send::error::SendError;
use crate::spans;
use agentnet_nats::Issuer;

/// How long a round trip to the server may take.
pub(crate) const ROUND_TRIP_TIMEOUT: Duration = Duration::from_secs(1);
/// The client drops its events when too many come at once, so a wait for the connection looks at its state this often.
const CONNECTION_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Publishes for one session.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) client: Client,
    pub(crate) connections: Arc<Connections>,
    pub(crate) issuer: Issuer,
    deferred: DeferredReceipts,
}

impl Publisher {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            client: connection.client,
            connections: connection.connections,
            issuer: connection.issuer,
            deferred: DeferredReceipts::default(),
        }
    }

    /// Waits until there is a connection.
    pub(crate) async fn connected(&self) {
        let mut connections = self.connections.subscribe();
        while !self.is_connected() {
            let _ = tokio::time::timeout(CONNECTION_POLL_INTERVAL, connections.changed()).await;
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        // A client that has ended keeps reporting its last state.
        self.client.connection_state() == State::Connected && !self.connections.client_ended.is_cancelled()
    }

    /// The number of the current connection, counted from the first.
    pub(crate) fn connection_number(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Acquire)
    }

    /// Publishes a receipt together with what is published next.
    pub(crate) fn defer_receipt(&self, subject: String, body: Bytes) {
        self.deferred.add(self.issuer.publish_subject(subject), body);
    }

    /// Whether receipts are deferred.
    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Publishes the deferred receipts.
    pub(crate) async fn publish_deferred(&self) {
        if self.has_deferred() {
            Box::pin(self.deferred.publish(&self.client)).await;
        }
    }

    pub(crate) async fn publish(&self, subject: impl Into<String>, body: Bytes) -> Result<(), SendError> {
        self.publish_deferred().await;
        let published = self.client.publish(self.issuer.publish_subject(subject), body).await;
        published.map_err(not_published)
    }

    /// Publishes something after which this session may be gone: returns when it is written, because a client whose last
    /// handle is dropped discards what is not.
    pub(crate) async fn publish_last(&self, subject: &str, body: Bytes) -> Result<(), SendError> {
        self.publish(subject, body).await?;
        self.client.flush().await.map_err(not_published)
    }

    /// Publishes a message, with the current span in its headers where there is one.
    pub(crate) async fn publish_message(&self, subject: &str, body: Bytes) -> Result<(), SendError> {
        self.publish_deferred().await;
        let subject = self.issuer.publish_subject(subject);
        let published = match spans::headers() {
            None => self.client.publish(subject, body).await,
            Some(headers) => Box::pin(self.client.publish_with_headers(subject, headers, body)).await,
        };
        published.map_err(not_published)
    }

    /// Publishes a request, as [`Publisher::publish_message`].
    pub(crate) async fn publish_request(&self, subject: &str, reply: &str, body: Bytes) -> Result<(), SendError> {
        self.publish_deferred().await;
        let (subject, reply) = (self.issuer.publish_subject(subject), reply.to_owned());
        let published = match spans::headers() {
            None => self.client.publish_with_reply(subject, reply, body).await,
            Some(headers) => {
                let publishing = self
                    .client
                    .publish_with_reply_and_headers(subject, reply, headers, body);
                Box::pin(publishing).await
            }
        };
        published.map_err(not_published)
    }

    /// Subscribes, without a queue group.
    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscriber, async_nats::SubscribeError> {
        self.client.subscribe(subject).await
    }

    /// Waits until the server has done everything that this connection has asked of it so far, for at most one second;
    /// false if it has not answered. (The client's own `flush` only empties its buffer.)
    pub(crate) async fn round_trip(&self) -> bool {
        self.publish_deferred().await;
        let trip = async {
            let subject = self.client.new_inbox();
            let denials = &self.connections.denials;
            let mark = denials.mark();
            let mut probe = self.client.subscribe(subject.clone()).await.ok()?;
            self.client.publish(subject.clone(), Bytes::new()).await.ok()?;
            tokio::select! {
                message = probe.next() => message.map(drop),
                // The server reports its denials in order too.
                _ = denials.wait(mark, |denied| denied.subject == subject) => Some(()),
            }
        };
        matches!(tokio::time::timeout(ROUND_TRIP_TIMEOUT, trip).await, Ok(Some(_)))
    }
}

fn not_published(error: impl Display) -> SendError {
    SendError::Connection(error.to_string())
}
