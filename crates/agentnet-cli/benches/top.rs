//! What `agentnet top` costs on a large network: `cargo bench -p agentnet-cli --bench top`.
//!
//! Against a real nats-server and registry (`agentnet up`), so many agents say hello every 12 seconds, and messages pass
//! between them, each with its two receipts. `top` runs on a terminal of 200x50 and is typed to all the while. Printed are
//! the share of a core that it took, its memory, and how long a key took to show. It fails where that is more than half a
//! core, 100 MB or a second.
//!
//! `-- --agents 10000 --rate 2000 --seconds 30` are the defaults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;
mod load;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use agentnet_testkit::RawClient;
use harness::Up;
use harness::pty::Terminal;
use load::{Load, Usage};

#[tokio::main]
async fn main() -> ExitCode {
    let load = Load::read(30);
    let mut up = Up::start().await;
    let client = RawClient::connect(&up.url).await.unwrap();
    let senders = tokio::spawn(load.send(client));

    let mut command = harness::binary();
    command.args(["--nats-url", &up.url, "top"]);
    let mut top = Terminal::spawn(command, 200, 50);
    top.shows(&format!("{} online", load.agents)).await;

    let began = Instant::now();
    let usage = Usage::of(top.pid());
    let mut waits = Vec::new();
    while began.elapsed() < Duration::from_secs(load.seconds) {
        for (view, shown) in [("1", "by activity"), ("2", "Space pause  s S"), ("3", "PARTICIPANTS")] {
            waits.push(until(&mut top, view, shown).await);
            waits.push(until(&mut top, "?", "circuit breaker open").await);
            waits.push(until(&mut top, "x", "q quit").await);
            // No person types faster, and the view must be drawn a few times.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    println!("{}", top.text().lines().take(8).collect::<Vec<_>>().join("\n"));
    waits.sort();
    let (median, slowest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!();
    println!("agents {}, messages/s {}", load.agents, load.rate);
    let (share, most) = usage.tell();
    println!(
        "keys     {} pressed, shown after {median:?} (median), {slowest:?} (slowest)",
        waits.len()
    );

    top.type_text("q").await;
    let ended = top.ended().await;
    senders.abort();
    up.stop().await;
    let good = ended.success() && share < 0.5 && most < 100.0 && slowest < Duration::from_secs(1);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Types a key; how long it took until the screen showed what it should.
async fn until(top: &mut Terminal, key: &str, shown: &str) -> Duration {
    let began = Instant::now();
    top.type_text(key).await;
    while !top.text().contains(shown) {
        assert!(
            began.elapsed() < harness::WAIT_TIMEOUT,
            "no answer to `{key}`:\n{}",
            top.text()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    began.elapsed()
}
