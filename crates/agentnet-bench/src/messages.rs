//! `agentnet-bench send` and `request`: from one agent to another, beside the raw limit of the same server.

use std::time::Duration;

use crate::Failure;
use crate::agents::{self, Operation};
use crate::measurement::{Measurement, Target, median};
use crate::network::{Network, Registry, answer_registrations};
use crate::processes::WatchedProcesses;
use crate::run::{Run, RunOutcome, costs};
use crate::runtime_flavor::RuntimeFlavor;
use crate::settings::Settings;
use crate::worker_process::Worker;
use crate::{processes, raw};

/// Bytes of a message around its payload.
const ENVELOPE_BYTES: usize = 524;

/// Targets, as shares of the raw limit.
#[derive(Debug, Clone, Copy)]
struct Targets {
    /// For the p50 of sequential messages.
    p50: f64,
    /// For the rate with 256 in flight.
    rate: f64,
}

/// The URLs of the two agents: on a network in secure mode, each has its own identity.
#[derive(Debug)]
pub(crate) struct PairUrls {
    pub(crate) receiver: String,
    pub(crate) sender: String,
}

impl PairUrls {
    /// One URL for both.
    pub(crate) fn same(url: &str) -> Self {
        Self {
            receiver: url.to_owned(),
            sender: url.to_owned(),
        }
    }
}

/// A sending and a receiving agent on a network.
#[derive(Debug)]
pub(crate) struct AgentPair {
    sender: Worker,
    receiver: Worker,
}

impl AgentPair {
    pub(crate) async fn start(url: &str, flavor: RuntimeFlavor, dedupe: Duration) -> Result<Self, Failure> {
        Self::start_as("bench_receiver", url, flavor, dedupe).await
    }

    /// Starts a pair whose receiver has this username.
    pub(crate) async fn start_as(
        username: &str,
        url: &str,
        flavor: RuntimeFlavor,
        dedupe: Duration,
    ) -> Result<Self, Failure> {
        Self::start_with(username, PairUrls::same(url), flavor, dedupe, false).await
    }

    /// The same, where each agent has a URL of its own; both may sign.
    pub(crate) async fn start_with(
        username: &str,
        urls: PairUrls,
        flavor: RuntimeFlavor,
        dedupe: Duration,
        signs: bool,
    ) -> Result<Self, Failure> {
        let receiver = agents::MessageReceiver {
            url: urls.receiver,
            username: username.to_owned(),
            dedupe,
            signs,
        };
        let sender = agents::MessageSender {
            url: urls.sender,
            receiver: username.to_owned(),
            signs,
        };
        let receiver = Worker::start(receiver, flavor).await?;
        let sender = Worker::start(sender, flavor).await?;
        Ok(Self { sender, receiver })
    }

