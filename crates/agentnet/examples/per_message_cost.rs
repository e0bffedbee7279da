//! What one message costs a node, from the first to the last: the cost must not grow with how many it has seen.
//!
//! ```text
//! cargo run --release -p agentnet --example per_message_cost -- [MESSAGES] [DEDUPE_SECONDS]
//! ```
//!
//! One node receives MESSAGES messages (300000 by default), each with an id of its own, through all guards and with
//! both receipts. Every line shows the rate and the process's memory after 10000 more. Ids are remembered for DEDUPE_SECONDS
//! (5 by default; 600 is a node's default), so memory is level once that time has passed. The example starts its own
//! nats-server and answers the registration itself; it ends with status 1 if the last windows are much slower than the first.

#![allow(clippy::print_stdout, reason = "the result is what it prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use agentnet::protocol::compose::{Draft, Sender};
use agentnet::protocol::ids::uuid4_hex;
use agentnet::protocol::{Timestamp, subject};
use agentnet::{AgentNode, RawJson, json};
use agentnet_testkit::{NatsServer, RawClient};
use async_nats::Client;
use futures::StreamExt;
use tokio::sync::Semaphore;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const WINDOW: usize = 10_000;
/// Messages under way at the same time.
const UNDER_WAY: usize = 1_000;
const ACCOUNT: &str = "acct_receiver";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let messages: usize = arguments.next().map_or(Ok(300_000), |text| text.parse())?;
    let dedupe: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;

    let nats = NatsServer::builder().start().await?;
    let client = RawClient::connect(&nats.url()).await?;
    answer_registration(client.clone()).await?;
    let handled = Arc::new(AtomicUsize::new(0));
    let free = Arc::new(Semaphore::new(UNDER_WAY));
    let node = receiver(&nats.url(), dedupe, handled.clone(), free.clone()).await?;

    println!("{messages} messages, ids remembered for {dedupe} s");
    println!("{:>10}  {:>12}  {:>10}", "messages", "per second", "memory MiB");
    let sending = tokio::spawn(send(client, messages, free));
    let mut rates = Vec::new();
    let mut window_began = Instant::now();
    for target in (WINDOW..=messages).step_by(WINDOW) {
        while handled.load(Ordering::Relaxed) < target {
            if sending.is_finished() && node.metrics_snapshot().dropped_count > 0 {
                return Err("the node has refused messages".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let rate = WINDOW as f64 / window_began.elapsed().as_secs_f64();
        window_began = Instant::now();
        rates.push(rate);
        println!("{target:>10}  {rate:>12.0}  {:>10}", memory_mib());
    }
    sending.await??;
    node.close().await;
    verdict(&rates)
}

/// The first window warms up; of the others the first and the last three are compared.
fn verdict(rates: &[f64]) -> Result<(), Failure> {
    let Some(rates) = rates.get(1..).filter(|rates| rates.len() >= 6) else {
        return Ok(());
    };
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let (first, last) = (mean(&rates[..3]), mean(&rates[rates.len() - 3..]));
    println!(
        "first windows {first:.0}/s, last windows {last:.0}/s: {:.2} times",
        last / first
    );
    if last * 2.0 < first {
        return Err("the cost of a message has grown".into());
    }
    Ok(())
}

async fn receiver(
    url: &str,
    dedupe: u64,
    handled: Arc<AtomicUsize>,
    free: Arc<Semaphore>,
) -> Result<AgentNode, Failure> {
    let node = AgentNode::builder("receiver")
        .nats_url(url)
        .limits(|limits| {
            limits.rate_limit_per_sender_per_sec = 1e9;
            limits.rate_limit_burst = u32::MAX;
            limits.max_pending = 2 * UNDER_WAY;
            limits.dedupe_ttl = Duration::from_secs(dedupe);
        })
        .on_message(move |_, _| {
            handled.fetch_add(1, Ordering::Relaxed);
            free.add_permits(1);
            std::future::ready(Ok(()))
        })
        .start()
        .await?;
    Ok(node)
}

async fn send(client: Client, messages: usize, free: Arc<Semaphore>) -> Result<(), Failure> {
    let sender = Sender {
        agent_id: "sender".into(),
        account_id: "acct_sender".into(),
        session_tag: "session_sender".into(),
    };
    let draft = Draft {
        to_agent: ACCOUNT.into(),
        to_account_id: Some(ACCOUNT.into()),
        payload: RawJson::from(json!({ "text": "the same for all" })),
        ..Draft::default()
    };
    let inbox = subject::inbox(ACCOUNT);
    for number in 0..messages {
        free.acquire().await?.forget();
        let id = uuid4_hex(
            (number as u128)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
                .to_be_bytes(),
        );
        let message = draft
            .clone()
            .compose(&sender, id.into(), Timestamp::from(SystemTime::now()));
        client.publish(inbox.clone(), message.encode()).await?;
    }
    Ok(())
}

/// Plays the registry for the one call that a node must make.
async fn answer_registration(client: Client) -> Result<(), Failure> {
    let mut requests = client.subscribe("registry.register").await?;
    client.flush().await?;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let answer = json!({ "account_id": ACCOUNT, "username": "receiver", "session_tag": "session_receiver" });
            if let Some(reply) = request.reply {
                let _ = client.publish(reply, answer.to_string().into()).await;
            }
        }
    });
    Ok(())
}

/// Resident memory of this process, where the system tells.
fn memory_mib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map_or_else(|| "?".to_owned(), |kib| format!("{:.1}", kib / 1024.0))
}
