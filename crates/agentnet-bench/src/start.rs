//! `agentnet-bench start`: time until the programs are ready, and the size of the program.

use std::process::Stdio;
use std::time::{Duration, Instant};

use agentnet_testkit::NatsServer;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::Failure;
use crate::measurement::{Measurement, Target, median};
use crate::network::{Network, Registry, agentnet, program};
use crate::settings::Settings;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn run(settings: &Settings) -> Result<Vec<Measurement>, Failure> {
    let network = Network::start(true).await?;
    let (mut registries, mut ups, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.repeat {
        let since = Instant::now();
        let registry = Registry::start(&network).await?;
        registries.push(millis(since));
        // Drops the registry and its data before the next one starts.
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
    let measurement =
        |name, unit, value, limit| Measurement::new("start", name, unit, value).target(Target::AtMost(limit));
    Ok(vec![
        measurement("registry until ready", "ms", median(registries), 150.0),
        measurement("`agentnet up` until ready", "ms", median(ups), 600.0),
        measurement("`agentnet list`, whole process", "ms", median(lists), 30.0),
        measurement("release binary", "MB", size, 25.0),
    ])
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Time that `agentnet up` takes in a new directory, in milliseconds.
async fn up() -> Result<f64, Failure> {
    let data = TempDir::new()?;
    // A free port that no other benchmark on this machine uses.
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
    timeout(READY_TIMEOUT, lines.next_line())
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
