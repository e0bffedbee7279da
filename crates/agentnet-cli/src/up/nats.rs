//! The nats-server child process: start, restart with backoff when it dies, stop.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agentnet_nats::Backoff;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::address::{host_port, local_host};
use super::locate::NatsProgram;
use super::nats_config::ServerSettings;
use super::spawn::Spawner;
use crate::exit::Failure;

/// Timeout of a start. Recovering a large stream takes time.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of the greeting: another program on this port may never send one.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);
const READY_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Timeout of a stop, before the server is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// After a run of this length, the backoff starts again at the minimum.
const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(30);

/// A running nats-server, which is restarted when it dies.
#[derive(Debug)]
pub(crate) struct NatsServer {
    pid: Arc<AtomicU32>,
    stop: oneshot::Sender<()>,
    watcher: JoinHandle<()>,
}

/// What is needed to start the server.
#[derive(Debug)]
struct Launch {
    program: NatsProgram,
    settings: ServerSettings,
    config: PathBuf,
    spawner: Spawner,
}

impl NatsServer {
    /// Starts the server and returns when it accepts clients.
    ///
    /// # Errors
    /// The port is in use or not allowed, or the server ended; the failure quotes its log.
    pub(crate) async fn start(
        program: NatsProgram,
        settings: ServerSettings,
        config: PathBuf,
    ) -> Result<Self, Failure> {
        let spawner = Spawner::start().map_err(|error| Failure::error(format!("cannot start a thread: {error}")))?;
        let launch = Launch {
            program,
            settings,
            config,
            spawner,
        };
        let child = launch.run().await?;
        let pid = Arc::new(AtomicU32::new(child.id().unwrap_or_default()));
        let (stop, stopped) = oneshot::channel();
        let watcher = tokio::spawn(watch(launch, child, Arc::clone(&pid), stopped));
        Ok(Self { pid, stop, watcher })
    }

    /// The process id of the running server.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Stops the server and waits for its end. Kills it after [`STOP_TIMEOUT`].
    pub(crate) async fn stop(self) {
        // Both fail only if the watcher has ended, and the server with it.
        let _ = self.stop.send(());
        let _ = self.watcher.await;
    }
}

/// Restarts the server whenever it ends, with backoff, until it is to be stopped.
async fn watch(launch: Launch, mut child: Child, pid: Arc<AtomicU32>, mut stopped: oneshot::Receiver<()>) {
    let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);
    loop {
        let started = Instant::now();
        let status = tokio::select! {
            status = child.wait() => status,
            _ = &mut stopped => return end(child).await,
        };
        let log = launch.settings.log.display();
        tracing::warn!(%log, "nats-server ended ({}); starting it again", ending(&status));
        if started.elapsed() > BACKOFF_RESET_AFTER {
            backoff.reset();
        }
        child = loop {
            let next = async {
                sleep(backoff.delay()).await;
                launch.run().await
            };
            let next = tokio::select! {
                next = next => next,
                _ = &mut stopped => return,
            };
            let _ = backoff.next_delay();
            match next {
                Ok(child) => break child,
                Err(failure) => tracing::error!("nats-server does not start: {}", failure.text()),
            }
        };
        pid.store(child.id().unwrap_or_default(), Ordering::Relaxed);
        tracing::info!(pid = child.id(), "nats-server runs again");
        if launch.settings.token().is_none() {
            // The registry may have written the users after the server had read them, and before it could take a signal.
            signal(&child, Signal::HUP);
        }
    }
}

fn ending(status: &io::Result<ExitStatus>) -> String {
    status.as_ref().map_or_else(ToString::to_string, ToString::to_string)
}

/// Sends a signal, unless the process has ended.
fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// SIGTERM, and after [`STOP_TIMEOUT`] SIGKILL.
async fn end(mut child: Child) {
    signal(&child, Signal::TERM);
    if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        tracing::warn!(
            "nats-server did not end within {} s; killing it",
            STOP_TIMEOUT.as_secs()
        );
        let _ = child.kill().await;
    }
}

