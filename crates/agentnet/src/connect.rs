//! Connecting to the broker: token in the URL, an inbox prefix of our own, reconnection for ever (PROTOCOL.md section 1).

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::subject::CONNECTION_INBOX_PREFIX;
use agentnet_protocol::url::{Login, NatsUrl, NatsUrlError};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use tokio::sync::watch;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A receiver that comes back later than its senders costs them their attempts.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// What callers are told while the client reconnects.
pub(crate) const NO_CONNECTION: &str = "the connection to NATS is lost and not yet back";

/// Why no connection came about. The address is shown without the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be used.
    #[error(transparent)]
    Url(#[from] NatsUrlError),
    /// Nobody answers there.
    #[error("Cannot connect to NATS at {url}. Is it running? ({why})")]
    Unreachable {
        /// Where.
        url: String,
        /// What the network said.
        why: String,
    },
    /// The server refused the token or password.
    #[error("NATS at {url} refused the credentials: check the token in the URL (nats://TOKEN@HOST:PORT)")]
    Refused {
        /// Where.
        url: String,
    },
}

/// Connects to the network's broker, as `name` in the server's list of connections.
///
/// # Errors
/// [`ConnectError`], within about three seconds. Once connected, the client reconnects for ever.
pub async fn connect(url: &str, name: &str) -> Result<Client, ConnectError> {
    open(&NatsUrl::parse(url)?, name, Arc::default()).await
}

/// Counts the times that the connection was made.
#[derive(Debug)]
pub(crate) struct Connections(watch::Sender<u64>);

impl Default for Connections {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Connections {
    /// For those who wait for the next one.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// One connection to the network that many agents of a process share: see
/// [`AgentBuilder::connection`](crate::AgentBuilder::connection).
///
/// It is repaired for ever once it was made, and ends when the last agent and the last clone that hold it are gone.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) client: Client,
    pub(crate) connections: Arc<Connections>,
}

impl Connection {
    /// Connects to the network's broker (PROTOCOL.md section 1), as `name` in the server's list of connections.
    ///
    /// # Errors
    /// [`ConnectError`], within about three seconds.
    pub async fn open(url: &str, name: &str) -> Result<Self, ConnectError> {
        Self::to(&NatsUrl::parse(url)?, name).await
    }

    pub(crate) async fn to(url: &NatsUrl, name: &str) -> Result<Self, ConnectError> {
        let connections = Arc::new(Connections::default());
        Ok(Self {
            client: open(url, name, connections.clone()).await?,
            connections,
        })
    }

    /// The NATS client beneath it.
    #[must_use]
    pub fn nats(&self) -> &Client {
        &self.client
    }
}

/// As [`connect`]; `connections` is told of each connection.
async fn open(url: &NatsUrl, name: &str, connections: Arc<Connections>) -> Result<Client, ConnectError> {
    let so_far = Arc::clone(&connections);
    let options = ConnectOptions::new()
        .name(name)
        .custom_inbox_prefix(CONNECTION_INBOX_PREFIX)
        .connection_timeout(CONNECT_TIMEOUT)
        .max_reconnects(None)
        .reconnect_delay_callback(move |attempt| match *so_far.0.borrow() {
            // The client asks before its first attempts too, and nobody is to wait for those.
            0 => Duration::ZERO,
            _ => reconnect_delay(attempt, rand::random_range(0.5..=1.0)),
        })
        .event_callback(move |event| {
            match &event {
                Event::Connected => {
                    tracing::debug!("connected to NATS");
                    connections.0.send_modify(|times| *times += 1);
                }
                Event::Disconnected => tracing::warn!("connection to NATS lost, reconnecting"),
                Event::SlowConsumer(_) => {
                    tracing::error!("messages were dropped: this process takes them in too slowly");
                }
                other => tracing::debug!(event = %other, "NATS"),
            }
            std::future::ready(())
        });
    let options = match url.login() {
        Login::None => options,
        Login::Token(token) => options.token(token.clone()),
        Login::User { name, password } => options.user_and_password(name.clone(), password.clone()),
    };
    // The timeout of the options is for one attempt at one address; a name may have several.
    let connecting = options.connect(url.servers().to_vec());
    let unreachable = |why: String| ConnectError::Unreachable {
        url: url.redacted(),
        why,
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Err(_) => Err(unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                ConnectError::Refused { url: url.redacted() }
            }
            _ => unreachable(error.to_string()),
        }),
    }
}

/// The pause before an attempt to reconnect, counted from 1. It grows from 0.1 s to a second, times a random share, so that
/// the agents of a server that was restarted do not all come at once.
fn reconnect_delay(attempt: usize, share: f64) -> Duration {
    let whole = Duration::from_millis(50).saturating_mul(1 << attempt.min(6));
    whole.min(MAX_RECONNECT_DELAY).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_differ() {
        let whole: Vec<u128> = (1..8)
            .map(|attempt| reconnect_delay(attempt, 1.0).as_millis())
            .collect();
        assert_eq!(whole, [100, 200, 400, 800, 1000, 1000, 1000]);
        assert_eq!(reconnect_delay(usize::MAX, 0.5), Duration::from_millis(500));
    }
}
