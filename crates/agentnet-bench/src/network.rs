//! The servers of a benchmark: nats-server and the registry.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use agentnet::protocol::rpc::MetricsRequest;
use agentnet::{RegistryClient, json};
use agentnet_testkit::{NatsServer, RawClient, eventually};
use futures::StreamExt;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Failure;
use crate::processes::WatchedProcesses;

const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest time that a registry with a backlog may store nothing.
const MAX_STALL: Duration = Duration::from_secs(20);

/// A nats-server.
#[derive(Debug)]
pub(crate) struct Network {
    /// The URL for clients.
    pub(crate) url: String,
    nats: NatsServer,
}

impl Network {
    /// Starts a server; a registry that stores messages needs JetStream.
    pub(crate) async fn start(jetstream: bool) -> Result<Self, Failure> {
        let nats = NatsServer::builder().jetstream(jetstream).start().await?;
        Ok(Self { url: nats.url(), nats })
    }

    /// The server process, to be watched.
    pub(crate) fn watched(&self) -> Result<WatchedProcesses, Failure> {
        let pid = self.nats.pid().ok_or("nats-server has ended")?;
        Ok(WatchedProcesses::default().and("nats-server", pid))
    }
}

/// Stands in for a registry: answers `register` and `resolve_account` and nothing else.
pub(crate) async fn answer_registrations(url: &str) -> Result<(), Failure> {
    let client = RawClient::connect(url).await?;
    let mut requests = client.subscribe("registry.*").await?;
    client.flush().await?;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let asked: serde_json::Value = serde_json::from_slice(&request.payload).unwrap_or_default();
            let username = asked["username"].as_str().unwrap_or_default();
            let account = format!("acct_{username}");
            let answer = match request.subject.as_str() {
                "registry.register" => {
                    json!({ "account_id": account, "username": username, "session_tag": format!("session_{username}") })
                }
                "registry.resolve_account" => json!({ "account_id": account, "username": username }),
                _ => continue,
            };
            if let Some(reply) = request.reply {
                let _ = client.publish(reply, answer.to_string().into()).await;
            }
        }
    });
    Ok(())
}

/// The path of the measured `agentnet` program.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    built("agentnet")
}

/// The path of a program of the workspace, beside this program.
fn built(name: &str) -> Result<PathBuf, Failure> {
    let beside = std::env::current_exe()?.with_file_name(name);
    if beside.is_file() {
        return Ok(beside);
    }
    Err(format!(
        "{} is missing: build it with `cargo build --release --workspace --bins --examples`",
        beside.display()
    )
    .into())
}

/// The command `agentnet`, without the settings in the benchmark's environment.
pub(crate) fn agentnet() -> Result<Command, Failure> {
    clean(program()?)
}

/// A small agent as users write them: the SDK's example `rpc_worker`.
pub(crate) fn example_agent(url: &str) -> Result<Command, Failure> {
    let mut command = clean(built("examples/rpc_worker")?)?;
    command.env("NATS_URL", url);
    Ok(command)
}

/// A command without the settings in the benchmark's environment. The process is killed with the benchmark.
fn clean(program: PathBuf) -> Result<Command, Failure> {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with("AGENTNET_")
                || ["NATS_URL", "DATABASE_URL", "DEV_AUTH", "RUST_LOG", "LOG_LEVEL"].contains(&name)
        });
        if ours {
            command.env_remove(name);
        }
    }
    command.env("RUST_LOG", "warn").stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// A running `agentnet registry`.
#[derive(Debug)]
pub(crate) struct Registry {
    child: Child,
    client: RegistryClient,
    _data: TempDir,
}

impl Registry {
    /// Starts a registry with the default database, a SQLite file.
    pub(crate) async fn start(network: &Network) -> Result<Self, Failure> {
        Self::start_with(network, &[]).await
    }

    /// Starts a registry with more arguments, such as `--database-url`.
    pub(crate) async fn start_with(network: &Network, arguments: &[&str]) -> Result<Self, Failure> {
        let data = TempDir::new()?;
        let mut child = agentnet()?
            .args(["--nats-url", &network.url, "registry", "--data-dir"])
            .arg(data.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        timeout(READY_TIMEOUT, lines.next_line())
            .await
            .map_err(|_| "the registry does not become ready")??
            .ok_or("the registry ended")?;
        // Reads the rest of its output, so that the pipe does not fill up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            child,
            client: RegistryClient::connect(&network.url).await?,
            _data: data,
        })
    }

    pub(crate) fn pid(&self) -> Result<u32, Failure> {
        Ok(self.child.id().ok_or("the registry has ended")?)
    }

    pub(crate) fn client(&self) -> &RegistryClient {
        &self.client
    }

    /// Number of stored messages, from the registry's metrics.
    pub(crate) async fn stored(&self) -> Result<u64, Failure> {
        let metrics = self.client.call(&MetricsRequest).await?;
        let stored = metrics.capture.as_ref().map_or(0, |capture| capture.stored);
        Ok(u64::try_from(stored)?)
    }

    /// Waits while the number of stored messages grows. Fails unless it ends at `expected`.
    pub(crate) async fn wait_until_stored(&self, expected: u64) -> Result<(), Failure> {
        let mut stored = self.stored().await?;
        while stored < expected {
            let before = stored;
            let look = async || match self.stored().await {
                Ok(now) if now > before => Ok(now),
                Ok(_) => Err(format!("{before} of {expected} messages are stored, and no more come")),
                Err(failure) => Err(failure.to_string()),
            };
            stored = eventually(MAX_STALL, look).await?;
        }
        if stored != expected {
            return Err(format!("{expected} messages were sent, {stored} are stored").into());
        }
        Ok(())
    }
}
