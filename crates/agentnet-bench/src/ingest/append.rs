//! Appends messages to a store, and the rates that come of it.

use std::time::{Duration, Instant};

use agentnet_store::Store;
use agentnet_store::model::NewMessage;

use crate::Failure;
use crate::measurement::{Measurement, Target, median};

/// The batch size of a registry with a backlog.
pub(super) const BATCH: usize = 1000;

/// Appends all messages in batches, like the registry's writer. Returns the time it took.
pub(super) async fn append(store: &dyn Store, messages: &[NewMessage]) -> Result<Duration, Failure> {
    let mut stored = 0;
    let since = Instant::now();
    for batch in messages.chunks(BATCH) {
        stored += store.append_messages(batch).await?.stored;
    }
    let took = since.elapsed();
    check_count("stored", stored as u64, messages.len())?;
    Ok(took)
}

/// Fails unless all messages are there.
pub(super) fn check_count(what: &str, found: u64, expected: usize) -> Result<(), Failure> {
    if found == expected as u64 {
        return Ok(());
    }
    Err(format!("{expected} messages were given, {found} were {what}").into())
}

/// The median rate of the runs.
pub(super) fn rate(messages: &[NewMessage], took: &[Duration]) -> f64 {
    median(took.iter().map(|took| messages.len() as f64 / took.as_secs_f64()))
}

pub(super) fn beside(name: &str, rate: f64, raw: f64) -> Measurement {
    Measurement::new("ingest", name, "/s", rate).raw(raw)
}

/// Adds a target: a share of the raw limit.
pub(super) fn with_target(measurement: Measurement, share: f64) -> Measurement {
    measurement.target(Target::ShareAtLeast(share))
}
