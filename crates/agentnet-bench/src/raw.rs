//! What NATS itself can do: async-nats alone, without anything of ours.

mod echo;
mod load;

use serde::{Deserialize, Serialize};

pub(crate) use echo::{Responder, Subjects};
pub(crate) use load::Sender;

use crate::Failure;
use crate::cli::Settings;
use crate::figure::{Figure, median};
use crate::network::Network;
use crate::processes::Watched;
use crate::role::{Flavour, Player, Role};
use crate::run::{Outcome, Run};

/// How messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A request and its reply, through the client's own request.
    Request,
    /// A message to another process, which publishes one back: what a message with a receipt cannot beat.
    TwoLeg,
    /// As that, answered twice: what a message with its two receipts cannot beat.
    Receipts,
    /// A message to a subject that the sender itself listens to.
    Publish,
}

impl Kind {
    /// Those that `agentnet-bench raw` measures.
    const MEASURED: [Self; 3] = [Self::Request, Self::TwoLeg, Self::Publish];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Request => "request/reply",
            Self::TwoLeg => "two-leg ping",
            Self::Receipts => "ping with two receipts",
            Self::Publish => "publish/subscribe",
        }
    }
}

/// Sender and responder of one flavour on a server.
#[derive(Debug)]
pub(crate) struct Pair {
    sender: Player,
    responder: Player,
    watched: Watched,
}

impl Pair {
    pub(crate) async fn start(network: &Network, flavour: Flavour) -> Result<Self, Failure> {
        let (url, subjects) = (network.url.clone(), Subjects::new(flavour.name()));
        let responder = Responder {
            url: url.clone(),
            subjects: subjects.clone(),
        };
        let responder = Player::start(Role::RawResponder(responder), flavour).await?;
        let sender = Player::start(Role::RawSender(Sender { url, subjects }), flavour).await?;
        let watched = network
            .watched()?
            .and("sender", sender.pid()?)
            .and("receiver", responder.pid()?);
        Ok(Self {
            sender,
            responder,
            watched,
        })
    }

    /// One run; what was sent and what was answered must be the same.
    pub(crate) async fn run(&mut self, kind: Kind, run: Run) -> Result<Outcome, Failure> {
        let before: u64 = self.responder.ask(&()).await?;
        let spent = self.watched.spent()?;
        let mut outcome: Outcome = self.sender.ask(&(kind, run)).await?;
        outcome.spent = self.watched.spent()?.since(&spent);
        let after: u64 = self.responder.ask(&()).await?;
        if kind != Kind::Publish && after - before != outcome.completed {
            let answered = after - before;
            return Err(format!("raw {}: sent {}, answered {answered}", kind.name(), outcome.completed).into());
        }
        Ok(outcome)
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.sender.dismiss().await?;
        self.responder.dismiss().await
    }
}

/// The raw limits of a server: the better flavour counts.
#[derive(Debug)]
pub(crate) struct Limits(Vec<Pair>);

impl Limits {
    pub(crate) async fn start(network: &Network) -> Result<Self, Failure> {
        let mut pairs = Vec::new();
        for flavour in Flavour::BOTH {
            pairs.push(Pair::start(network, flavour).await?);
        }
        Ok(Self(pairs))
    }

    /// The run of the flavour that did better: by its median time where one is under way, by its rate where more are.
    pub(crate) async fn best(&mut self, kind: Kind, run: Run) -> Result<Outcome, Failure> {
        let mut best: Option<Outcome> = None;
        for pair in &mut self.0 {
            let outcome = pair.run(kind, run).await?;
            let better = best.as_ref().is_none_or(|best| match run.in_flight {
                1 => outcome.latency.micros(0.5) < best.latency.micros(0.5),
                _ => outcome.rate() > best.rate(),
            });
            if better {
                best = Some(outcome);
            }
        }
        best.ok_or_else(|| "no flavour".into())
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        for pair in self.0 {
            pair.end().await?;
        }
        Ok(())
    }
}

/// `agentnet-bench raw`.
pub(crate) async fn run(settings: &Settings) -> Result<Vec<Figure>, Failure> {
    let network = Network::start(false).await?;
    let mut figures = Vec::new();
    for flavour in Flavour::BOTH {
        let mut pair = Pair::start(&network, flavour).await?;
        for kind in Kind::MEASURED {
            for in_flight in [1, 64, 256] {
                let mut runs = Vec::new();
                for _ in 0..settings.repeat {
                    runs.push(pair.run(kind, settings.run(in_flight)).await?);
                }
                let name = format!("{} {}, {in_flight} in flight", kind.name(), flavour.name());
                let p50 = median(runs.iter().map(|run| run.latency.micros(0.5)));
                let p99 = median(runs.iter().map(|run| run.latency.micros(0.99)));
                figures.push(Figure::new(
                    "raw",
                    format!("{name}: rate"),
                    "/s",
                    median(runs.iter().map(Outcome::rate)),
                ));
                figures.push(Figure::new("raw", format!("{name}: p50"), "us", p50));
                figures.push(Figure::new("raw", format!("{name}: p99"), "us", p99));
            }
        }
        pair.end().await?;
    }
    Ok(figures)
}