    /// Runs once. Fails unless the receiver handled exactly the messages that were sent.
    pub(crate) async fn run(&mut self, kind: Operation, run: Run) -> Result<RunOutcome, Failure> {
        let before: u64 = self.receiver.ask(&()).await?;
        let outcome: RunOutcome = self.sender.ask(&(kind, run)).await?;
        // The receipt arrives before the message is handled.
        let handled = async {
            loop {
                let handled = self.receiver.ask::<u64>(&()).await? - before;
                if handled >= outcome.completed {
                    return Ok::<_, Failure>(handled);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let handled = tokio::time::timeout(Duration::from_secs(10), handled)
            .await
            .map_err(|_| "not every message was handled")??;
        if handled != outcome.completed {
            return Err(format!("{kind:?}: sent {}, handled {handled}", outcome.completed).into());
        }
        Ok(outcome)
    }

    /// The CPU time of both processes.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        Ok(processes::cpu(self.sender.pid()?)? + processes::cpu(self.receiver.pid()?)?)
    }

    /// Adds both processes to the watched ones.
    fn watched(&self, others: WatchedProcesses) -> Result<WatchedProcesses, Failure> {
        Ok(others
            .and("sender", self.sender.pid()?)
            .and("receiver", self.receiver.pid()?))
    }

    pub(crate) fn receiver(&self) -> &Worker {
        &self.receiver
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.sender.stop().await?;
        self.receiver.stop().await
    }
}

/// `agentnet-bench send`: without a registry, and with one that stores every message.
pub(crate) async fn send(settings: &Settings) -> Result<Vec<Measurement>, Failure> {
    let alone = Targets { p50: 1.35, rate: 0.45 };
    let mut measurements = bare(settings, Operation::Send, raw::RawPattern::TwoLeg, alone).await?;
    let stored = Targets { p50: 1.6, rate: 0.25 };
    measurements.extend(with_registry(settings, Operation::Send, raw::RawPattern::TwoLeg, stored).await?);
    measurements.push(receipts_alone(settings).await?);
    Ok(measurements)
}

/// `agentnet-bench request`.
pub(crate) async fn request(settings: &Settings) -> Result<Vec<Measurement>, Failure> {
    let targets = Targets { p50: 1.35, rate: 0.5 };
    bare(settings, Operation::Request, raw::RawPattern::Request, targets).await
}

/// The upper limit for any implementation of the protocol: a message and two receipts as plain bytes that are not decoded.
async fn receipts_alone(settings: &Settings) -> Result<Measurement, Failure> {
    let network = Network::start(false).await?;
    let mut limits = raw::RawLimits::start(&network).await?;
    let (mut pings, mut receipts) = (Vec::new(), Vec::new());
    for _ in 0..settings.repeat {
        pings.push(limits.best(raw::RawPattern::TwoLeg, settings.run(256)).await?.rate());
        let run = Run {
            bytes: settings.bytes + ENVELOPE_BYTES,
            ..settings.run(256)
        };
        receipts.push(limits.best(raw::RawPattern::Receipts, run).await?.rate());
    }
    limits.end().await?;
    let name = "NATS alone, a message and two receipts, 256 in flight";
    Ok(Measurement::new("send", name, "/s", median(receipts)).raw(median(pings)))
}

async fn bare(
    settings: &Settings,
    kind: Operation,
    raw: raw::RawPattern,
    targets: Targets,
) -> Result<Vec<Measurement>, Failure> {
    let network = Network::start(false).await?;
    answer_registrations(&network.url).await?;
    compare(settings, &network, None, kind, raw, targets).await
}

async fn with_registry(
    settings: &Settings,
    kind: Operation,
    raw: raw::RawPattern,
    targets: Targets,
) -> Result<Vec<Measurement>, Failure> {
    let network = Network::start(true).await?;
    let registry = Registry::start(&network).await?;
    compare(settings, &network, Some(&registry), kind, raw, targets).await
}

/// Runs the agents and the raw limit in alternation. The registry must store all messages before the raw limit runs.
async fn compare(
    settings: &Settings,
    network: &Network,
    registry: Option<&Registry>,
    kind: Operation,
    raw: raw::RawPattern,
    targets: Targets,
) -> Result<Vec<Measurement>, Failure> {
    let command = match kind {
        Operation::Send => "send",
        Operation::Request => "request",
    };
    let place = match registry {
        None => "no registry",
        Some(_) => "registry storing",
    };
    let mut limits = raw::RawLimits::start(network).await?;
    let mut sent = 0;
    let mut of_agents: Vec<[Vec<RunOutcome>; 2]> = Vec::new();
    let mut of_raw: [Vec<RunOutcome>; 2] = Default::default();
    for flavor in RuntimeFlavor::BOTH {
        let mut pair = AgentPair::start(&network.url, flavor, Duration::from_secs(600)).await?;
        let mut watched = pair.watched(network.watched()?)?;
        if let Some(registry) = registry {
            watched = watched.and("registry", registry.pid()?);
        }
        let mut outcomes: [Vec<RunOutcome>; 2] = Default::default();
        for _ in 0..settings.repeat {
            for (at, in_flight) in [1, 256].into_iter().enumerate() {
                let run = settings.run(in_flight);
                if flavor == RuntimeFlavor::BOTH[0] {
                    of_raw[at].push(limits.best(raw, run).await?);
                }
                let before = watched.cpu_usage()?;
                let mut outcome = pair.run(kind, run).await?;
                sent += outcome.completed;
                if let Some(registry) = registry {
                    registry.wait_until_stored(sent).await?;
                }
                outcome.cpu_usage = watched.cpu_usage()?.since(&before);
                outcomes[at].push(outcome);
            }
        }
        pair.end().await?;
        of_agents.push(outcomes);
    }
    limits.end().await?;
    let p50 = |outcomes: &[RunOutcome]| median(outcomes.iter().map(|outcome| outcome.latency.micros(0.5)));
    let p99 = |outcomes: &[RunOutcome]| median(outcomes.iter().map(|outcome| outcome.latency.micros(0.99)));
    let rate = |outcomes: &[RunOutcome]| median(outcomes.iter().map(RunOutcome::rate));
    // As for the raw limit, the better runtime flavor counts.
    let one = of_agents.iter().map(|both| &both[0][..]);
    let many = of_agents.iter().map(|both| &both[1][..]);
    let one = one
        .min_by(|a, b| p50(a).total_cmp(&p50(b)))
        .ok_or("nothing was measured")?;
    let many = many
        .max_by(|a, b| rate(a).total_cmp(&rate(b)))
        .ok_or("nothing was measured")?;
    let in_flight = format!("{place}, 256 in flight");
    let mut measurements = vec![
        Measurement::new(command, format!("{place}, sequential p50"), "us", p50(one))
            .raw(p50(&of_raw[0]))
            .target(Target::ShareAtMost(targets.p50)),
        Measurement::new(command, format!("{place}, sequential p99"), "us", p99(one)).raw(p99(&of_raw[0])),
        Measurement::new(command, in_flight.as_str(), "/s", rate(many))
            .raw(rate(&of_raw[1]))
            .target(Target::ShareAtLeast(targets.rate)),
        Measurement::new(command, format!("{in_flight} p99"), "us", p99(many)).raw(p99(&of_raw[1])),
    ];
    measurements.extend(costs(command, &in_flight, many, &of_raw[1]));
    Ok(measurements)
}
