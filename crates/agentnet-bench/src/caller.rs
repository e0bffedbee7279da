//! Calls of the registry, as a load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentnet_testkit::RawClient;
use async_nats::{Client, Subject};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::figure::{Figure, median};
use crate::network::Network;
use crate::processes::Watched;
use crate::role::{Flavour, Player, Role, Stage};
use crate::run::{Outcome, Run, costs};
use crate::tasks;

/// Calls what it is asked to call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Caller {
    pub(crate) url: String,
}

/// One call, again and again with another number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The RPC's name.
    pub(crate) rpc: String,
    /// Its request; `{n}` stands for the number.
    pub(crate) request: String,
    /// What the reply must hold; `{n}` again.
    pub(crate) expect: String,
    pub(crate) numbers: Numbers,
}

/// The numbers of calls.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Numbers {
    /// Each from 0 to below this one is as likely.
    Random(u64),
    /// One after the other, from this one on.
    From(u64),
}

impl Caller {
    pub(crate) async fn play(self, stage: &mut Stage) -> Result<(), Failure> {
        let client = RawClient::connect(&self.url).await?;
        stage.ready().await?;
        while let Some((call, run)) = stage.next::<(Call, Run)>().await? {
            stage.answer(&calls(&client, call, run).await?).await?;
        }
        Ok(())
    }
}

async fn calls(client: &Client, call: Call, run: Run) -> Result<Outcome, Failure> {
    let made = Arc::new(AtomicU64::new(0));
    let subject = Subject::from(format!("registry.{}", call.rpc));
    let (client, call) = (client.clone(), Arc::new(call));
    tasks::run(run, move || {
        let (client, subject, call, made) = (client.clone(), subject.clone(), call.clone(), made.clone());
        async move {
            let number = match call.numbers {
                Numbers::Random(below) => rand::random_range(0..below.max(1)),
                Numbers::From(first) => first + made.fetch_add(1, Ordering::Relaxed),
            };
            let number = number.to_string();
            // As with the raw limit, the client itself waits no longer than 10 seconds.
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

/// Callers on both of tokio's schedulers, as the raw limits have them.
#[derive(Debug)]
pub(crate) struct Callers {
    players: Vec<Player>,
    watched: Watched,
}

impl Callers {
    /// `watched` are those whose time counts besides the callers'.
    pub(crate) async fn start(network: &Network, watched: Watched) -> Result<Self, Failure> {
        let mut players = Vec::new();
        for flavour in Flavour::BOTH {
            let url = network.url.clone();
            players.push(Player::start(Role::Caller(Caller { url }), flavour).await?);
        }
        Ok(Self { players, watched })
    }

    /// Runs a call with both; numbers that go on do so over all runs.
    pub(crate) async fn run(&mut self, call: &Call, run: Run, repeat: usize) -> Result<Calls, Failure> {
        let mut call = call.clone();
        let mut calls = Calls {
            of_each: Vec::new(),
            completed: 0,
        };
        for player in &mut self.players {
            let watched = self.watched.clone().and("sender", player.pid()?);
            let mut outcomes: Vec<Outcome> = Vec::new();
            for _ in 0..repeat {
                let before = watched.spent()?;
                let mut outcome: Outcome = player.ask(&(&call, run)).await?;
                outcome.spent = watched.spent()?.since(&before);
                calls.completed += outcome.completed;
                if let Numbers::From(next) = &mut call.numbers {
                    *next += outcome.completed;
                }
                outcomes.push(outcome);
            }
            calls.of_each.push(outcomes);
        }
        Ok(calls)
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        for player in self.players {
            player.dismiss().await?;
        }
        Ok(())
    }
}

/// What came of them.
#[derive(Debug)]
pub(crate) struct Calls {
    of_each: Vec<Vec<Outcome>>,
    pub(crate) completed: u64,
}

impl Calls {
    /// The median rate of the better scheduler.
    pub(crate) fn rate(&self) -> f64 {
        let rates = self
            .of_each
            .iter()
            .map(|outcomes| median(outcomes.iter().map(Outcome::rate)));
        rates.fold(f64::NAN, f64::max)
    }

    /// What one call took each process, beside the same with the raw limit.
    pub(crate) fn costs(&self, command: &str, name: &str, raw: &[Outcome]) -> Vec<Figure> {
        let rate = |outcomes: &&Vec<Outcome>| median(outcomes.iter().map(Outcome::rate));
        let best = self.of_each.iter().max_by(|a, b| rate(a).total_cmp(&rate(b)));
        best.map_or_else(Vec::new, |outcomes| costs(command, name, outcomes, raw))
    }

    /// The median of a percentile with the better scheduler, in microseconds.
    pub(crate) fn micros(&self, share: f64) -> f64 {
        let of = |outcomes: &Vec<Outcome>| median(outcomes.iter().map(|outcome| outcome.latency.micros(share)));
        self.of_each.iter().map(of).fold(f64::NAN, f64::min)
    }

    /// p50 and p99 in milliseconds.
    pub(crate) fn times(&self, command: &str, name: &str) -> [Figure; 2] {
        [("p50", 0.5), ("p99", 0.99)].map(|(percentile, share)| {
            Figure::new(
                command,
                format!("{name}, {percentile}"),
                "ms",
                self.micros(share) / 1000.0,
            )
        })
    }
}
