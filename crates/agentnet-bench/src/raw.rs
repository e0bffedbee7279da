//! `agentnet-bench raw`: the raw limits, measured with async-nats alone.

mod echo;
mod load;
mod pattern;

pub(crate) use echo::{RawResponder, Subjects};
pub(crate) use load::RawSender;
pub(crate) use pattern::RawPattern;

use crate::Failure;
use crate::measurement::{Measurement, median};
use crate::network::Network;
use crate::processes::WatchedProcesses;
use crate::run::{Run, RunOutcome};
use crate::runtime_flavor::RuntimeFlavor;
use crate::settings::Settings;
use crate::worker_process::Worker;

/// A sender and a responder of one runtime flavor on a server.
#[derive(Debug)]
pub(crate) struct RawPair {
    sender: Worker,
    responder: Worker,
    watched: WatchedProcesses,
}

impl RawPair {
    pub(crate) async fn start(network: &Network, flavor: RuntimeFlavor) -> Result<Self, Failure> {
        let (url, subjects) = (network.url.clone(), Subjects::new(flavor.name()));
        let responder = RawResponder {
            url: url.clone(),
            subjects: subjects.clone(),
        };
        let responder = Worker::start(responder, flavor).await?;
        let sender = Worker::start(RawSender { url, subjects }, flavor).await?;
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

    /// Runs once. Fails unless every message was answered.
    pub(crate) async fn run(&mut self, kind: RawPattern, run: Run) -> Result<RunOutcome, Failure> {
        let before: u64 = self.responder.ask(&()).await?;
        let before_run = self.watched.cpu_usage()?;
        let mut outcome: RunOutcome = self.sender.ask(&(kind, run)).await?;
        outcome.cpu_usage = self.watched.cpu_usage()?.since(&before_run);
        let after: u64 = self.responder.ask(&()).await?;
        if kind != RawPattern::Publish && after - before != outcome.completed {
            let answered = after - before;
            return Err(format!("raw {}: sent {}, answered {answered}", kind.name(), outcome.completed).into());
        }
        Ok(outcome)
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.sender.stop().await?;
        self.responder.stop().await
    }
}

/// Measures the raw limits of a server with both runtime flavors; the better one counts.
#[derive(Debug)]
pub(crate) struct RawLimits(Vec<RawPair>);

impl RawLimits {
    pub(crate) async fn start(network: &Network) -> Result<Self, Failure> {
        let mut pairs = Vec::new();
        for flavor in RuntimeFlavor::BOTH {
            pairs.push(RawPair::start(network, flavor).await?);
        }
        Ok(Self(pairs))
    }

    /// The better run of the two flavors: by the median latency with one in flight, by the rate with more.
    pub(crate) async fn best(&mut self, kind: RawPattern, run: Run) -> Result<RunOutcome, Failure> {
        let mut best: Option<RunOutcome> = None;
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
        best.ok_or_else(|| "no flavor".into())
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        for pair in self.0 {
            pair.end().await?;
        }
        Ok(())
    }
}

/// `agentnet-bench raw`.
pub(crate) async fn run(settings: &Settings) -> Result<Vec<Measurement>, Failure> {
    let network = Network::start(false).await?;
    let mut measurements = Vec::new();
    for flavor in RuntimeFlavor::BOTH {
        let mut pair = RawPair::start(&network, flavor).await?;
        for kind in RawPattern::MEASURED {
            for in_flight in [1, 64, 256] {
                let mut runs = Vec::new();
                for _ in 0..settings.repeat {
                    runs.push(pair.run(kind, settings.run(in_flight)).await?);
                }
                let name = format!("{} {}, {in_flight} in flight", kind.name(), flavor.name());
                let p50 = median(runs.iter().map(|run| run.latency.micros(0.5)));
                let p99 = median(runs.iter().map(|run| run.latency.micros(0.99)));
                measurements.push(Measurement::new(
                    "raw",
                    format!("{name}: rate"),
                    "/s",
                    median(runs.iter().map(RunOutcome::rate)),
                ));
                measurements.push(Measurement::new("raw", format!("{name}: p50"), "us", p50));
                measurements.push(Measurement::new("raw", format!("{name}: p99"), "us", p99));
            }
        }
        pair.end().await?;
    }
    Ok(measurements)
}
