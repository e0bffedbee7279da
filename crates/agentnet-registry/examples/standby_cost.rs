//! What hearing every message twice more costs a registry on a NATS cluster: the same steady traffic on one server and on a
//! cluster of three, and for each the processor time and memory of this process, which runs the registry and the publisher.
//! The difference is the cost of the standby.
//!
//! ```text
//! AGENTNET_TEST_STORE=postgres cargo run --release -p agentnet-registry --example standby_cost -- [MESSAGES_PER_SECOND] [SECONDS]
//! ```
#![expect(clippy::print_stdout, reason = "a benchmark talks to its reader")]

use std::time::{Duration, Instant};

use agentnet_registry::{Registry, RegistryConfig};
use agentnet_testkit::{NatsCluster, NatsServer, RawClient, TestDatabase, eventually};

type Error = Box<dyn std::error::Error + Send + Sync>;

const TICK: Duration = Duration::from_millis(10);

/// Resident memory of this process in kB (Linux only; elsewhere 0).
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

/// Processor time of this process in hundredths of a second (Linux only; elsewhere 0).
fn processor_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

async fn measure(what: &str, url: String, copies: usize, rate: usize, seconds: usize) -> Result<(), Error> {
    let database = TestDatabase::start().await?;
    let store = agentnet_store::open(&database.url(), &agentnet_store::OpenOptions::default()).await?;
    let config = RegistryConfig {
        nats_url: url.clone(),
        capture_replicas: copies,
        ..RegistryConfig::default()
    };
    let registry = Registry::start(config, store.clone()).await?;
    let client = RawClient::connect(&url).await?;
    // So that a new cluster is trusted before the measurement.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (memory, ticks, started) = (resident_kb(), processor_ticks(), Instant::now());
    let (mut tick, mut most) = (tokio::time::interval(TICK), 0);
    let messages = rate * seconds;
    for number in 0..messages {
        if number % (rate / 100).max(1) == 0 {
            tick.tick().await;
            most = most.max(resident_kb());
        }
        let body = format!(
            r#"{{"message_id":"m{number}","from_agent":"a","to_agent":"acct_b","payload":{{"text":"{number:0>700}"}},"sent_at":"2026-02-21T08:00:00Z","kind":"direct","schema_version":"1.1","from_account_id":"acct_a","to_account_id":"acct_b","ttl_ms":30000,"thread_id":"t"}}"#,
        );
        client.publish("account.acct_b.inbox", body.into()).await?;
    }
    client.flush().await?;
    let expected = i64::try_from(messages)?;
    let stored = async || match store.thread("t", None).await {
        Ok(Some(found)) if found.message_count >= expected => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(Duration::from_secs(120), stored).await?;
    let each = (processor_ticks() - ticks) as f64 * 10_000.0 / messages as f64;
    println!(
        "{what:>16}: {messages} messages of 1 kB in {:.1} s, {each:.0} us of processor time each, memory {memory} kB before, {most} kB at most",
        started.elapsed().as_secs_f64()
    );
    let metrics = client.request("registry.metrics", "{}".into()).await?;
    println!(
        "{:>16}  {}",
        "",
        String::from_utf8_lossy(&metrics.payload)
            .rsplit("\"capture\":")
            .next()
            .unwrap_or_default()
    );
    registry.shutdown().await;
    store.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let rate = arguments.next().unwrap_or(Ok(2000))?;
    let seconds = arguments.next().unwrap_or(Ok(15))?;
    let single = NatsServer::builder().jetstream(true).start().await?;
    measure("one server", single.url(), 1, rate, seconds).await?;
    drop(single);
    let cluster = NatsCluster::start().await?;
    measure("cluster of three", cluster.url(), 3, rate, seconds).await
}
