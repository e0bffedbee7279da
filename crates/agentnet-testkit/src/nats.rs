//! A real nats-server for one test.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::error::StartError;
use crate::locate::find_nats_server;
use crate::port::{PortLease, random_number};
use crate::process::{ServerProcess, log_tail};

const PROGRAM: &str = "nats-server";
/// The longest wait until a server accepts connections.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait for a server to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for a listener's greeting: another program on the port may never send one.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The number of free ports to try if other programs take them first.
const MAX_PORT_ATTEMPTS: usize = 5;

/// A running nats-server on 127.0.0.1, with its log and JetStream files in a temporary folder of its own.
///
/// Dropping it kills the server and removes the folder.
#[derive(Debug)]
pub struct NatsServer {
    // Dropped in this order: the server must be gone before its folder is removed.
    process: Option<ServerProcess>,
    settings: NatsServerBuilder,
    /// Distinguishes this server from another program on the port. Kept over restarts, since the servers of a cluster
    /// identify each other by it.
    name: String,
    port: u16,
    _lease: Option<PortLease>,
    store_dir: PathBuf,
    folder: TempDir,
}

/// The configuration of a [`NatsServer`]. Defaults: no token, no JetStream, the server's own limits, a free port.
#[derive(Debug, Clone, Default)]
pub struct NatsServerBuilder {
    token: Option<String>,
    jetstream: bool,
    store_dir: Option<PathBuf>,
    max_payload: Option<usize>,
    port: u16,
    extra_config: String,
}

impl NatsServerBuilder {
    /// Requires this token from every client.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Turns JetStream on, with file storage in the server's temporary folder. Default: off.
    #[must_use]
    pub fn jetstream(mut self, on: bool) -> Self {
        self.jetstream = on;
        self
    }

    /// Turns JetStream on with its files in `folder`, which outlives the server.
    #[must_use]
    pub fn store_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.store_dir = Some(folder.into());
        self.jetstream(true)
    }

    /// Largest message body that the server accepts, in bytes. Default: the server's, 1 MiB.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = Some(bytes);
        self
    }

    /// TCP port to listen on. Default: 0, a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Lines appended to the configuration file as they are, for instance `ping_interval: "1s"`.
    #[must_use]
    pub fn extra_config(mut self, lines: impl Into<String>) -> Self {
        self.extra_config = lines.into();
        self
    }

    /// Starts the server and returns once it accepts connections.
    ///
    /// # Errors
    /// [`StartError`]: no nats-server found, the given port is in use, or the server did not start (with its log).
    pub async fn start(self) -> Result<NatsServer, StartError> {
        let folder = tempfile::Builder::new()
            .prefix("agentnet-nats-")
            .tempdir()
            .map_err(StartError::io("make a temporary folder"))?;
        let store_dir = self
            .store_dir
            .clone()
            .unwrap_or_else(|| folder.path().join("jetstream"));
        let mut server = NatsServer {
            process: None,
            name: format!("testkit-{:016x}", random_number()),
            port: self.port,
            settings: self,
            _lease: None,
            store_dir,
            folder,
        };
        if server.port != 0 {
            server.run().await?;
            return Ok(server);
        }
        for _ in 0..MAX_PORT_ATTEMPTS {
            let lease = PortLease::take().map_err(StartError::io("find a free port"))?;
            server.port = lease.port();
            server._lease = Some(lease);
            match server.run().await {
                Err(StartError::PortInUse { .. }) => {}
                outcome => return outcome.map(|()| server),
            }
        }
        Err(StartError::PortInUse { port: server.port })
    }

    /// The server's configuration file.
    fn config(&self, name: &str, port: u16, store_dir: &Path) -> String {
        let mut text = format!("server_name: {}\nlisten: \"127.0.0.1:{port}\"\n", quoted(name));
        if let Some(token) = &self.token {
            text += &format!("authorization {{ token: {} }}\n", quoted(token));
        }
        if let Some(bytes) = self.max_payload {
            text += &format!("max_payload: {bytes}\n");
            // The server requires room for at least one whole message of each client.
            text += &format!("max_pending: {}\n", bytes.max(64 << 20));
        }
        if self.jetstream {
            // The limits are those of `agentnet up`.
            text += &format!(
                "jetstream {{ store_dir: {}, max_buffered_msgs: 1000000, max_buffered_size: 256MB }}\n",
                quoted(&store_dir.to_string_lossy())
            );
        }
        text + &self.extra_config + "\n"
    }
}

impl NatsServer {
    /// A server to be set up and then [started](NatsServerBuilder::start).
    pub fn builder() -> NatsServerBuilder {
        NatsServerBuilder::default()
    }

