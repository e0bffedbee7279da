//! Does the registry's memory grow with what it has captured? Publishes messages at full speed and prints the rate at which
//! they reach the history and the memory of this process, which runs the registry and the publisher.
//!
//! ```text
//! cargo run --release -p agentnet-registry --example capture_memory -- [MESSAGES]
//! ```
//!
//! With `AGENTNET_TEST_STORE=postgres` the history is in PostgreSQL, a process of its own.
#![expect(clippy::print_stdout, reason = "a benchmark talks to its reader")]

use std::time::{Duration, Instant};

use agentnet_registry::{Registry, RegistryConfig};
use agentnet_testkit::{NatsServer, RawClient, TestDatabase, eventually};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Resident memory of this process in kB (Linux only; elsewhere 0).
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let messages: usize = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let window = (messages / 10).max(1);
    let nats = NatsServer::builder().jetstream(true).start().await?;
    let database = TestDatabase::start().await?;
    let store = agentnet_store::open(&database.url(), &agentnet_store::OpenOptions::default()).await?;
    let config = RegistryConfig {
        nats_url: nats.url(),
        ..RegistryConfig::default()
    };
    let registry = Registry::start(config, store.clone()).await?;
    let client = RawClient::connect(&nats.url()).await?;
    println!("{:>10} {:>12} {:>10}", "stored", "messages/s", "RSS kB");
    for first in (0..messages).step_by(window) {
        let started = Instant::now();
        let last = (first + window).min(messages);
        for number in first..last {
            let body = format!(
                r#"{{"message_id":"m{number}","from_agent":"a","to_agent":"acct_b","payload":{{"text":"{:0>200}"}},"sent_at":"2026-02-21T08:00:00Z","kind":"direct","schema_version":"1.1","from_account_id":"acct_a","to_account_id":"acct_b","ttl_ms":30000,"thread_id":"t{}"}}"#,
                number,
                number % 100
            );
            client.publish("account.acct_b.inbox", body.into()).await?;
        }
        client.flush().await?;
        let thread = format!("t{}", (last - 1) % 100);
        let expected = i64::try_from((last - 1) / 100 + 1)?;
        let stored = async || match store.thread(&thread, None).await {
            Ok(Some(found)) if found.message_count >= expected => Ok(()),
            other => Err(format!("{other:?}")),
        };
        eventually(Duration::from_secs(120), stored).await?;
        let rate = (last - first) as f64 / started.elapsed().as_secs_f64();
        println!("{last:>10} {rate:>12.0} {:>10}", resident_kb());
    }
    registry.shutdown().await;
    store.close().await;
    Ok(())
}