impl Launch {
    /// Starts the process and waits for its greeting.
    async fn run(&self) -> Result<Child, Failure> {
        let settings = &self.settings;
        for listener in listeners(settings) {
            listener.check()?;
        }
        let cannot = |what: &str, error: io::Error| Failure::error(format!("cannot {what}: {error}"));
        settings
            .write(&self.config)
            .map_err(|error| cannot(&format!("write {}", self.config.display()), error))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&settings.log);
        let log = log.map_err(|error| cannot(&format!("write {}", settings.log.display()), error))?;
        let logged_before = log.metadata().map_or(0, |file| file.len());
        let errors = log.try_clone().map_err(|error| cannot("share the log", error))?;
        let mut command = Command::new(&self.program.path);
        command
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let path = self.program.path.display();
        let mut child = self
            .spawner
            .spawn(command)
            .await
            .map_err(|error| cannot(&format!("start {path}"), error))?;

        let end = Instant::now() + READY_TIMEOUT;
        while Instant::now() < end {
            if let Some(status) = child
                .try_wait()
                .map_err(|error| cannot("wait for nats-server", error))?
            {
                return Err(self.ended(&status.to_string(), logged_before));
            }
            if let Ok(Ok(greeting)) = timeout(GREETING_TIMEOUT, greeting(&settings.host, settings.port)).await
                && greeting.contains(&settings.name)
            {
                return Ok(child);
            }
            sleep(READY_POLL_INTERVAL).await;
        }
        Err(self.ended(
            &format!("not ready within {} s", READY_TIMEOUT.as_secs()),
            logged_before,
        ))
    }

    fn ended(&self, status: &str, logged_before: u64) -> Failure {
        let settings = &self.settings;
        let log = fs::read(&settings.log).unwrap_or_default();
        let start = usize::try_from(logged_before).unwrap_or(usize::MAX).min(log.len());
        let log = String::from_utf8_lossy(&log[start..]);
        if log.contains("address already in use") {
            // The port was taken after it had been checked.
            let is_websocket = log.contains("listen for websocket connections");
            let taken = listeners(settings).find(|listener| is_websocket == (listener.flag == WEBSOCKET_FLAG));
            if let Some(listener) = taken {
                return listener.in_use();
            }
        }
        let last: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = last[last.len().saturating_sub(5)..].join("; ");
        Failure::error(format!("nats-server did not start: {status}; its log ends in: {last}"))
            .hint(format!("its whole log is {}", settings.log.display()))
    }
}

const WEBSOCKET_FLAG: &str = "--websocket HOST:PORT";

/// An address that the server listens on, and the option that sets its port.
#[derive(Debug)]
struct Listener<'a> {
    host: &'a str,
    port: u16,
    flag: &'static str,
}

/// The addresses that the server listens on, that of NATS first.
fn listeners(settings: &ServerSettings) -> impl Iterator<Item = Listener<'_>> {
    let nats = Listener {
        host: &settings.host,
        port: settings.port,
        flag: "--port PORT",
    };
    let monitor = settings.monitor_port.map(|port| Listener {
        host: settings.monitor_host(),
        port,
        flag: "--monitor-port PORT",
    });
    let websocket = settings.websocket.as_ref().map(|websocket| Listener {
        host: &websocket.address.host,
        port: websocket.address.port,
        flag: WEBSOCKET_FLAG,
    });
    std::iter::once(nats).chain(monitor).chain(websocket)
}

impl Listener<'_> {
    /// Checks that the port is free; the failure says what to change.
    fn check(&self) -> Result<(), Failure> {
        let Self { host, port, flag } = *self;
        let Err(error) = TcpListener::bind((host.trim_matches(['[', ']']), port)) else {
            return Ok(());
        };
        Err(match error.kind() {
            io::ErrorKind::AddrInUse => self.in_use(),
            io::ErrorKind::PermissionDenied => Failure::error(format!("port {port} cannot be used: {error}"))
                .hint(format!("choose one above 1023 with {flag}")),
            _ => {
                let flag = if flag == WEBSOCKET_FLAG {
                    "--websocket"
                } else {
                    "--host"
                };
                Failure::error(format!("cannot listen on {}: {error}", host_port(host, port))).hint(format!(
                    "{flag} must be an address of this machine; 127.0.0.1 is the default"
                ))
            }
        })
    }

    fn in_use(&self) -> Failure {
        let Self { host, port, flag } = self;
        Failure::error(format!("port {port} on {host} is in use by another program")).hint(format!(
            "choose another port with {flag}, or stop what listens there (another agentnet up?)"
        ))
    }
}

/// The `INFO {...}` line that a server sends to a new client.
async fn greeting(host: &str, port: u16) -> io::Result<String> {
    let stream = TcpStream::connect((local_host(host), port)).await?;
    let mut line = String::new();
    BufReader::new(stream.take(64 << 10)).read_line(&mut line).await?;
    Ok(line)
}
