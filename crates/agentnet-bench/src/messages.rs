//! `agentnet-bench send` and `request`: from one agent to another, beside the raw limit of the same server.

use std::time::Duration;

use crate::Failure;
use crate::agents::{self, Kind};
use crate::cli::Settings;
use crate::figure::{Figure, Target, median};
use crate::network::{Network, Registry, answer_registrations};
use crate::processes::Watched;
use crate::role::{Flavour, Player, Role};
use crate::run::{Outcome, Run, costs};
use crate::{processes, raw};

/// What a message has around its payload, in bytes.
const FRAME: usize = 524;

/// What may be asked of a figure.
#[derive(Debug, Clone, Copy)]
struct Targets {
    /// Of the raw p50, one after the other.
    p50: f64,
    /// Of the raw rate, 256 in flight.
    rate: f64,
}

/// A sending and a receiving agent on a network.
#[derive(Debug)]
pub(crate) struct Pair {
    sender: Player,
    receiver: Player,
}

impl Pair {
    pub(crate) async fn start(url: &str, flavour: Flavour, dedupe: Duration) -> Result<Self, Failure> {
        Self::start_as("bench_receiver", url, flavour, dedupe).await
    }

    /// With a receiver of that username.
    pub(crate) async fn start_as(
        username: &str,
        url: &str,
        flavour: Flavour,
        dedupe: Duration,
    ) -> Result<Self, Failure> {
        let receiver = agents::Receiver {
            url: url.to_owned(),
            username: username.to_owned(),
            dedupe,
        };
        let sender = agents::Sender {
            url: url.to_owned(),
            receiver: username.to_owned(),
        };
        let receiver = Player::start(Role::AgentReceiver(receiver), flavour).await?;
        let sender = Player::start(Role::AgentSender(sender), flavour).await?;
        Ok(Self { sender, receiver })
    }

    /// One run; what was sent and what was handled must be the same.
    pub(crate) async fn run(&mut self, kind: Kind, run: Run) -> Result<Outcome, Failure> {
        let before: u64 = self.receiver.ask(&()).await?;
        let outcome: Outcome = self.sender.ask(&(kind, run)).await?;
        // A receipt comes before the handling.
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

    /// The time that both have spent on processors.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        Ok(processes::cpu(self.sender.pid()?)? + processes::cpu(self.receiver.pid()?)?)
    }

    /// Both, to be watched beside others.
    fn watched(&self, others: Watched) -> Result<Watched, Failure> {
        Ok(others
            .and("sender", self.sender.pid()?)
            .and("receiver", self.receiver.pid()?))
    }

    pub(crate) fn receiver(&self) -> &Player {
        &self.receiver
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.sender.dismiss().await?;
        self.receiver.dismiss().await
    }
}

/// `agentnet-bench send`: without a registry, and with one that stores every message.
pub(crate) async fn send(settings: &Settings) -> Result<Vec<Figure>, Failure> {
    let alone = Targets { p50: 1.35, rate: 0.45 };
    let mut figures = bare(settings, Kind::Send, raw::Kind::TwoLeg, alone).await?;
    let stored = Targets { p50: 1.6, rate: 0.25 };
    figures.extend(with_registry(settings, Kind::Send, raw::Kind::TwoLeg, stored).await?);
    figures.push(receipts_alone(settings).await?);
    Ok(figures)
}

/// `agentnet-bench request`.
pub(crate) async fn request(settings: &Settings) -> Result<Vec<Figure>, Failure> {
    let targets = Targets { p50: 1.35, rate: 0.5 };
    bare(settings, Kind::Request, raw::Kind::Request, targets).await
}

/// What nobody can beat who sends what the protocol asks for: a message and two receipts, as bytes that nobody looks at.
async fn receipts_alone(settings: &Settings) -> Result<Figure, Failure> {
    let network = Network::start(false).await?;
    let mut limits = raw::Limits::start(&network).await?;
    let (mut pings, mut receipts) = (Vec::new(), Vec::new());
    for _ in 0..settings.repeat {
        pings.push(limits.best(raw::Kind::TwoLeg, settings.run(256)).await?.rate());
        let run = Run {
            bytes: settings.bytes + FRAME,
            ..settings.run(256)
        };
        receipts.push(limits.best(raw::Kind::Receipts, run).await?.rate());
    }
    limits.end().await?;
    let name = "NATS alone, a message and two receipts, 256 in flight";
    Ok(Figure::new("send", name, "/s", median(receipts)).raw(median(pings)))
}

