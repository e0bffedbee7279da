//! The nats-server child: started, watched, started again when it dies, stopped.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::locate::NatsProgram;
use super::nats_config::{ServerSettings, host_port};
use super::spawn::Spawner;
use crate::exit::Failure;

/// How long a server may take until it greets; recovering a large stream takes time.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How long a listener may take to greet: a stranger on our port may never say anything.
const GREETING: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a server may take to end by itself.
const STOP_GRACE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A server that ran so long did not die of its settings.
const HEALTHY: Duration = Duration::from_secs(30);

/// A running nats-server that is kept running.
#[derive(Debug)]
pub(crate) struct NatsServer {
    pid: Arc<AtomicU32>,
    stop: oneshot::Sender<()>,
    watcher: JoinHandle<()>,
}

/// What is needed to start the server, each time.
#[derive(Debug)]
struct Launch {
    program: NatsProgram,
    settings: ServerSettings,
    config: PathBuf,
    spawner: Spawner,
}

impl NatsServer {
    /// Starts the server and returns once it greets clients.
    ///
    /// # Errors
    /// The port is in use or not allowed, or the server ended with what its log says.
    pub(crate) async fn start(
        program: NatsProgram,
        settings: ServerSettings,
        config: PathBuf,
    ) -> Result<Self, Failure> {
        let spawner = Spawner::start().map_err(|error| Failure::trouble(format!("cannot start a thread: {error}")))?;
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

    /// The process id of the server that runs now.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Asks the server to end and waits until it has; kills it if that takes longer than ten seconds.
    pub(crate) async fn stop(self) {
        // Both fail only where the watcher has ended, and the server with it.
        let _ = self.stop.send(());
        let _ = self.watcher.await;
    }
}

/// Starts the server again whenever it ends, with growing pauses, until told to stop it.
async fn watch(launch: Launch, mut child: Child, pid: Arc<AtomicU32>, mut stopped: oneshot::Receiver<()>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let status = tokio::select! {
            status = child.wait() => status,
            _ = &mut stopped => return end(child).await,
        };
        let log = launch.settings.log.display();
        tracing::warn!(%log, "nats-server ended ({}); starting it again", ending(&status));
        if started.elapsed() > HEALTHY {
            pause = FIRST_PAUSE;
        }
        child = loop {
            let next = async {
                sleep(pause).await;
                launch.run().await
            };
            let next = tokio::select! {
                next = next => next,
                _ = &mut stopped => return,
            };
            pause = (pause * 2).min(LONGEST_PAUSE);
            match next {
                Ok(child) => break child,
                Err(failure) => tracing::error!("nats-server does not start: {}", failure.text()),
            }
        };
        pid.store(child.id().unwrap_or_default(), Ordering::Relaxed);
        tracing::info!(pid = child.id(), "nats-server runs again");
    }
}

fn ending(status: &io::Result<ExitStatus>) -> String {
    status.as_ref().map_or_else(ToString::to_string, ToString::to_string)
}

/// SIGTERM, patience, SIGKILL.
async fn end(mut child: Child) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // Fails only for a process that has gone by itself.
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(STOP_GRACE, child.wait()).await.is_err() {
        tracing::warn!("nats-server did not end within {} s; killing it", STOP_GRACE.as_secs());
        let _ = child.kill().await;
    }
}

impl Launch {
    /// Starts the process and waits until it greets.
    async fn run(&self) -> Result<Child, Failure> {
        let settings = &self.settings;
        check_port(&settings.host, settings.port, "--port")?;
        if let Some(port) = settings.monitor_port {
            check_port(settings.monitor_host(), port, "--monitor-port")?;
        }
        let cannot = |what: &str, error: io::Error| Failure::trouble(format!("cannot {what}: {error}"));
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

        let end = Instant::now() + READY_DEADLINE;
        while Instant::now() < end {
            if let Some(status) = child
                .try_wait()
                .map_err(|error| cannot("wait for nats-server", error))?
            {
                return Err(self.ended(&status.to_string(), logged_before));
            }
            if let Ok(Ok(greeting)) = timeout(GREETING, greeting(&settings.host, settings.port)).await
                && greeting.contains(&settings.name)
            {
                return Ok(child);
            }
            sleep(LOOK_AGAIN).await;
        }
        Err(self.ended(
            &format!("not ready within {} s", READY_DEADLINE.as_secs()),
            logged_before,
        ))
    }

    fn ended(&self, status: &str, logged_before: u64) -> Failure {
        let settings = &self.settings;
        let log = fs::read(&settings.log).unwrap_or_default();
        let start = usize::try_from(logged_before).unwrap_or(usize::MAX).min(log.len());
        let log = String::from_utf8_lossy(&log[start..]);
        if log.contains("address already in use") {
            return port_in_use(&settings.host, settings.port, "--port");
        }
        let last: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = last[last.len().saturating_sub(5)..].join("; ");
        Failure::trouble(format!("nats-server did not start: {status}; its log ends in: {last}"))
            .hint(format!("its whole log is {}", settings.log.display()))
    }
}

/// Whether we may listen there; else a message that says what to change.
fn check_port(host: &str, port: u16, flag: &str) -> Result<(), Failure> {
    let Err(error) = TcpListener::bind((host.trim_matches(['[', ']']), port)) else {
        return Ok(());
    };
    Err(match error.kind() {
        io::ErrorKind::AddrInUse => port_in_use(host, port, flag),
        io::ErrorKind::PermissionDenied => Failure::trouble(format!("port {port} cannot be used: {error}"))
            .hint(format!("choose one above 1023 with {flag}")),
        _ => Failure::trouble(format!("cannot listen on {}: {error}", host_port(host, port)))
            .hint("--host must be an address of this machine; 127.0.0.1 is the default"),
    })
}

fn port_in_use(host: &str, port: u16, flag: &str) -> Failure {
    Failure::trouble(format!("port {port} on {host} is in use by another program")).hint(format!(
        "choose another port with {flag} PORT, or stop what listens there (another agentnet up?)"
    ))
}

/// The `INFO {...}` line with which a server greets a client.
async fn greeting(host: &str, port: u16) -> io::Result<String> {
    let host = match host.trim_matches(['[', ']']) {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let stream = TcpStream::connect((host, port)).await?;
    let mut line = String::new();
    BufReader::new(stream.take(64 << 10)).read_line(&mut line).await?;
    Ok(line)
}
