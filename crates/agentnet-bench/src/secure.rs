//! `agentnet-bench secure`: what the secure mode costs beside the same network with a token.
//!
//! Four networks run, each made by `agentnet up`: one with a token, the same once more (its difference to the first is the spread
//! of the machine), one in secure mode, and one with a token and signed messages. Every round runs each load on each of them in
//! turn, and each round of a network is compared with the same round of the first.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use agentnet::RegistryClient;
use agentnet::protocol::rpc::MetricsRequest;
use agentnet_testkit::eventually;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use crate::Failure;
use crate::agents::{self, Operation};
use crate::measurement::{Measurement, Target, median};
use crate::messages::{AgentPair, PairUrls};
use crate::network::agentnet;
use crate::run::RunOutcome;
use crate::runtime_flavor::RuntimeFlavor;
use crate::settings::Settings;

const RECEIVER: &str = "bench_receiver";
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest time that a registry may take to store what it was sent.
const STORE_TIMEOUT: Duration = Duration::from_secs(120);
/// Seconds for which a receiver remembers ids.
const DEDUPE: Duration = Duration::from_secs(600);
/// What the secure mode may cost: a tenth.
const MAX_COST: f64 = 0.1;

/// A kind of network that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Token,
    TokenAgain,
    Secure,
    Signed,
}

impl Mode {
    /// All modes; the first is what the others are compared with.
    const ALL: [Self; 4] = [Self::Token, Self::TokenAgain, Self::Secure, Self::Signed];

    fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::TokenAgain => "token, a second network",
            Self::Secure => "secure mode",
            Self::Signed => "token, signed messages",
        }
    }
}

/// A load, and the figure that is taken from it.
#[derive(Debug, Clone, Copy)]
struct Load {
    operation: Operation,
    in_flight: usize,
}

impl Load {
    const ALL: [Self; 4] = [
        Self {
            operation: Operation::Send,
            in_flight: 1,
        },
        Self {
            operation: Operation::Send,
            in_flight: 256,
        },
        Self {
            operation: Operation::Request,
            in_flight: 1,
        },
        Self {
            operation: Operation::Request,
            in_flight: 256,
        },
    ];

    fn is_sequential(self) -> bool {
        self.in_flight == 1
    }

    /// The p50 in microseconds of one after the other, the rate of many in flight.
    fn value(self, outcome: &RunOutcome) -> f64 {
        match self.is_sequential() {
            true => outcome.latency.micros(0.5),
            false => outcome.rate(),
        }
    }

    fn unit(self) -> &'static str {
        if self.is_sequential() { "us" } else { "/s" }
    }

    fn name(self) -> String {
        let operation = match self.operation {
            Operation::Send => "send",
            Operation::Request => "request",
        };
        match self.is_sequential() {
            true => format!("{operation}, sequential p50"),
            false => format!("{operation}, {} in flight", self.in_flight),
        }
    }

    /// What the secure mode should reach beside the token.
    fn target(self) -> Target {
        match self.is_sequential() {
            true => Target::ShareAtMost(1.0 + MAX_COST),
            false => Target::ShareAtLeast(1.0 - MAX_COST),
        }
    }
}

/// `agentnet-bench secure`.
pub(crate) async fn run(settings: &Settings) -> Result<Vec<Measurement>, Failure> {
    let mut networks = Vec::new();
    for mode in Mode::ALL {
        networks.push(MeasuredNetwork::start(mode).await?);
    }
    // For each network and load, the value of each round.
    let mut values = vec![vec![Vec::new(); Load::ALL.len()]; networks.len()];
    for _ in 0..settings.repeat {
        for (at, load) in Load::ALL.into_iter().enumerate() {
            for (network, values) in networks.iter_mut().zip(&mut values) {
                let outcome = network.run(load, settings).await?;
                values[at].push(load.value(&outcome));
            }
        }
    }
    for network in networks {
        network.pair.end().await?;
    }
    let mut measurements = Vec::new();
    for (at, load) in Load::ALL.into_iter().enumerate() {
        let token = &values[0][at];
        for (mode, values) in Mode::ALL.into_iter().zip(&values).skip(1) {
            let values = &values[at];
            let mut shares: Vec<f64> = values.iter().zip(token).map(|(value, token)| value / token).collect();
            shares.sort_by(f64::total_cmp);
            let range = match (shares.first(), shares.last()) {
                (Some(least), Some(most)) => format!("{least:.2} to {most:.2}"),
                _ => "nothing".to_owned(),
            };
            let name = format!("{}, {} (rounds: {range})", load.name(), mode.name());
            let measurement = Measurement::new("secure", name, load.unit(), median(values.iter().copied()))
                .raw(median(token.iter().copied()));
            measurements.push(match mode {
                Mode::Secure => measurement.target(load.target()),
                _ => measurement,
            });
        }
    }
    Ok(measurements)
}

