//! The connection to NATS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentnet_protocol::subject::CONNECTION_INBOX_PREFIX;
use agentnet_protocol::url::{Login, NatsUrl};
use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, Message, Subscriber};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;

use crate::error::StartError;

/// The name under which the server lists the connection.
const NAME: &str = "agentnet-registry";
/// How long one server may take to accept the first connection.
const FIRST_ATTEMPT: Duration = Duration::from_secs(3);
/// How long the end of a subscription may take.
const LAST_MESSAGES: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to reconnect.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A connection that is kept up for ever, and what happened to it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// Counts the times that the connection was made.
    pub(crate) connected: watch::Receiver<u64>,
    /// Messages that the client dropped because nobody took them in time.
    pub(crate) dropped: Arc<AtomicU64>,
}

/// Connects, or says within a few seconds why not. Later losses are repaired without end.
///
/// What this connection publishes is not delivered back to it: the registry must not tap its own replies.
pub(crate) async fn connect(url: &NatsUrl) -> Result<Connection, StartError> {
    let (times, connected) = watch::channel(0_u64);
    let dropped = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&dropped);
    let shown = url.redacted();
    let options = match url.login() {
        Login::None => ConnectOptions::new(),
        Login::Token(token) => ConnectOptions::with_token(token.clone()),
        Login::User { name, password } => ConnectOptions::with_user_and_password(name.clone(), password.clone()),
    }
    .name(NAME)
    .custom_inbox_prefix(CONNECTION_INBOX_PREFIX)
    .no_echo()
    .connection_timeout(FIRST_ATTEMPT)
    .max_reconnects(None)
    .reconnect_delay_callback(reconnect_pause)
    .event_callback(move |event| {
        match &event {
            Event::Connected => times.send_modify(|times| *times += 1),
            Event::SlowConsumer(_) => {
                count.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        log(&event, &shown);
        std::future::ready(())
    });
    let client = options.connect(url.servers()).await.map_err(|error| {
        let (url, reason) = (url.redacted(), error.to_string());
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                StartError::Refused { url, reason }
            }
            _ => StartError::Connect { url, reason },
        }
    })?;
    Ok(Connection {
        client,
        connected,
        dropped,
    })
}

/// Returns when the server has handled everything that was sent to it, subscriptions above all: it handles a connection's
/// commands in order, and it is the server itself that answers a request which nobody else takes.
pub(crate) async fn settled(client: &Client) -> Result<(), StartError> {
    let nobody = format!("{CONNECTION_INBOX_PREFIX}.nobody.{:016x}", rand::random::<u64>());
    match client.request(nobody, bytes::Bytes::new()).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
        Err(error) => Err(StartError::Nats(error.to_string())),
    }
}

/// Whether the connection stands now.
pub(crate) fn is_up(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

/// Ends a subscription and gives what was delivered before its end; without a connection, what is here already.
pub(crate) async fn end(client: &Client, messages: &mut Subscriber) -> Vec<Message> {
    let mut rest = Vec::new();
    if is_up(client) && messages.drain().await.is_ok() {
        let collect = async {
            while let Some(message) = messages.next().await {
                rest.push(message);
            }
        };
        let _ = tokio::time::timeout(LAST_MESSAGES, collect).await;
    } else {
        while let Some(Some(message)) = tokio::task::unconstrained(messages.next()).now_or_never() {
            rest.push(message);
        }
    }
    rest
}

fn reconnect_pause(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(5);
    (Duration::from_millis(50) * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

fn log(event: &Event, url: &str) {
    match event {
        Event::Connected => tracing::info!(url, "connected to NATS"),
        Event::Disconnected => tracing::warn!(url, "lost the connection to NATS; reconnecting"),
        Event::SlowConsumer(_) => tracing::debug!("a subscription is full; a message was dropped"),
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
        assert!(reconnect_pause(usize::MAX) <= LONGEST_PAUSE);
    }
}
