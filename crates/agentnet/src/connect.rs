//! Connecting to the broker: token in the URL, an inbox prefix of its own, reconnection without end (PROTOCOL.md section 1).

pub(crate) mod denials;

use std::sync::Arc;
use std::time::Duration;

use agentnet_nats::{Backoff, ClientEnd, NatsUrl, NatsUrlError, dial, is_refusal};
use agentnet_protocol::subject::CONNECTION_INBOX_PREFIX;
use async_nats::{Client, ConnectOptions, Event, ServerError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::denials::{Action, Denials, Denied};
use agentnet_nats::Issuer;

/// Delays between attempts to reconnect. A receiver that comes back later than its senders costs them their attempts.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// The error text while the client reconnects.
pub(crate) const NO_CONNECTION: &str = "the connection to NATS is lost and not yet back";

/// Why no connection came about. The address is shown without the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be used.
    #[error(transparent)]
    Url(#[from] NatsUrlError),
    /// No server answers there.
    #[error("Cannot connect to NATS at {url}. Is it running? ({why})")]
    Unreachable {
        /// The address, without the token.
        url: String,
        /// The error of the network.
        why: String,
    },
    /// The server refused the token or password.
    #[error("NATS at {url} refused the credentials: check the token in the URL (nats://TOKEN@HOST:PORT)")]
    Refused {
        /// The address, without the token.
        url: String,
    },
}

/// Connects to the network's broker, as `name` in the server's list of connections.
///
/// # Errors
/// [`ConnectError`], within about three seconds; of several servers, two seconds each. Once connected, the client reconnects
/// for ever.
pub async fn connect(url: &str, name: &str) -> Result<Client, ConnectError> {
    open(&NatsUrl::parse(url)?, name, Arc::default()).await
}

/// Counts the times that the connection was made, and knows what the server has refused.
#[derive(Debug)]
pub(crate) struct Connections {
    made: watch::Sender<u64>,
    pub(crate) denials: Denials,
    /// The client has ended for good: every handle on it is gone, or its task has panicked over what it was sent.
    pub(crate) client_ended: CancellationToken,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            made: watch::Sender::new(0),
            denials: Denials::default(),
            client_ended: CancellationToken::new(),
        }
    }
}

impl Connections {
    /// For those who wait for the next one.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.made.subscribe()
    }

    fn heard(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.made.send_modify(|times| *times += 1);
                match *self.made.borrow() {
                    1 => tracing::debug!("connected to NATS"),
                    // As loud as its loss.
                    _ => tracing::warn!("connection to NATS restored"),
                }
            }
            Event::Disconnected => tracing::warn!("connection to NATS lost, reconnecting"),
            Event::SlowConsumer(_) => {
                tracing::error!("messages were dropped: this process takes them in too slowly");
            }
            Event::ServerError(ServerError::Other(text)) => match Denied::parse(text) {
                Some(denied) => self.denied(denied),
                None => tracing::warn!(error = text, "the NATS server reports an error"),
            },
            other => tracing::debug!(event = %other, "NATS"),
        }
    }

    fn denied(&self, denied: Denied) {
        // What is published to a connection's own inbox only asks whether the server is there.
        let asks = denied.action == Action::Publish && denied.subject.starts_with(CONNECTION_INBOX_PREFIX);
        let text = denied.to_string();
        match self.denials.note(denied) && !asks {
            true => tracing::warn!("{text}"),
            false => tracing::debug!("{text}"),
        }
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
    pub(crate) issuer: Issuer,
}

impl Connection {
    /// Connects to the network's broker (PROTOCOL.md section 1), as `name` in the server's list of connections.
    ///
    /// # Errors
    /// [`ConnectError`], as [`connect`].
    pub async fn open(url: &str, name: &str) -> Result<Self, ConnectError> {
        Self::to(&NatsUrl::parse(url)?, name).await
    }

    pub(crate) async fn to(url: &NatsUrl, name: &str) -> Result<Self, ConnectError> {
        let connections = Arc::new(Connections::default());
        Ok(Self {
            client: open(url, name, connections.clone()).await?,
            connections,
            issuer: Issuer::new(url.issuer()),
        })
    }

    /// In secure mode, the account that everything is published as (PROTOCOL.md section 23.1).
    #[must_use]
    pub fn account_id(&self) -> Option<&str> {
        self.issuer.account_id()
    }

    /// The NATS client beneath it.
    #[must_use]
    pub fn nats(&self) -> &Client {
        &self.client
    }
}

/// As [`connect`]; `connections` counts each connection.
async fn open(url: &NatsUrl, name: &str, connections: Arc<Connections>) -> Result<Client, ConnectError> {
    let options = || options(url, name, &connections);
    let unreachable = |why: String| ConnectError::Unreachable {
        url: url.redacted(),
        why,
    };
    // The timeout of the options is for one attempt at one address; a name may have several.
    let connect_timeout = url.connect_timeout();
    match tokio::time::timeout(connect_timeout, dial(url, options)).await {
        Err(_) => Err(unreachable(format!("no answer within {} s", connect_timeout.as_secs()))),
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) if is_refusal(&error) => Err(ConnectError::Refused { url: url.redacted() }),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
    }
}

fn options(url: &NatsUrl, name: &str, connections: &Arc<Connections>) -> ConnectOptions {
    let (so_far, heard) = (Arc::clone(connections), Arc::clone(connections));
    let end = ClientEnd::new(connections.client_ended.clone());
    agentnet_nats::options(url, name)
        .reconnect_delay_callback(move |attempt| match *so_far.made.borrow() {
            // The client calls this before its first attempts too, which must not be delayed.
            0 => Duration::ZERO,
            _ => reconnect_delay(attempt, rand::random_range(0.5..=1.0)),
        })
        .event_callback(move |event| {
            end.on_event(&event);
            heard.heard(&event);
            std::future::ready(())
        })
}

/// The delay before an attempt to reconnect, counted from 1. It grows from 0.1 s to a second, times a random share, so that
/// the agents of a server that was restarted do not all come at once.
pub(crate) fn reconnect_delay(attempt: usize, share: f64) -> Duration {
    RECONNECT.delay_of(attempt).mul_f64(share)
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
