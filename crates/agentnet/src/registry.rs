//! Calling the registry (PROTOCOL.md section 6).

use std::time::Duration;

use agentnet_protocol::rpc::{ReplyError, Request, decode_reply};
use async_nats::client::RequestErrorKind;
use async_nats::{Client, Request as NatsRequest};

use crate::connect::{ConnectError, connect};
use crate::error::RegistryError;

/// A typed client of the registry's RPCs.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use agentnet::{DEFAULT_NATS_URL, RegistryClient, protocol::rpc::ListRequest};
/// let registry = RegistryClient::connect(DEFAULT_NATS_URL).await?;
/// for agent in registry.call(&ListRequest::default()).await?.agents {
///     println!("{}", agent.name);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct RegistryClient {
    client: Client,
    timeout: Duration,
}

impl RegistryClient {
    /// How long a call waits for its reply unless told otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

    /// Opens a connection of its own.
    ///
    /// # Errors
    /// [`ConnectError`], within about three seconds.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Ok(Self::new(connect(url, "agentnet-registry-client").await?))
    }

    /// Uses a connection that is there.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            timeout: Self::DEFAULT_TIMEOUT,
        }
    }

    /// Waits so long for each reply instead of two seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The connection.
    #[must_use]
    pub fn nats(&self) -> &Client {
        &self.client
    }

    /// Calls the RPC that the request's type names.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Reply, RegistryError> {
        let body = self.call_raw::<R>(request).await?;
        decode_reply::<R>(&body).map_err(|error| match error {
            ReplyError::Refused(text) => RegistryError::Refused(text),
            ReplyError::Invalid(why) => RegistryError::Invalid { rpc: R::NAME, why },
            other => RegistryError::Refused(other.to_string()),
        })
    }

    /// As [`RegistryClient::call`], but gives the reply's exact text, errors of the registry included.
    ///
    /// # Errors
    /// [`RegistryError`] where no reply came.
    pub async fn call_raw<R: Request>(&self, request: &R) -> Result<bytes::Bytes, RegistryError> {
        let rpc = R::NAME;
        let message = NatsRequest::new()
            .payload(request.encode().into())
            .timeout(Some(self.timeout));
        match self.client.send_request(R::subject(), message).await {
            Ok(reply) => Ok(reply.payload),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::NoResponders => RegistryError::NoRegistry { rpc },
                RequestErrorKind::TimedOut => RegistryError::Timeout {
                    rpc,
                    timeout: self.timeout,
                },
                _ => RegistryError::Connection {
                    rpc,
                    why: error.to_string(),
                },
            }),
        }
    }
}
