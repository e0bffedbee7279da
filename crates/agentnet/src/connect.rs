//! Connecting to the broker: token in the URL, an inbox prefix of our own, reconnection for ever (PROTOCOL.md section 1).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet_protocol::subject::CONNECTION_INBOX_PREFIX;
use agentnet_protocol::url::{Login, NatsUrl, NatsUrlError};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use tokio::sync::Notify;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(2);

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

/// A call for whoever waits for the connection to be back after a loss.
#[derive(Debug, Default)]
pub(crate) struct Reconnections {
    once: AtomicBool,
    back: Notify,
}

impl Reconnections {
    fn connected(&self) {
        if self.once.swap(true, Ordering::AcqRel) {
            self.back.notify_one();
        }
    }

    /// Waits until the connection is back after a loss. For one waiter.
    pub(crate) async fn next(&self) {
        self.back.notified().await;
    }
}

/// As [`connect`]; `reconnections` is told of each connection.
pub(crate) async fn open(url: &NatsUrl, name: &str, reconnections: Arc<Reconnections>) -> Result<Client, ConnectError> {
    let options = ConnectOptions::new()
        .name(name)
        .custom_inbox_prefix(CONNECTION_INBOX_PREFIX)
        .connection_timeout(CONNECT_TIMEOUT)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempt| {
            Duration::from_millis(50)
                .saturating_mul(1 << attempt.min(6))
                .min(MAX_RECONNECT_DELAY)
        })
        .event_callback(move |event| {
            match &event {
                Event::Connected => {
                    tracing::debug!("connected to NATS");
                    reconnections.connected();
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