    /// URL for clients, `nats://127.0.0.1:port`, with the token as the user part if there is one.
    pub fn url(&self) -> String {
        match &self.settings.token {
            Some(token) => {
                let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
                format!("nats://{token}@127.0.0.1:{}", self.port)
            }
            None => self.url_without_token(),
        }
    }

    /// URL without the token, which a server with a token refuses.
    pub fn url_without_token(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The name that the server gives itself; the same after a [restart](Self::restart).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// TCP port; the same after a [restart](Self::restart).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id, unless it was stopped or killed.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::id)
    }

    /// Has the server read its configuration again (SIGHUP).
    ///
    /// # Panics
    /// When it does not run.
    #[expect(clippy::expect_used, reason = "a test without its server fails")]
    pub fn reload(&self) {
        let pid = self
            .pid()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        kill_process(pid.expect("the server runs"), Signal::HUP).expect("the server takes a signal");
    }

    /// Folder of the JetStream files.
    pub fn store_dir(&self) -> &Path {
        &self.store_dir
    }

    /// Everything that the server has logged, over all its restarts.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Kills the server with SIGKILL, as a crash would, and returns when it is gone. JetStream files stay.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Asks the server to end (SIGTERM) and returns when it is gone; kills it if that takes more than ten seconds.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::TERM, STOP_TIMEOUT).await;
        }
    }

    /// Starts the server again, on the same port with the same JetStream files, after stopping it if it runs.
    ///
    /// # Errors
    /// [`StartError`] as for the first start.
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.stop().await;
        self.run().await
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("nats.log")
    }

    /// Starts the process on `self.port` and waits until it is ready.
    async fn run(&mut self) -> Result<(), StartError> {
        let program = find_nats_server()?;
        let config = self.folder.path().join("nats.conf");
        fs::write(&config, self.settings.config(&self.name, self.port, &self.store_dir))
            .map_err(StartError::io("write nats.conf"))?;
        let logged_before = self.log().len();
        let args = ["--config".to_owned(), config.to_string_lossy().into_owned()];
        let mut process = ServerProcess::spawn(&program, &args, &self.log_path(), None)
            .map_err(StartError::io(format!("start {}", program.display())))?;

        let end = Instant::now() + READY_TIMEOUT;
        while Instant::now() < end {
            if let Some(status) = process.ended().map_err(StartError::io("wait for nats-server"))? {
                let log = self.log();
                let log = log.get(logged_before..).unwrap_or_default();
                if log.contains("address already in use") {
                    return Err(StartError::PortInUse { port: self.port });
                }
                return Err(StartError::Ended {
                    program: PROGRAM,
                    status: status.to_string(),
                    log: log_tail(log),
                });
            }
            if let Ok(Ok(info)) = timeout(GREETING_TIMEOUT, read_info(self.port)).await
                && info.contains(&self.name)
            {
                self.process = Some(process);
                return Ok(());
            }
            sleep(POLL_INTERVAL).await;
        }
        Err(self.not_ready(READY_TIMEOUT))
    }

    /// The error for a server that runs, but is not ready.
    pub(crate) fn not_ready(&self, deadline: Duration) -> StartError {
        StartError::NotReady {
            program: PROGRAM,
            deadline,
            log: log_tail(&self.log()),
        }
    }
}

/// Header blocks that the server delivers and the client cannot read. The last one ends the client.
pub const UNREADABLE_HEADER_BLOCKS: [&[u8]; 7] = [
    b"NATS/9.9\r\n\r\n",
    b"NATS/1.0 abc\r\n\r\n",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/1.0\r\nno name : x\r\n\r\n",
    b"NATS/1.0\r\nname: \xff\r\n\r\n",
    b"no header at all",
    b"NATS/1.0\r\nname: a\rb\r\n\r\n",
];

impl NatsServer {
    /// Publishes a message with the given bytes as its header block, which client libraries do not allow.
    ///
    /// # Errors
    /// The I/O error of the connection, also if the server closes it.
    pub async fn publish_with_header_block(
        &self,
        subject: &str,
        reply_to: &str,
        header_block: &[u8],
        payload: &[u8],
    ) -> io::Result<()> {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).await?);
        let token = self.settings.token.as_deref().unwrap_or_default();
        let (head, whole) = (header_block.len(), header_block.len() + payload.len());
        let mut out = format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"auth_token\":{}}}\r\nHPUB {subject} {reply_to} {head} {whole}\r\n",
            quoted(token)
        )
        .into_bytes();
        out.extend_from_slice(header_block);
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\nPING\r\n");
        stream.get_mut().write_all(&out).await?;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            if line.starts_with("PONG") {
                return Ok(());
            }
            line.clear();
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

/// The `INFO {...}` line with which a server greets a client.
async fn read_info(port: u16) -> io::Result<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(line)
}

/// A string of the server's configuration language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