async fn bare(settings: &Settings, kind: Kind, raw: raw::Kind, targets: Targets) -> Result<Vec<Figure>, Failure> {
    let network = Network::start(false).await?;
    answer_registrations(&network.url).await?;
    compare(settings, &network, None, kind, raw, targets).await
}

async fn with_registry(
    settings: &Settings,
    kind: Kind,
    raw: raw::Kind,
    targets: Targets,
) -> Result<Vec<Figure>, Failure> {
    let network = Network::start(true).await?;
    let registry = Registry::start(&network).await?;
    compare(settings, &network, Some(&registry), kind, raw, targets).await
}

/// Takes both in turn. A registry must have stored all that was sent before the raw limit has its turn.
async fn compare(
    settings: &Settings,
    network: &Network,
    registry: Option<&Registry>,
    kind: Kind,
    raw: raw::Kind,
    targets: Targets,
) -> Result<Vec<Figure>, Failure> {
    let command = match kind {
        Kind::Send => "send",
        Kind::Request => "request",
    };
    let place = match registry {
        None => "no registry",
        Some(_) => "registry storing",
    };
    let mut limits = raw::Limits::start(network).await?;
    let mut sent = 0;
    let mut of_agents: Vec<[Vec<Outcome>; 2]> = Vec::new();
    let mut of_raw: [Vec<Outcome>; 2] = Default::default();
    for flavour in Flavour::BOTH {
        let mut pair = Pair::start(&network.url, flavour, Duration::from_secs(600)).await?;
        let mut watched = pair.watched(network.watched()?)?;
        if let Some(registry) = registry {
            watched = watched.and("registry", registry.pid()?);
        }
        let mut outcomes: [Vec<Outcome>; 2] = Default::default();
        for _ in 0..settings.repeat {
            for (at, in_flight) in [1, 256].into_iter().enumerate() {
                let run = settings.run(in_flight);
                if flavour == Flavour::BOTH[0] {
                    of_raw[at].push(limits.best(raw, run).await?);
                }
                let before = watched.spent()?;
                let mut outcome = pair.run(kind, run).await?;
                sent += outcome.completed;
                if let Some(registry) = registry {
                    registry.has_stored(sent).await?;
                }
                outcome.spent = watched.spent()?.since(&before);
                outcomes[at].push(outcome);
            }
        }
        pair.end().await?;
        of_agents.push(outcomes);
    }
    limits.end().await?;
    let p50 = |outcomes: &[Outcome]| median(outcomes.iter().map(|outcome| outcome.latency.micros(0.5)));
    let p99 = |outcomes: &[Outcome]| median(outcomes.iter().map(|outcome| outcome.latency.micros(0.99)));
    let rate = |outcomes: &[Outcome]| median(outcomes.iter().map(Outcome::rate));
    // As with the raw limit, the better flavour counts.
    let one = of_agents.iter().map(|both| &both[0][..]);
    let many = of_agents.iter().map(|both| &both[1][..]);
    let one = one
        .min_by(|a, b| p50(a).total_cmp(&p50(b)))
        .ok_or("nothing was measured")?;
    let many = many
        .max_by(|a, b| rate(a).total_cmp(&rate(b)))
        .ok_or("nothing was measured")?;
    let in_flight = format!("{place}, 256 in flight");
    let mut figures = vec![
        Figure::new(command, format!("{place}, sequential p50"), "us", p50(one))
            .raw(p50(&of_raw[0]))
            .target(Target::ShareAtMost(targets.p50)),
        Figure::new(command, format!("{place}, sequential p99"), "us", p99(one)).raw(p99(&of_raw[0])),
        Figure::new(command, in_flight.as_str(), "/s", rate(many))
            .raw(rate(&of_raw[1]))
            .target(Target::ShareAtLeast(targets.rate)),
        Figure::new(command, format!("{in_flight} p99"), "us", p99(many)).raw(p99(&of_raw[1])),
    ];
    figures.extend(costs(command, &in_flight, many, &of_raw[1]));
    Ok(figures)
}
