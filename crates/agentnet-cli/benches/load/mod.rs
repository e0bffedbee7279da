//! The load of a large network, and what a program takes that bears it.
#![allow(dead_code, reason = "every benchmark uses a part of it")]
#![allow(unreachable_pub, reason = "shared by benchmarks, exported to nobody")]

use std::time::{Duration, Instant};

use agentnet_protocol::compose::Sender;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::{
    AgentCounters, AgentInfo, Envelope, RawJson, Receipt, ReceiptStatus, Text, Timestamp, subject,
};
use async_nats::Client;

/// What stands behind the number of a message in its text.
pub const TEXT: &str = "th message of the load";
const HEARTBEAT: Duration = Duration::from_secs(12);
/// So often a part of the load is sent.
const SLICE: Duration = Duration::from_millis(20);

/// So many agents say hello every 12 seconds, and so many messages a second pass between them, each with its two receipts.
#[derive(Clone, Copy)]
pub struct Load {
    pub agents: usize,
    pub rate: usize,
    pub seconds: u64,
}

impl Load {
    /// `--agents 10000 --rate 2000 --seconds N` on the command line; absent are 10,000, 2,000 and the given seconds.
    pub fn read(seconds: u64) -> Self {
        let words: Vec<String> = std::env::args().collect();
        let number = |name: &str, default: usize| {
            let at = words.iter().position(|word| word == name);
            at.map_or(default, |at| words[at + 1].parse().expect("a number"))
        };
        Self {
            agents: number("--agents", 10_000),
            rate: number("--rate", 2_000),
            seconds: number("--seconds", seconds as usize) as u64,
        }
    }

    /// Hellos and messages, for ever.
    pub async fn send(self, client: Client) {
        let began = Instant::now();
        let mut tick = tokio::time::interval(SLICE);
        let (mut hellos, mut messages) = (0_usize, 0_usize);
        // All say hello at once, then each in its turn.
        for agent in 0..self.agents {
            client.publish("registry.hello", hello(agent, 0).into()).await.unwrap();
        }
        loop {
            tick.tick().await;
            let passed = began.elapsed().as_secs_f64();
            while (hellos as f64) < passed * self.agents as f64 / HEARTBEAT.as_secs_f64() {
                let agent = hellos % self.agents;
                client
                    .publish("registry.hello", hello(agent, hellos).into())
                    .await
                    .unwrap();
                hellos += 1;
            }
            while (messages as f64) < passed * self.rate as f64 {
                exchange(&client, messages, self.agents).await;
                messages += 1;
            }
            client.flush().await.unwrap();
        }
    }
}

/// What a process has used since it was first looked at.
pub struct Usage {
    pid: i32,
    began: Instant,
    before: Duration,
}

impl Usage {
    pub fn of(pid: i32) -> Self {
        Self {
            pid,
            began: Instant::now(),
            before: cpu(pid),
        }
    }

    /// The share of a core, printed with the memory; and the most memory, in MB.
    pub fn tell(&self) -> (f64, f64) {
        let (wall, used) = (self.began.elapsed(), cpu(self.pid) - self.before);
        let share = used.as_secs_f64() / wall.as_secs_f64();
        let (resident, most) = memory(self.pid);
        println!(
            "cpu      {:.1} % of a core ({:.2} s in {:.1} s)",
            100.0 * share,
            used.as_secs_f64(),
            wall.as_secs_f64()
        );
        println!("memory   {resident:.1} MB resident, {most:.1} MB at most");
        (share, most)
    }
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

/// A message from one agent of so many to the next, with this text.
pub fn message(number: usize, agents: usize, text: &str) -> Envelope {
    // A stride that no number of agents divides visits them all.
    let (from, to) = (sender(number * 7919 % agents), sender((number * 7919 + 1) % agents));
    Envelope {
        message_id: format!("load_{number}_{}", now()).into(),
        from_agent: from.agent_id.clone(),
        to_agent: to.account_id.clone(),
        payload: RawJson::parse(format!(r#"{{"text":"{text}"}}"#)).unwrap(),
        sent_at: now().to_string().into(),
        kind: Text::from_static("direct"),
        schema_version: Text::from_static("1.1"),
        from_session_tag: Some(from.session_tag.clone()),
        from_account_id: Some(from.account_id.clone()),
        to_account_id: Some(to.account_id.clone()),
        ttl_ms: Some(30_000),
        thread_id: Some(format!("load_thread_{}", number % 1_000).into()),
        ..Envelope::default()
    }
}

/// A message between two agents, and its receipts.
async fn exchange(client: &Client, number: usize, agents: usize) {
    let message = message(number, agents, &format!("the {number}{TEXT}"));
    let to = sender((number * 7919 + 1) % agents);
    client
        .publish(subject::inbox(&to.account_id), message.encode())
        .await
        .unwrap();
    for status in [ReceiptStatus::Accepted, ReceiptStatus::Processed] {
        let receipt = Receipt::for_message(&message, status, None, &to.account_id, &to.session_tag, now());
        let from = message.from_account_id.as_deref().unwrap();
        client.publish(subject::receipts(from), receipt.encode()).await.unwrap();
    }
}
