//! `agentnet-bench start`: how long programs take until they can be used, and how large the program is.

use std::process::Stdio;
use std::time::{Duration, Instant};

use agentnet_testkit::NatsServer;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::Failure;
use crate::cli::Settings;
use crate::figure::{Figure, Target, median};
use crate::network::{Network, Registry, agentnet, program};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(settings: &Settings) -> Result<Vec<Figure>, Failure> {
    let network = Network::start(true).await?;
    let (mut registries, mut ups, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.repeat {
        let since = Instant::now();
        let registry = Registry::start(&network).await?;
        registries.push(millis(since));
        // Its data are gone, and it with them, before the next one starts.
        drop(registry);
        ups.push(up().await?);
    }
    let _registry = Registry::start(&network).await?;
    for _ in 0..settings.repeat * 10 {
        let since = Instant::now();
        let status = agentnet()?
            .args(["--nats-url", &network.url, "list"])
            .stdout(Stdio::null())
            .status()
            .await?;
        lists.push(millis(since));
        if !status.success() {
            return Err("`agentnet list` failed".into());
        }
    }
    let size = std::fs::metadata(program()?)?.len() as f64 / 1e6;
    let figure = |name, unit, value, limit| Figure::new("start", name, unit, value).target(Target::AtMost(limit));
    Ok(vec![
        figure("registry until ready", "ms", median(registries), 150.0),
        figure("`agentnet up` until ready", "ms", median(ups), 600.0),
        figure("`agentnet list`, whole process", "ms", median(lists), 30.0),
        figure("release binary", "MB", size, 25.0),
    ])
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// A network of its own, from nothing, until it says that it is ready.
async fn up() -> Result<f64, Failure> {
    let data = TempDir::new()?;
    // A free port, which nobody else of this machine's benchmarks takes.
    let mut lease = NatsServer::builder().start().await?;
    let port = lease.port().to_string();
    lease.stop().await;
    let since = Instant::now();
    let mut command: Command = agentnet()?;
    command
        .args(["up", "--port", &port, "--data-dir"])
        .arg(data.path())
        .env("AGENTNET_NATS_SERVER", agentnet_testkit::find_nats_server()?)
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
    timeout(PATIENCE, lines.next_line())
        .await
        .map_err(|_| "`agentnet up` does not become ready")??
        .ok_or("`agentnet up` ended")?;
    let took = millis(since);
    let pid = child
        .id()
        .and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
    rustix::process::kill_process(pid.ok_or("`agentnet up` has ended")?, rustix::process::Signal::TERM)?;
    child.wait().await?;
    Ok(took)
}
