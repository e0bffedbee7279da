//! The connection to NATS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentnet_nats::{Backoff, ClientEnd, Issuer, NatsUrl, dial, is_refusal};
use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::StartError;

/// The name under which the server lists the connection.
const NAME: &str = "agentnet-registry";
/// Delays between attempts to reconnect.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// A connection that reconnects for ever, and its events.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// Counts the times that the connection was made.
    pub(crate) connected: watch::Receiver<u64>,
    /// Messages that the client dropped because a subscription was full.
    pub(crate) dropped: Arc<AtomicU64>,
    /// Cancelled when the client has ended for good: every handle was dropped, or its task has panicked over a message.
    pub(crate) ended: CancellationToken,
    /// The account that this registry publishes as, in secure mode.
    pub(crate) issuer: Issuer,
}

/// Connects, or fails within a few seconds. Later it reconnects for ever.
///
/// The server does not deliver to this connection what it publishes itself: the registry must not tap its own replies.
pub(crate) async fn connect(url: &NatsUrl) -> Result<Connection, StartError> {
    let (times, connected) = watch::channel(0_u64);
    let dropped = Arc::new(AtomicU64::new(0));
    let ended = CancellationToken::new();
    let options = || {
        let end = ClientEnd::new(ended.clone());
        let (times, count, so_far, shown) = (times.clone(), Arc::clone(&dropped), connected.clone(), url.redacted());
        options(url)
            .no_echo()
            .reconnect_delay_callback(move |attempt| match *so_far.borrow() {
                // The client calls this before its first attempts too, which must not be delayed.
                0 => Duration::ZERO,
                _ => RECONNECT.delay_of(attempt),
            })
            .event_callback(move |event| {
                end.on_event(&event);
                match &event {
                    Event::Connected => times.send_modify(|times| *times += 1),
                    Event::SlowConsumer(_) => {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => {}
                }
                log(&event, &shown);
                std::future::ready(())
            })
    };
    let client = dial(url, options).await.map_err(|error| {
        let (url, reason) = (url.redacted(), error.to_string());
        match is_refusal(&error) {
            true => StartError::Refused { url, reason },
            false => StartError::Connect { url, reason },
        }
    })?;
    Ok(Connection {
        client,
        connected,
        dropped,
        ended,
        issuer: Issuer::new(url.issuer()),
    })
}

/// The options of every connection of a registry.
pub(crate) fn options(url: &NatsUrl) -> ConnectOptions {
    agentnet_nats::options(url, NAME)
}

/// Returns when the server has handled everything that was sent to it.
///
/// # Errors
/// [`StartError::Nats`]: the connection was lost meanwhile.
pub(crate) async fn flushed(client: &Client) -> Result<(), StartError> {
    let flushed = agentnet_nats::flushed(client).await;
    flushed.map_err(|error| StartError::Nats(error.to_string()))
}

fn log(event: &Event, url: &str) {
    match event {
        Event::Connected => tracing::info!(url, "connected to NATS"),
        Event::Disconnected => tracing::warn!(url, "lost the connection to NATS; reconnecting"),
        Event::SlowConsumer(_) => tracing::debug!("a subscription is full; a message was dropped"),
        // Usually a permission that this registry's user lacks.
        Event::ServerError(error) => tracing::error!(url, "{error}"),
        other => tracing::debug!(event = %other, "NATS"),
    }
}
