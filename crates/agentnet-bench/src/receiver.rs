//! `agentnet-bench receiver`: whether a message costs the same after many as after few.
//!
//! One receiver takes the many and remembers the id of each. Beside it there is one that remembers only the last second's.
//! Then both take messages in turn, so that what else happens on the machine happens to both.

use std::time::Duration;

use crate::Failure;
use crate::agents::Kind;
use crate::cli::Settings;
use crate::figure::{Figure, Target, median};
use crate::messages::Pair;
use crate::network::{Network, answer_registrations};
use crate::processes;
use crate::role::Flavour;
use crate::run::{Outcome, Run};

/// Longer than this benchmark takes.
const FOREVER: Duration = Duration::from_secs(3600);
/// How long the other receiver remembers ids.
const SHORT: Duration = Duration::from_secs(1);
/// Windows that each receiver has for each repeat.
const WINDOWS: usize = 4;

pub(crate) async fn run(settings: &Settings, messages: u64) -> Result<Vec<Figure>, Failure> {
    let network = Network::start(false).await?;
    answer_registrations(&network.url).await?;
    let window = Run {
        in_flight: 256,
        bytes: settings.bytes,
        warm_up: Duration::ZERO,
        measured: Duration::from_secs_f64(settings.seconds / 3.0),
    };
    let mut many = Receiver::start(&network, "receiver_of_many", FOREVER).await?;
    while many.taken < messages {
        many.take(window).await?;
    }
    let taken = many.taken;
    let mut few = Receiver::start(&network, "receiver_of_few", SHORT).await?;
    let since = std::time::Instant::now();
    let (mut of_many, mut of_few) = (Vec::new(), Vec::new());
    let mut level = None;
    while of_few.len() < WINDOWS * settings.repeat || since.elapsed() < 4 * SHORT {
        of_many.push(many.take(window).await?);
        of_few.push(few.take(window).await?);
        let half_way = of_few.len() >= WINDOWS * settings.repeat / 2 && since.elapsed() >= 2 * SHORT;
        if half_way && level.is_none() {
            level = Some(few.memory()?);
        }
    }
    let (memory, end) = (many.memory()?, few.memory()?);
    many.end().await?;
    few.end().await?;
    let rate = |windows: &[Outcome]| median(windows.iter().map(Outcome::rate));
    let p50 = |windows: &[Outcome]| median(windows.iter().map(|window| window.latency.micros(0.5)));
    let figure = |name: String, unit, value| Figure::new("receiver", name, unit, value);
    let after = |what: &str| format!("after {taken} messages: {what}");
    Ok(vec![
        figure(after("rate, beside one that remembers few"), "/s", rate(&of_many))
            .raw(rate(&of_few))
            .target(Target::ShareAtLeast(0.95)),
        figure(after("p50, beside one that remembers few"), "us", p50(&of_many))
            .raw(p50(&of_few))
            .target(Target::ShareAtMost(1.05)),
        figure(after("memory, all ids remembered"), "MB", memory),
        figure("memory, few ids remembered, beside that half way".into(), "MB", end)
            .raw(level.unwrap_or(end))
            .target(Target::ShareAtMost(1.05)),
    ])
}

/// One that receives, and its sender.
struct Receiver {
    pair: Pair,
    taken: u64,
}

impl Receiver {
    async fn start(network: &Network, username: &str, dedupe: Duration) -> Result<Self, Failure> {
        Ok(Self {
            pair: Pair::start_as(username, &network.url, Flavour::MultiThread, dedupe).await?,
            taken: 0,
        })
    }

    async fn take(&mut self, window: Run) -> Result<Outcome, Failure> {
        let outcome = self.pair.run(Kind::Send, window).await?;
        self.taken += outcome.completed;
        Ok(outcome)
    }

    /// In MB.
    fn memory(&self) -> Result<f64, Failure> {
        Ok(processes::resident(self.pair.receiver().pid()?)? as f64 / 1e6)
    }

    async fn end(self) -> Result<(), Failure> {
        self.pair.end().await
    }
}