/// A running `agentnet up` with two agents.
struct MeasuredNetwork {
    pair: AgentPair,
    client: RegistryClient,
    sent: u64,
    _up: Child,
    _folder: TempDir,
}

impl MeasuredNetwork {
    async fn start(mode: Mode) -> Result<Self, Failure> {
        let folder = TempDir::new()?;
        // Made by `agentnet up`, for this user alone.
        let data = folder.path().join("data");
        let mut command = agentnet()?;
        command.args(["--json", "up", "--port", "0", "--data-dir"]).arg(&data);
        match mode {
            Mode::Token | Mode::TokenAgain => {}
            Mode::Secure => drop(command.arg("--secure")),
            Mode::Signed => drop(command.args(["--dev-auth", "true"])),
        }
        let mut up = command.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(up.stdout.take().ok_or("no stdout")?).lines();
        let ready = timeout(READY_TIMEOUT, lines.next_line())
            .await
            .map_err(|_| "`agentnet up` does not become ready")??
            .ok_or("`agentnet up` ended")?;
        // Reads the rest of its output, so that the pipe does not fill up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let ready: Value = serde_json::from_str(&ready)?;
        let text = |name: &str| {
            ready[name]
                .as_str()
                .map(str::to_owned)
                .ok_or("`agentnet up` says too little")
        };
        let (urls, registry) = match mode {
            Mode::Secure => {
                let operator = format!("identity:{}", text("operator_identity")?);
                let urls = PairUrls {
                    receiver: join(&data, RECEIVER).await?,
                    sender: join(&data, &agents::sender_to(RECEIVER)).await?,
                };
                (urls, operator)
            }
            _ => (PairUrls::same(&text("url")?), text("url")?),
        };
        let signs = mode == Mode::Signed;
        let pair = AgentPair::start_with(RECEIVER, urls, RuntimeFlavor::MultiThread, DEDUPE, signs).await?;
        Ok(Self {
            pair,
            client: RegistryClient::connect(&registry).await?,
            sent: 0,
            _up: up,
            _folder: folder,
        })
    }

    /// Runs a load, and waits until all of it is stored: the next network has the machine for itself.
    async fn run(&mut self, load: Load, settings: &Settings) -> Result<RunOutcome, Failure> {
        let outcome = self.pair.run(load.operation, settings.run(load.in_flight)).await?;
        // A reply is stored like a message.
        self.sent += match load.operation {
            Operation::Send => outcome.completed,
            Operation::Request => 2 * outcome.completed,
        };
        let expected = self.sent;
        let look = async || match self.stored().await {
            Ok(stored) if stored >= expected => Ok(()),
            Ok(stored) => Err(format!("{stored} of {expected} messages are stored")),
            Err(failure) => Err(failure.to_string()),
        };
        eventually(STORE_TIMEOUT, look).await?;
        Ok(outcome)
    }

    async fn stored(&self) -> Result<u64, Failure> {
        let metrics = self.client.call(&MetricsRequest).await?;
        Ok(u64::try_from(
            metrics.capture.as_ref().map_or(0, |capture| capture.stored),
        )?)
    }
}

/// Makes a member of the network in this data directory. Returns its URL.
async fn join(data: &Path, username: &str) -> Result<String, Failure> {
    let code = said(data, &["invite", username]).await?;
    said(data, &["join", code.trim()]).await?;
    let file = data.join("identities").join(format!("{username}.json"));
    Ok(format!("identity:{}", file.display()))
}

async fn said(data: &Path, words: &[&str]) -> Result<String, Failure> {
    let mut command = agentnet()?;
    let output = command.env("AGENTNET_DATA_DIR", data).args(words).output().await?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("agentnet {words:?} failed: {why}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
