//! `agentnet-bench ingest`: how fast messages reach the store.

mod capture;
mod postgres;
mod sqlite;

pub(crate) use capture::Publisher;

use std::time::{Duration, Instant};

use agentnet_store::Store;
use agentnet_store::model::NewMessage;
use clap::ValueEnum;

use crate::Failure;
use crate::cli::Settings;
use crate::database::Backend;
use crate::figure::{Figure, Target, median};
use crate::rows;

/// As large as the registry makes them when it has a backlog.
const BATCH: usize = 1000;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The store alone, beside COPY
    Postgres,
    /// The store alone, beside a loop of one prepared statement
    Sqlite,
    /// A registry that captures what is published at full speed
    Capture,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    /// Messages for the store alone.
    pub(crate) rows: u64,
    /// Messages that are published at full speed.
    pub(crate) published: u64,
    /// Where a registry stores those; both if it is empty.
    pub(crate) backends: Vec<Backend>,
}

pub(crate) async fn run(settings: &Settings, parts: &[Part], sizes: &Sizes) -> Result<Vec<Figure>, Failure> {
    let rows = || rows::messages(0..sizes.rows, settings.bytes);
    let all = [Part::Postgres, Part::Sqlite, Part::Capture];
    let mut figures = Vec::new();
    for part in if parts.is_empty() { &all[..] } else { parts } {
        figures.extend(match part {
            Part::Postgres => postgres::run(settings, &rows()?).await?,
            Part::Sqlite => sqlite::run(settings, &rows()?).await?,
            Part::Capture => capture::run(settings, sizes).await?,
        });
    }
    Ok(figures)
}

/// Appends all messages, batch after batch, as the registry's one writer does; how long it took.
async fn append(store: &dyn Store, messages: &[NewMessage]) -> Result<Duration, Failure> {
    let mut stored = 0;
    let since = Instant::now();
    for batch in messages.chunks(BATCH) {
        stored += store.append_messages(batch).await?.stored;
    }
    let took = since.elapsed();
    counted("stored", stored as u64, messages.len())?;
    Ok(took)
}

/// Every row must be there.
fn counted(what: &str, found: u64, expected: usize) -> Result<(), Failure> {
    if found == expected as u64 {
        return Ok(());
    }
    Err(format!("{expected} messages were given, {found} were {what}").into())
}

/// The median rate of some runs over so many messages.
fn rate(messages: &[NewMessage], took: &[Duration]) -> f64 {
    median(took.iter().map(|took| messages.len() as f64 / took.as_secs_f64()))
}

fn beside(name: &str, rate: f64, raw: f64) -> Figure {
    Figure::new("ingest", name, "/s", rate).raw(raw)
}

/// With what it should reach of the raw limit.
fn with_target(figure: Figure, share: f64) -> Figure {
    figure.target(Target::ShareAtLeast(share))
}
