//! `agentnet-bench receiver`: whether a message costs the same after many as after few.

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

/// Ids are forgotten after this, so that the memory can be seen to stay level.
const DEDUPE: Duration = Duration::from_secs(10);
/// Of the first messages and of the last.
const WINDOWS: usize = 5;

pub(crate) async fn run(settings: &Settings, messages: u64) -> Result<Vec<Figure>, Failure> {
    let network = Network::start(false).await?;
    answer_registrations(&network.url).await?;
    let mut pair = Pair::start(&network.url, Flavour::MultiThread, DEDUPE).await?;
    let window = Run {
        in_flight: 256,
        bytes: settings.bytes,
        warm_up: Duration::ZERO,
        measured: Duration::from_millis(500),
    };
    let mut sent = pair.run(Kind::Send, window).await?.completed;
    let mut windows = Vec::new();
    let mut memory = Vec::new();
    while sent < messages || windows.len() < 4 * WINDOWS {
        let outcome = pair.run(Kind::Send, window).await?;
        sent += outcome.completed;
        windows.push(outcome);
        memory.push(processes::resident(pair.receiver().pid()?)? as f64 / 1e6);
    }
    pair.end().await?;
    let rate = |windows: &[Outcome]| median(windows.iter().map(Outcome::rate));
    let p50 = |windows: &[Outcome]| median(windows.iter().map(|window| window.latency.micros(0.5)));
    let (first, last) = (&windows[..WINDOWS], &windows[windows.len() - WINDOWS..]);
    let middle = memory[memory.len() / 2];
    let end = memory[memory.len() - 1];
    let figure =
        |name: &str, unit, value| Figure::new("receiver", format!("after {sent} messages: {name}"), unit, value);
    Ok(vec![
        figure("rate, beside the first", "/s", rate(last))
            .raw(rate(first))
            .target(Target::ShareAtLeast(0.95)),
        figure("p50, beside the first", "us", p50(last))
            .raw(p50(first))
            .target(Target::ShareAtMost(1.05)),
        figure("memory, beside half way", "MB", end)
            .raw(middle)
            .target(Target::ShareAtMost(1.05)),
    ])
}
