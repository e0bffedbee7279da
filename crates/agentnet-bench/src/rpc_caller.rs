//! Registry calls as a load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentnet_testkit::RawClient;
use async_nats::{Client, Subject};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::closed_loop;
use crate::measurement::{Measurement, median};
use crate::network::Network;
use crate::processes::WatchedProcesses;
use crate::run::{Run, RunOutcome, costs};
use crate::runtime_flavor::RuntimeFlavor;
use crate::worker_process::{Worker, WorkerIo, WorkerTask};

/// Makes the calls that its commands describe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RpcCaller {
    pub(crate) url: String,
}

/// A call that is repeated with different numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RpcCall {
    /// The RPC's name.
    pub(crate) rpc: String,
    /// The request; `{n}` stands for the number.
    pub(crate) request: String,
    /// What the reply must contain; `{n}` stands for the number.
    pub(crate) expect: String,
    pub(crate) numbers: Numbers,
}

/// The numbers of calls.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Numbers {
    /// Random, from 0 to below this number.
    Random(u64),
    /// Consecutive, from this number on.
    From(u64),
}

impl WorkerTask for RpcCaller {
    const NAME: &'static str = "rpc_caller";

    async fn run(self, io: &mut WorkerIo) -> Result<(), Failure> {
        let client = RawClient::connect(&self.url).await?;
        io.ready().await?;
        while let Some((call, run)) = io.next_command::<(RpcCall, Run)>().await? {
            io.reply(&calls(&client, call, run).await?).await?;
        }
        Ok(())
    }
}

async fn calls(client: &Client, call: RpcCall, run: Run) -> Result<RunOutcome, Failure> {
    let made = Arc::new(AtomicU64::new(0));
    let subject = Subject::from(format!("registry.{}", call.rpc));
    let (client, call) = (client.clone(), Arc::new(call));
    closed_loop::run(run, move || {
        let (client, subject, call, made) = (client.clone(), subject.clone(), call.clone(), made.clone());
        async move {
            let number = match call.numbers {
                Numbers::Random(below) => rand::random_range(0..below.max(1)),
                Numbers::From(first) => first + made.fetch_add(1, Ordering::Relaxed),
            };
            let number = number.to_string();
            // As for the raw limit, the client itself has a timeout of 10 seconds.
            let reply = client
                .request(subject, call.request.replace("{n}", &number).into())
                .await?;
            let text = std::str::from_utf8(&reply.payload)?;
            if text.starts_with(r#"{"error""#) || !text.contains(&call.expect.replace("{n}", &number)) {
                let begin: String = text.chars().take(200).collect();
                return Err(format!("{} {number}: {begin}", call.rpc).into());
            }
            Ok(())
        }
    })
    .await
}

/// Callers with both runtime flavors, as for the raw limits.
#[derive(Debug)]
pub(crate) struct RpcCallers {
    workers: Vec<Worker>,
    watched: WatchedProcesses,
}

impl RpcCallers {
    /// `watched` are the processes whose CPU time counts beside the callers'.
    pub(crate) async fn start(network: &Network, watched: WatchedProcesses) -> Result<Self, Failure> {
        let mut workers = Vec::new();
        for flavor in RuntimeFlavor::BOTH {
            let url = network.url.clone();
            workers.push(Worker::start(RpcCaller { url }, flavor).await?);
        }
        Ok(Self { workers, watched })
    }

    /// Runs a call with both flavors; consecutive numbers continue over all runs.
    pub(crate) async fn run(&mut self, call: &RpcCall, run: Run, repeat: usize) -> Result<CallOutcomes, Failure> {
        let mut call = call.clone();
        let mut calls = CallOutcomes {
            by_flavor: Vec::new(),
            completed: 0,
        };
        for worker in &mut self.workers {
            let watched = self.watched.clone().and("sender", worker.pid()?);
            let mut outcomes: Vec<RunOutcome> = Vec::new();
            for _ in 0..repeat {
                let before = watched.cpu_usage()?;
                let mut outcome: RunOutcome = worker.ask(&(&call, run)).await?;
                outcome.cpu_usage = watched.cpu_usage()?.since(&before);
                calls.completed += outcome.completed;
                if let Numbers::From(next) = &mut call.numbers {
                    *next += outcome.completed;
                }
                outcomes.push(outcome);
            }
            calls.by_flavor.push(outcomes);
        }
        Ok(calls)
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        for worker in self.workers {
            worker.stop().await?;
        }
        Ok(())
    }
}

/// The outcomes of the runs with each flavor.
#[derive(Debug)]
pub(crate) struct CallOutcomes {
    by_flavor: Vec<Vec<RunOutcome>>,
    pub(crate) completed: u64,
}

impl CallOutcomes {
    /// The median rate with the better flavor.
    pub(crate) fn rate(&self) -> f64 {
        let rates = self
            .by_flavor
            .iter()
            .map(|outcomes| median(outcomes.iter().map(RunOutcome::rate)));
        rates.fold(f64::NAN, f64::max)
    }

    /// CPU time per call and process, beside that of the raw limit.
    pub(crate) fn costs(&self, command: &str, name: &str, raw: &[RunOutcome]) -> Vec<Measurement> {
        let rate = |outcomes: &&Vec<RunOutcome>| median(outcomes.iter().map(RunOutcome::rate));
        let best = self.by_flavor.iter().max_by(|a, b| rate(a).total_cmp(&rate(b)));
        best.map_or_else(Vec::new, |outcomes| costs(command, name, outcomes, raw))
    }

    /// The median of a percentile with the better flavor, in microseconds.
    pub(crate) fn micros(&self, share: f64) -> f64 {
        let of = |outcomes: &Vec<RunOutcome>| median(outcomes.iter().map(|outcome| outcome.latency.micros(share)));
        self.by_flavor.iter().map(of).fold(f64::NAN, f64::min)
    }

    /// p50 and p99, in milliseconds.
    pub(crate) fn times(&self, command: &str, name: &str) -> [Measurement; 2] {
        [("p50", 0.5), ("p99", 0.99)].map(|(percentile, share)| {
            Measurement::new(
                command,
                format!("{name}, {percentile}"),
                "ms",
                self.micros(share) / 1000.0,
            )
        })
    }
}
