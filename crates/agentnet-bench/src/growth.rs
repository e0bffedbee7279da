//! `agentnet-bench growth`: how the cost of one more message or call grows with the amount of data. Each cost is measured for
//! three sizes, a factor of ten apart.

use std::time::{Duration, Instant};

use agentnet::protocol::rpc::ResolveAccountRequest;
use agentnet_store::{OpenOptions, open};
use agentnet_testkit::RawClient;
use futures::{StreamExt, TryStreamExt, stream};

use crate::agents::Operation;
use crate::database::{Backend, Database};
use crate::measurement::{Measurement, median};
use crate::messages::AgentPair;
use crate::network::{Network, Registry, answer_registrations};
use crate::run::Run;
use crate::runtime_flavor::RuntimeFlavor;
use crate::settings::Settings;
use crate::{Failure, history, processes, rows, sessions};

/// Messages, hellos or calls in one measurement.
const SAMPLE: u64 = 20_000;
/// Messages per thread, as in [`rows`].
const THREAD: u64 = 20;
const BATCH: usize = 1000;

/// The smallest of the three sizes of each measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GrowthSizes {
    pub(crate) ids: u64,
    pub(crate) threads: u64,
    pub(crate) sessions: u64,
    pub(crate) accounts: u64,
    pub(crate) rows: u64,
}

impl GrowthSizes {
    pub(crate) const FULL: Self = Self {
        ids: 10_000,
        threads: 1_000,
        sessions: 1_000,
        accounts: 10_000,
        rows: 10_000,
    };
    pub(crate) const QUICK: Self = Self {
        ids: 100,
        threads: 100,
        sessions: 10,
        accounts: 100,
        rows: 100,
    };
}

pub(crate) async fn run(settings: &Settings, sizes: GrowthSizes) -> Result<Vec<Measurement>, Failure> {
    let mut measurements = seen_ids(settings, sizes.ids).await?;
    for size in times_ten(sizes.threads) {
        measurements.push(threads(settings, size).await?);
    }
    for size in times_ten(sizes.sessions) {
        measurements.push(hellos(size).await?);
    }
    for size in times_ten(sizes.accounts) {
        measurements.push(accounts(size).await?);
    }
    for size in times_ten(sizes.rows) {
        measurements.push(stored_rows(settings, size).await?);
    }
    Ok(measurements)
}

fn times_ten(first: u64) -> [u64; 3] {
    [first, first * 10, first * 100]
}

fn measurement(what: &str, there: &str, size: u64, took: Duration, count: u64) -> Measurement {
    let nanos = took.as_nanos() as f64 / count as f64;
    Measurement::new("growth", format!("{what}, {size} {there}"), "ns", nanos)
}

/// CPU time of sender and receiver per message, by the number of ids that the receiver remembers.
async fn seen_ids(settings: &Settings, first: u64) -> Result<Vec<Measurement>, Failure> {
    let network = Network::start(false).await?;
    answer_registrations(&network.url).await?;
    let mut pair = AgentPair::start(&network.url, RuntimeFlavor::CurrentThread, Duration::from_secs(3600)).await?;
    let run = Run {
        in_flight: 256,
        bytes: settings.bytes,
        warm_up: Duration::ZERO,
        measured: Duration::from_millis(200),
    };
    let mut seen = 0;
    let mut measurements = Vec::new();
    for size in times_ten(first) {
        while seen < size {
            seen += pair.run(Operation::Send, run).await?.completed;
        }
        let before = pair.cpu()?;
        let mut sent = 0;
        while sent < SAMPLE {
            sent += pair.run(Operation::Send, run).await?.completed;
        }
        seen += sent;
        measurements.push(measurement("a send", "seen ids", size, pair.cpu()? - before, sent));
    }
    pair.end().await?;
    Ok(measurements)
}

