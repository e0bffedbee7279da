//! `agentnet-bench ingest`: how fast messages reach the store.

mod append;
mod capture;
mod postgres;
mod sqlite;

pub(crate) use capture::Publisher;

use clap::ValueEnum;

use crate::Failure;
use crate::database::Backend;
use crate::measurement::Measurement;
use crate::rows;
use crate::settings::Settings;

/// A measured path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IngestPart {
    /// The store alone, beside COPY
    Postgres,
    /// The store alone, beside a loop of one prepared statement
    Sqlite,
    /// A registry that captures messages published at full speed
    Capture,
}

/// Numbers of messages.
#[derive(Debug, Clone)]
pub(crate) struct IngestSizes {
    /// Messages for the store alone.
    pub(crate) rows: u64,
    /// Messages that are published at full speed.
    pub(crate) published: u64,
    /// Databases for the published messages; both if empty.
    pub(crate) backends: Vec<Backend>,
}

pub(crate) async fn run(
    settings: &Settings,
    parts: &[IngestPart],
    sizes: &IngestSizes,
) -> Result<Vec<Measurement>, Failure> {
    let rows = || rows::messages(0..sizes.rows, settings.bytes);
    let all = [IngestPart::Postgres, IngestPart::Sqlite, IngestPart::Capture];
    let mut measurements = Vec::new();
    for part in if parts.is_empty() { &all[..] } else { parts } {
        measurements.extend(match part {
            IngestPart::Postgres => postgres::run(settings, &rows()?).await?,
            IngestPart::Sqlite => sqlite::run(settings, &rows()?).await?,
            IngestPart::Capture => capture::run(settings, sizes.published, &sizes.backends).await?,
        });
    }
    Ok(measurements)
}
