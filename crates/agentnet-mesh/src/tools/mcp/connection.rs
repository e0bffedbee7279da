//! One connection to an MCP server.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion, SubscriptionFilter};
use rmcp::service::{NotificationContext, RunningServiceCancellationToken, Subscription};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, Peer, RoleClient};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::super::clip::{Redactor, clip};
use super::super::process::ProcessGroup;
use crate::config::{McpServer, Secret};

/// Bytes of one message of a server.
const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// Wait for a TCP and TLS connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait for the acknowledgement of a subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait for a child to end, first after its input is closed, then after SIGTERM.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Variables that a child gets beside its own.
const INHERITED_VARIABLES: [&str; 2] = ["PATH", "HOME"];
/// Characters of an error.
const MAX_ERROR_CHARS: usize = 300;
/// Bytes of a line of the standard error that are logged.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Where a server is, and what is secret about it.
pub(super) struct ServerAddress {
    config: McpServer,
    directory: PathBuf,
    redactor: Redactor,
}

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    /// `server/discover` of the revision 2026-07-28; `initialize` if the server does not know it.
    Probe,
    /// `initialize` at once, for servers that a probe confuses.
    Initialize,
}

/// A connection. Dropping it kills the child.
pub(super) struct Connection {
    pub(super) peer: Peer<RoleClient>,
    /// Is ready when the connection has ended.
    pub(super) ended: BoxFuture<'static, ()>,
    /// Is notified when the server says that its tools have changed.
    pub(super) tools_changed: Arc<Notify>,
    stop: RunningServiceCancellationToken,
    process: Option<ProcessGroup>,
    _stderr: Option<AbortOnDropHandle<()>>,
}

impl ServerAddress {
    pub(super) fn new(config: &McpServer, base_directory: &Path) -> Self {
        let mut redactor = Redactor::default();
        let directory = match config {
            McpServer::Command { cwd, env, .. } => {
                for (name, secret) in env {
                    redactor.add_variable(name, secret.reveal());
                }
                cwd.as_ref().map(|cwd| base_directory.join(cwd))
            }
            McpServer::Http { url, headers } => {
                headers.values().for_each(|secret| redactor.add(secret.reveal()));
                if let Ok(url) = Url::parse(url) {
                    redactor.add(url.query().unwrap_or_default());
                    redactor.add(url.password().unwrap_or_default());
                }
                None
            }
        };
        let directory = directory.unwrap_or_else(|| base_directory.to_owned());
        Self {
            config: config.clone(),
            directory,
            redactor,
        }
    }

    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Connects. The error is for the log and the model: it has no secrets.
    pub(super) async fn connect(&self, name: &str, handshake: Handshake) -> Result<Connection, String> {
        match &self.config {
            McpServer::Command { argv, env, .. } => self.connect_command(name, argv, env, handshake).await,
            McpServer::Http { url, headers } => self.connect_http(url, headers, handshake).await,
        }
    }

    async fn connect_command(
        &self,
        name: &str,
        argv: &[String],
        env: &BTreeMap<String, Secret>,
        handshake: Handshake,
    ) -> Result<Connection, String> {
        let inherited = INHERITED_VARIABLES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let own = env
            .iter()
            .map(|(name, secret)| (name.clone(), secret.reveal().to_owned()));
        let variables: BTreeMap<String, String> = inherited.chain(own).collect();
        let mut process = ProcessGroup::spawn(argv, &self.directory, variables, Stdio::piped())
            .map_err(|error| self.describe("the program does not start", &error))?;
        let (Some(stdin), Some(stdout)) = (process.take_stdin(), process.take_stdout()) else {
            return Err("the program has no standard input and output".to_owned());
        };
        let stderr = process.take_stderr().map(|stderr| {
            let log = log_stderr(name.to_owned(), stderr, self.redactor.clone());
            AbortOnDropHandle::new(tokio::spawn(log))
        });
        let transport = AsyncRwTransport::new_client(stdout, stdin).with_max_line_length(MAX_MESSAGE_BYTES);
        let tools_changed = Arc::new(Notify::new());
        let events = ServerEvents {
            tools_changed: Arc::clone(&tools_changed),
        };
        let running = events
            .serve_with_lifecycle(transport, handshake.lifecycle())
            .await
            .map_err(|error| self.describe("no handshake", &error))?;
        Ok(Connection {
            peer: running.peer().clone(),
            stop: running.cancellation_token(),
            ended: Box::pin(async move { drop(running.waiting().await) }),
            tools_changed,
            process: Some(process),
            _stderr: stderr,
        })
    }

    async fn connect_http(
        &self,
        url: &str,
        headers: &BTreeMap<String, Secret>,
        handshake: Handshake,
    ) -> Result<Connection, String> {
        let client = http_client().map_err(|error| self.describe("no HTTP client", &error))?;
        let config = StreamableHttpClientTransportConfig::with_uri(url)
            .custom_headers(header_map(headers)?)
            .max_sse_event_size(MAX_MESSAGE_BYTES)
            .max_json_response_size(MAX_MESSAGE_BYTES);
        let transport = StreamableHttpClientTransport::with_client(client, config);
        let tools_changed = Arc::new(Notify::new());
        let events = ServerEvents {
            tools_changed: Arc::clone(&tools_changed),
        };
        let running = events
            .serve_with_lifecycle(transport, handshake.lifecycle())
            .await
            .map_err(|error| self.describe("no handshake", &error))?;
        Ok(Connection {
            peer: running.peer().clone(),
            stop: running.cancellation_token(),
            ended: Box::pin(async move { drop(running.waiting().await) }),
            tools_changed,
            process: None,
            _stderr: None,
        })
    }

