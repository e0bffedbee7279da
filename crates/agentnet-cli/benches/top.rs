//! What `agentnet top` costs on a large network: `cargo bench -p agentnet-cli --bench top`.
//!
//! Against a real nats-server and registry (`agentnet up`), so many agents say hello every 12 seconds, and messages pass
//! between them, each with its two receipts. `top` runs on a terminal of 200x50 and is typed to all the while. Printed are
//! the share of a core that it took, its memory, and how long a key took to show. It fails where that is more than half a
//! core, 100 MB or a second.
//!
//! `-- --agents 10000 --rate 2000 --seconds 30` are the defaults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use agentnet_protocol::compose::Sender;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::{AgentCounters, AgentInfo, Envelope, Receipt, ReceiptStatus, Text, Timestamp, subject};
use agentnet_testkit::RawClient;
use async_nats::Client;
use harness::Up;
use harness::pty::Terminal;

const HEARTBEAT: Duration = Duration::from_secs(12);
/// So often a part of the load is sent.
const SLICE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy)]
struct Load {
    agents: usize,
    rate: usize,
    seconds: u64,
}

impl Load {
    fn read() -> Self {
        let words: Vec<String> = std::env::args().collect();
        let number = |name: &str, default: usize| {
            let at = words.iter().position(|word| word == name);
            at.map_or(default, |at| words[at + 1].parse().expect("a number"))
        };
        Self {
            agents: number("--agents", 10_000),
            rate: number("--rate", 2_000),
            seconds: number("--seconds", 30) as u64,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let load = Load::read();
    let mut up = Up::start().await;
    let client = RawClient::connect(&up.url).await.unwrap();
    let senders = tokio::spawn(send(client, load));

    let mut command = harness::binary();
    command.args(["--nats-url", &up.url, "top"]);
    let mut top = Terminal::spawn(command, 200, 50);
    top.shows(&format!("{} online", load.agents)).await;

    let began = Instant::now();
    let before = cpu(top.pid());
    let mut waits = Vec::new();
    while began.elapsed() < Duration::from_secs(load.seconds) {
        for (view, shown) in [("1", "by activity"), ("2", "Space pause  1"), ("3", "PARTICIPANTS")] {
            waits.push(until(&mut top, view, shown).await);
            waits.push(until(&mut top, "?", "circuit breaker open").await);
            waits.push(until(&mut top, "x", "q quit").await);
            // Nobody types faster, and the view is to be drawn a few times.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    let (wall, used) = (began.elapsed(), cpu(top.pid()) - before);
    let share = used.as_secs_f64() / wall.as_secs_f64();
    let (resident, most) = memory(top.pid());
    println!("{}", top.text().lines().take(8).collect::<Vec<_>>().join("\n"));
    waits.sort();
    let (median, slowest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!();
    println!(
        "agents {}, messages/s {}, {:.1} s",
        load.agents,
        load.rate,
        wall.as_secs_f64()
    );
    println!(
        "cpu      {:.1} % of a core ({:.2} s)",
        100.0 * share,
        used.as_secs_f64()
    );
    println!("memory   {resident:.1} MB resident, {most:.1} MB at most");
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
            began.elapsed() < harness::PATIENCE,
            "no answer to `{key}`:\n{}",
            top.text()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    began.elapsed()
}

/// The time that a process has spent on a processor.
fn cpu(pid: i32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The memory of a process, now and at most, in MB.
fn memory(pid: i32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| -> f64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

/// Hellos and messages, for ever.
async fn send(client: Client, load: Load) {
    let began = Instant::now();
    let mut tick = tokio::time::interval(SLICE);
    let (mut hellos, mut messages) = (0_usize, 0_usize);
    // All say hello at once, then each in its turn.
    for agent in 0..load.agents {
        client.publish("registry.hello", hello(agent, 0).into()).await.unwrap();
    }
    loop {
        tick.tick().await;
        let passed = began.elapsed().as_secs_f64();
        while (hellos as f64) < passed * load.agents as f64 / HEARTBEAT.as_secs_f64() {
            let agent = hellos % load.agents;
            client
                .publish("registry.hello", hello(agent, hellos).into())
                .await
                .unwrap();
            hellos += 1;
        }
        while (messages as f64) < passed * load.rate as f64 {
            exchange(&client, messages, load.agents).await;
            messages += 1;
        }
        client.flush().await.unwrap();
    }
}

fn sender(agent: usize) -> Sender {
    Sender {
        agent_id: Text::from_static("load_worker"),
        account_id: format!("acct_load{agent:022}").into(),
        session_tag: format!("registry_LOAD{agent:022}").into(),
    }
}

fn hello(agent: usize, turn: usize) -> String {
    let sender = sender(agent);
    let info = AgentInfo {
        agent_id: sender.agent_id.to_string(),
        name: format!("Load worker {agent}"),
        capabilities: vec!["load".to_owned()],
        account_id: Some(sender.account_id.to_string()),
        username: Some(format!("worker_{agent}")),
        session_tag: Some(sender.session_tag.to_string()),
        last_seen: Some(now().to_string()),
        ..AgentInfo::default()
    };
    let counters = AgentCounters {
        inflight: (turn % 4) as u64,
        processed: turn as u64,
        avg_handle_ms: 1.5,
        ..AgentCounters::default()
    };
    let mut out = ObjectWriter::new();
    info.write(&mut out);
    counters.write(&mut out);
    out.finish()
}

/// A message between two agents, and what its receiver says of it.
async fn exchange(client: &Client, number: usize, agents: usize) {
    // A stride that no number of agents divides visits them all.
    let (from, to) = (sender(number * 7919 % agents), sender((number * 7919 + 1) % agents));
    let message = Envelope {
        message_id: format!("load_{number}_{}", now()).into(),
        from_agent: from.agent_id.clone(),
        to_agent: to.account_id.clone(),
        payload: agentnet_protocol::RawJson::parse(format!(r#"{{"text":"the {number}th message of the load"}}"#))
            .unwrap(),
        sent_at: now().to_string().into(),
        kind: Text::from_static("direct"),
        schema_version: Text::from_static("1.1"),
        from_session_tag: Some(from.session_tag.clone()),
        from_account_id: Some(from.account_id.clone()),
        to_account_id: Some(to.account_id.clone()),
        ttl_ms: Some(30_000),
        thread_id: Some(format!("load_thread_{}", number % 1_000).into()),
        ..Envelope::default()
    };
    client
        .publish(subject::inbox(&to.account_id), message.encode())
        .await
        .unwrap();
    for status in [ReceiptStatus::Accepted, ReceiptStatus::Processed] {
        let receipt = Receipt::for_message(&message, status, None, &to.account_id, &to.session_tag, now());
        client
            .publish(subject::receipts(&from.account_id), receipt.encode())
            .await
            .unwrap();
    }
}