/// Time to append a message in SQLite, by the number of threads.
async fn threads(settings: &Settings, threads: u64) -> Result<Measurement, Failure> {
    let database = Database::start(Backend::Sqlite).await?;
    let store = open(&database.url(), &OpenOptions::default()).await?;
    // One message in each thread first, then more messages spread over all threads.
    let one_each =
        |round: u64, thread: u64| rows::messages(thread * THREAD + round..thread * THREAD + round + 1, settings.bytes);
    let mut batch = Vec::new();
    for thread in 0..threads {
        batch.extend(one_each(0, thread)?);
        if batch.len() == BATCH || thread == threads - 1 {
            store.append_messages(&batch).await?;
            batch.clear();
        }
    }
    let mut took = Duration::ZERO;
    let mut stored = 0;
    for number in 0..SAMPLE {
        let (round, place) = (number / threads + 1, number % threads);
        if round >= THREAD {
            break;
        }
        batch.extend(one_each(round, place * 7919 % threads)?);
        if batch.len() == BATCH {
            let since = Instant::now();
            stored += store.append_messages(&batch).await?.stored as u64;
            took += since.elapsed();
            batch.clear();
        }
    }
    store.close().await;
    Ok(measurement(
        "a stored message, SQLite",
        "threads",
        threads,
        took,
        stored,
    ))
}

/// CPU time of the registry per hello, by the number of online sessions.
async fn hellos(count: u64) -> Result<Measurement, Failure> {
    let database = Database::start(Backend::Sqlite).await?;
    sessions::fill_accounts(&database, count).await?;
    let network = Network::start(true).await?;
    let registry = Registry::start_with(&network, &["--database-url", &database.url()]).await?;
    sessions::bring_online(&network, &registry, count).await?;
    let client = RawClient::connect(&network.url).await?;
    let heard = sessions::handled_hellos(&registry).await?;
    let before = processes::cpu(registry.pid()?)?;
    for number in 0..SAMPLE {
        client
            .publish("registry.hello", sessions::hello(number * 7919 % count))
            .await?;
        if number % 1000 == 999 {
            client.flush().await?;
            while sessions::handled_hellos(&registry).await? < heard + number + 1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
    let took = processes::cpu(registry.pid()?)? - before;
    Ok(measurement("a hello", "sessions", count, took, SAMPLE))
}

/// Time to resolve a username with 64 calls in flight, by the number of accounts.
async fn accounts(count: u64) -> Result<Measurement, Failure> {
    let database = Database::start(Backend::Postgres).await?;
    sessions::fill_accounts(&database, count).await?;
    let network = Network::start(true).await?;
    let registry = Registry::start_with(&network, &["--database-url", &database.url()]).await?;
    let client = registry.client();
    let mut took = Vec::new();
    for round in 0..3 {
        let since = Instant::now();
        stream::iter(0..SAMPLE)
            .map(|number| async move {
                let username = format!("worker_{}", (number * 7919 + round) % count);
                client.call(&ResolveAccountRequest { username }).await
            })
            .buffer_unordered(64)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        took.push(since.elapsed().as_secs_f64());
    }
    let took = Duration::from_secs_f64(median(took));
    Ok(measurement("a resolved username", "accounts", count, took, SAMPLE))
}

/// Time to append a message in PostgreSQL, by the number of stored messages.
async fn stored_rows(settings: &Settings, count: u64) -> Result<Measurement, Failure> {
    let database = Database::start(Backend::Postgres).await?;
    history::fill(&database, count, rows::FIRST).await?;
    let store = open(&database.url(), &OpenOptions::default()).await?;
    let messages = rows::messages(0..SAMPLE, settings.bytes)?;
    let mut stored = 0;
    let since = Instant::now();
    for batch in messages.chunks(BATCH) {
        stored += store.append_messages(batch).await?.stored as u64;
    }
    let took = since.elapsed();
    store.close().await;
    Ok(measurement("a stored message, PostgreSQL", "rows", count, took, stored))
}