    fn describe(&self, what: &str, error: &dyn std::error::Error) -> String {
        clip(&self.redactor.clean(&format!("{what}: {error}")), MAX_ERROR_CHARS)
    }
}

fn http_client() -> reqwest::Result<reqwest::Client> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails if another thread was faster, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    http_client_builder().build().or_else(|error| {
        tracing::warn!(%error, "no certificates of the system: MCP servers are reached only by plain HTTP");
        http_client_builder().tls_certs_only(Vec::new()).build()
    })
}

fn http_client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        // A redirect would take the headers to another place.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        // Half-read event streams must not be reused.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("agentnet-mesh/", env!("CARGO_PKG_VERSION")))
}

fn header_map(headers: &BTreeMap<String, Secret>) -> Result<HashMap<HeaderName, HeaderValue>, String> {
    headers
        .iter()
        .map(|(name, secret)| {
            let header: HeaderName = name
                .parse()
                .map_err(|_| format!("headers: {name:?} is not the name of a header"))?;
            let mut value = HeaderValue::from_str(secret.reveal())
                .map_err(|_| format!("headers: the value of {name} has characters that a header cannot have"))?;
            value.set_sensitive(true);
            Ok((header, value))
        })
        .collect()
}

impl Handshake {
    /// The one to try after this one has failed.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Probe => Self::Initialize,
            Self::Initialize => Self::Probe,
        }
    }

    fn lifecycle(self) -> ClientLifecycleMode {
        match self {
            Self::Probe => ClientLifecycleMode::Auto {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
                legacy_version: Some(ProtocolVersion::V_2025_11_25),
            },
            Self::Initialize => ClientLifecycleMode::Initialize,
        }
    }
}

impl Connection {
    /// Subscribes to changes of the tools, where the server's revision has subscriptions and it offers them.
    pub(super) async fn subscribe(peer: &Peer<RoleClient>) -> Option<Subscription> {
        let info = peer.peer_info()?;
        let offers_changes = info.capabilities.tools.as_ref().and_then(|tools| tools.list_changed) == Some(true);
        if info.protocol_version.has_initialize() || !offers_changes {
            return None;
        }
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        tokio::time::timeout(SUBSCRIBE_TIMEOUT, peer.listen(filter))
            .await
            .ok()?
            .ok()
    }

    /// Ends the connection in order: closes the input of the child, then asks it to end, then kills it.
    pub(super) async fn close(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(EXIT_TIMEOUT, self.ended).await;
        let Some(mut process) = self.process else {
            return;
        };
        if tokio::time::timeout(EXIT_TIMEOUT, process.wait()).await.is_ok() {
            return;
        }
        process.terminate();
        let _ = tokio::time::timeout(EXIT_TIMEOUT, process.wait()).await;
    }
}

/// What the client answers to a server: it has neither a model to sample nor a user to ask.
struct ServerEvents {
    tools_changed: Arc<Notify>,
}

impl ClientHandler for ServerEvents {
    fn get_info(&self) -> ClientConfig {
        let client = Implementation::new("agentnet-mesh", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), client)
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.tools_changed.notify_one();
    }
}

/// Logs what a child writes to its standard error, line by line.
async fn log_stderr(server: String, mut stderr: impl AsyncRead + Unpin, redactor: Redactor) {
    let mut buffer = vec![0; 4 * 1024];
    let mut lines = LogLines::default();
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        for line in lines.push(&buffer[..read], &redactor) {
            log_line(&server, &line);
        }
    }
    log_line(&server, &lines.text(&redactor));
}

fn log_line(server: &str, line: &str) {
    if !line.trim().is_empty() {
        tracing::debug!(server, ?line, "an MCP server wrote to its standard error");
    }
}

/// Puts the lines of a log together: a secret in one must not be divided.
#[derive(Default)]
struct LogLines {
    /// The line that has not ended yet; of a long one the beginning.
    line: Vec<u8>,
    has_more: bool,
}

impl LogLines {
    /// Takes the next bytes; returns the lines that they end, without secrets.
    fn push(&mut self, bytes: &[u8], redactor: &Redactor) -> Vec<String> {
        let mut ended = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let content = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = MAX_LINE_BYTES - self.line.len();
            self.line.extend_from_slice(&content[..content.len().min(room)]);
            self.has_more |= content.len() > room;
            if content.len() < piece.len() {
                ended.push(std::mem::take(self).text(redactor));
            }
        }
        ended
    }

    fn text(&self, redactor: &Redactor) -> String {
        let line = String::from_utf8_lossy(&self.line);
        if self.has_more {
            redactor.clean_beginning(&line)
        } else {
            redactor.clean(&line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_log_is_removed_however_it_is_read() {
        let mut redactor = Redactor::default();
        redactor.add("sk-123456789");
        let long = format!("{}sk-123456789", "x".repeat(MAX_LINE_BYTES - 8));
        let text = format!("key sk-123456789\n\n{long}\nno end");
        for size in [1, 7, 100_000] {
            let mut lines = LogLines::default();
            let logged: Vec<String> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| lines.push(piece, &redactor))
                .collect();
            assert_eq!((logged.len(), logged[0].as_str()), (3, "key ***"));
            assert!(logged[2].ends_with("x***") && logged[2].len() < MAX_LINE_BYTES);
            assert_eq!(lines.text(&redactor), "no end");
        }
    }
}
