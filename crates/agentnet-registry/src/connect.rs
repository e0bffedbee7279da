//! The connection to NATS.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use agentnet_protocol::url::{Login, NatsUrl};
use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, Message, Subscriber};
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::StartError;

/// The name under which the server lists the connection.
const NAME: &str = "agentnet-registry";
/// A server of a `tls://` URL that sends nothing for so long may be waiting for the TLS handshake.
const TLS_FIRST_AFTER: Duration = Duration::from_millis(300);
/// How long the end of a subscription may take.
const UNSUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);
/// More than the nine digits that the server reads as a number of messages: it ends the subscription at once, while the
/// client still delivers messages that are on their way. (The client's own `drain` drops messages behind its command.)
const UNREACHABLE_COUNT: u64 = 1_000_000_000_000_000;
/// Messages that were assigned to a subscription before its end come within this time.
const QUIET_TIME: Duration = Duration::from_millis(50);
/// The longest delay between two attempts to reconnect.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

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
}

/// Held by the client for as long as it runs.
struct Running {
    connected: AtomicBool,
    ended: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A client that never connected does not count.
        if *self.connected.get_mut() {
            self.ended.cancel();
        }
    }
}

/// Connects, or fails within a few seconds. Later it reconnects for ever.
///
/// The server does not deliver to this connection what it publishes itself: the registry must not tap its own replies.
pub(crate) async fn connect(url: &NatsUrl) -> Result<Connection, StartError> {
    let (times, connected) = watch::channel(0_u64);
    let dropped = Arc::new(AtomicU64::new(0));
    let ended = CancellationToken::new();
    let options = || {
        let running = Running {
            connected: AtomicBool::new(false),
            ended: ended.clone(),
        };
        let (times, count, so_far, shown) = (times.clone(), Arc::clone(&dropped), connected.clone(), url.redacted());
        options(url)
            .no_echo()
            .max_reconnects(None)
            .reconnect_delay_callback(move |attempt| match *so_far.borrow() {
                // The client asks before its first attempts too, which must not wait.
                0 => Duration::ZERO,
                _ => reconnect_pause(attempt),
            })
            .event_callback(move |event| {
                match &event {
                    Event::Connected => {
                        running.connected.store(true, Ordering::Relaxed);
                        times.send_modify(|times| *times += 1);
                    }
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
        match is_refusal(error.kind()) {
            true => StartError::Refused { url, reason },
            false => StartError::Connect { url, reason },
        }
    })?;
    Ok(Connection {
        client,
        connected,
        dropped,
        ended,
    })
}

/// Connects. With a TLS URL, the handshake comes first if the server sends nothing, or nothing that the client understands
/// (nats-server's `handshake_first`).
async fn dial(url: &NatsUrl, options: impl Fn() -> ConnectOptions) -> Result<Client, async_nats::ConnectError> {
    let mut plain = pin!(options().connect(url.servers()));
    if !url.is_tls() {
        return plain.await;
    }
    let failed = match tokio::time::timeout(TLS_FIRST_AFTER, &mut plain).await {
        Ok(Err(error)) if !is_refusal(error.kind()) => Some(error),
        Ok(outcome) => return outcome,
        Err(_) => None,
    };
    let tls_first = options().tls_first().connect(url.servers()).await;
    match (tls_first, failed) {
        (Err(error), Some(failed)) if !is_refusal(error.kind()) => Err(failed),
        (Err(error), None) if !is_refusal(error.kind()) => plain.await.map_err(|_| error),
        (outcome, _) => outcome,
    }
}

fn is_refusal(kind: ConnectErrorKind) -> bool {
    matches!(
        kind,
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication
    )
}

/// The options of every connection of a registry.
pub(crate) fn options(url: &NatsUrl) -> ConnectOptions {
    match url.login() {
        Login::None => ConnectOptions::new(),
        Login::Token(token) => ConnectOptions::with_token(token.clone()),
        Login::User { name, password } => ConnectOptions::with_user_and_password(name.clone(), password.clone()),
    }
    .name(NAME)
    .custom_inbox_prefix(url.inbox_prefix())
    .connection_timeout(url.attempt_timeout())
}

/// Returns when the server has handled everything that was sent to it, subscriptions above all: it handles a connection's
/// commands in order, and answers a request without a subscriber itself.
pub(crate) async fn settled(client: &Client) -> Result<(), StartError> {
    let no_subscriber = format!("{}.nobody", client.new_inbox());
    match client.request(no_subscriber, bytes::Bytes::new()).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
        Err(error) => Err(StartError::Nats(error.to_string())),
    }
}

/// Whether the client is connected now.
pub(crate) fn is_up(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

/// Ends a subscription at the server. Messages that were assigned to it before may still come, see [`rest`].
pub(crate) async fn leave(messages: &mut Subscriber) {
    if let Err(error) = messages.unsubscribe_after(UNREACHABLE_COUNT).await {
        tracing::debug!(%error, "a subscription could not be ended");
    }
}

/// The messages that were assigned to subscriptions before they ended; without a connection, those that have arrived.
pub(crate) async fn rest<S: Stream + Unpin>(client: &Client, messages: &mut S) -> Vec<S::Item> {
    let mut rest = Vec::new();
    if is_up(client) {
        // Messages are collected meanwhile, so that a full subscription does not hold the connection up.
        let until_left = async {
            let mut left = std::pin::pin!(settled(client));
            loop {
                tokio::select! {
                    _ = &mut left => break,
                    Some(message) = messages.next() => rest.push(message),
                }
            }
            while let Ok(Some(message)) = tokio::time::timeout(QUIET_TIME, messages.next()).await {
                rest.push(message);
            }
        };
        let _ = tokio::time::timeout(UNSUBSCRIBE_TIMEOUT, until_left).await;
    }
    while let Some(Some(message)) = tokio::task::unconstrained(messages.next()).now_or_never() {
        rest.push(message);
    }
    rest
}

/// Ends a subscription, and returns the messages that were delivered before; without a connection, those that have arrived.
pub(crate) async fn end(client: &Client, messages: &mut Subscriber) -> Vec<Message> {
    if is_up(client) {
        leave(messages).await;
    }
    rest(client, messages).await
}

fn reconnect_pause(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(5);
    (Duration::from_millis(50) * 2_u32.pow(doublings)).min(MAX_BACKOFF)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_two_seconds() {
        let pauses: Vec<_> = (0..9).map(|attempt| reconnect_pause(attempt).as_millis()).collect();
        assert_eq!(pauses, [50, 50, 100, 200, 400, 800, 1600, 1600, 1600]);
        assert!(reconnect_pause(usize::MAX) <= MAX_BACKOFF);
    }
}
