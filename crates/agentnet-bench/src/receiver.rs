//! `agentnet-bench receiver`: whether the cost of a message grows with the number of messages received.
//!
//! One receiver gets many messages and remembers every id. A second one remembers only the ids of the last second. Then both
//! get messages in alternation, so that other load on the machine affects both.

use std::time::Duration;

use crate::Failure;
use crate::agents::Operation;
use crate::measurement::{Measurement, Target, median};
use crate::messages::AgentPair;
use crate::network::{Network, answer_registrations};
use crate::processes;
use crate::run::{Run, RunOutcome};
use crate::runtime_flavor::RuntimeFlavor;
use crate::settings::Settings;

/// Longer than this benchmark takes.
const LONG_DEDUPE: Duration = Duration::from_secs(3600);
/// How long the second receiver remembers ids.
const SHORT_DEDUPE: Duration = Duration::from_secs(1);
/// Measured windows per receiver and repeat.
const WINDOWS: usize = 4;

pub(crate) async fn run(settings: &Settings, messages: u64) -> Result<Vec<Measurement>, Failure> {
    let network = Network::start(false).await?;
    answer_registrations(&network.url).await?;
    let window = Run {
        in_flight: 256,
        bytes: settings.bytes,
        warm_up: Duration::ZERO,
        measured: Duration::from_secs_f64(settings.seconds / 3.0),
    };
    let mut many = MeasuredReceiver::start(&network, "receiver_of_many", LONG_DEDUPE).await?;
    while many.taken < messages {
        many.take(window).await?;
    }
    let taken = many.taken;
    let mut few = MeasuredReceiver::start(&network, "receiver_of_few", SHORT_DEDUPE).await?;
    let since = std::time::Instant::now();
    let (mut of_many, mut of_few) = (Vec::new(), Vec::new());
    let mut level = None;
    while of_few.len() < WINDOWS * settings.repeat || since.elapsed() < 4 * SHORT_DEDUPE {
        of_many.push(many.take(window).await?);
        of_few.push(few.take(window).await?);
        let half_way = of_few.len() >= WINDOWS * settings.repeat / 2 && since.elapsed() >= 2 * SHORT_DEDUPE;
        if half_way && level.is_none() {
            level = Some(few.memory()?);
        }
    }
    let (memory, end) = (many.memory()?, few.memory()?);
    many.end().await?;
    few.end().await?;
    let rate = |windows: &[RunOutcome]| median(windows.iter().map(RunOutcome::rate));
    let p50 = |windows: &[RunOutcome]| median(windows.iter().map(|window| window.latency.micros(0.5)));
    let measurement = |name: String, unit, value| Measurement::new("receiver", name, unit, value);
    let after = |what: &str| format!("after {taken} messages: {what}");
    Ok(vec![
        measurement(after("rate, beside one that remembers few"), "/s", rate(&of_many))
            .raw(rate(&of_few))
            .target(Target::ShareAtLeast(0.95)),
        measurement(after("p50, beside one that remembers few"), "us", p50(&of_many))
            .raw(p50(&of_few))
            .target(Target::ShareAtMost(1.05)),
        measurement(after("memory, all ids remembered"), "MB", memory),
        measurement("memory, few ids remembered, beside that half way".into(), "MB", end)
            .raw(level.unwrap_or(end))
            .target(Target::ShareAtMost(1.05)),
    ])
}

/// A receiver and its sender.
struct MeasuredReceiver {
    pair: AgentPair,
    taken: u64,
}

impl MeasuredReceiver {
    async fn start(network: &Network, username: &str, dedupe: Duration) -> Result<Self, Failure> {
        Ok(Self {
            pair: AgentPair::start_as(username, &network.url, RuntimeFlavor::MultiThread, dedupe).await?,
            taken: 0,
        })
    }

    async fn take(&mut self, window: Run) -> Result<RunOutcome, Failure> {
        let outcome = self.pair.run(Operation::Send, window).await?;
        self.taken += outcome.completed;
        Ok(outcome)
    }

    /// Resident memory in MB.
    fn memory(&self) -> Result<f64, Failure> {
        Ok(processes::resident(self.pair.receiver().pid()?)? as f64 / 1e6)
    }

    async fn end(self) -> Result<(), Failure> {
        self.pair.end().await
    }
}
