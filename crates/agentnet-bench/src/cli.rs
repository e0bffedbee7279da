//! The command line.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::database::Backend;
use crate::growth::GrowthSizes;
use crate::machine::Results;
use crate::measurement::{Measurement, markdown, table};
use crate::rpc::Population;
use crate::runtime_flavor::RuntimeFlavor;
use crate::settings::Settings;
use crate::{
    Failure, footprint, growth, hello, history, ingest, messages, raw, receiver, register, rpc, secure, start,
};

/// Benchmarks of agentnet, each beside the raw limit of NATS or the database. Use a release build on a quiet machine.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// NATS alone: request/reply, two-leg ping, publish/subscribe, at 1, 64 and 256 in flight
    Raw(Settings),
    /// Messages with receipts between two agents, without a registry and with one that stores them
    Send(Settings),
    /// Requests and replies between two agents
    Request(Settings),
    /// What the secure mode costs: messages and requests beside a network with a token, in alternating rounds
    Secure(Settings),
    /// Whether the cost of a message grows with the number of messages received
    Receiver {
        #[command(flatten)]
        settings: Settings,
        /// Number of messages
        #[arg(long, default_value_t = 1_000_000)]
        messages: u64,
    },
    /// How fast messages reach the store, beside the database alone; and a registry under full load
    Ingest {
        #[command(flatten)]
        settings: Settings,
        /// What to measure; everything by default
        parts: Vec<ingest::IngestPart>,
        /// Messages for the store alone
        #[arg(long, default_value_t = 50_000)]
        rows: u64,
        /// Messages that are published at full speed
        #[arg(long, default_value_t = 600_000)]
        published: u64,
        /// Databases for the published messages; both by default
        #[arg(long = "backend", value_enum)]
        backends: Vec<Backend>,
    },
    /// Registry calls, one after the other on one network
    Rpc {
        #[command(flatten)]
        settings: Settings,
        #[arg(required = true)]
        names: Vec<rpc::RpcName>,
        /// Sessions that are online
        #[arg(long, default_value_t = 1_000)]
        sessions: u64,
        /// Accounts in the store; at least one for each session
        #[arg(long, default_value_t = 0)]
        accounts: u64,
        #[arg(long, value_enum, default_value_t = Backend::Postgres)]
        backend: Backend,
    },
    /// How many agents a second can join
    Register(Settings),
    /// How many heartbeats a second one registry takes in
    Hello {
        #[command(flatten)]
        settings: Settings,
        /// Sessions that are online
        #[arg(long, default_value_t = 10_000)]
        sessions: u64,
    },
    /// Pages and searches of a long history
    History {
        #[command(flatten)]
        settings: Settings,
        /// Messages in the history
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        #[arg(long, value_enum, default_value_t = Backend::Postgres)]
        backend: Backend,
    },
    /// How the cost of one more message or call grows with the amount of data
    Growth {
        #[command(flatten)]
        settings: Settings,
        /// Smaller sizes
        #[arg(long)]
        quick: bool,
    },
    /// Memory of a registry and of agents
    Footprint(Settings),
    /// Time until programs are ready, and the size of the program
    Start(Settings),
    /// All benchmarks, written to a file
    Set {
        #[command(flatten)]
        settings: Settings,
        /// Shorter runs, fewer repeats, smaller tables
        #[arg(long)]
        quick: bool,
    },
    /// Show a file of results as a table
    Report {
        file: PathBuf,
        /// As Markdown
        #[arg(long)]
        markdown: bool,
    },
    /// Runs a worker process of a benchmark
    #[command(hide = true)]
    Worker { spec: String },
}

/// Runs a command other than `worker`.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    RuntimeFlavor::MultiThread.runtime()?.block_on(async {
        let (settings, measurements) = match command {
            Command::Raw(settings) => (settings.clone(), raw::run(&settings).await?),
            Command::Send(settings) => (settings.clone(), messages::send(&settings).await?),
            Command::Request(settings) => (settings.clone(), messages::request(&settings).await?),
            Command::Secure(settings) => (settings.clone(), secure::run(&settings).await?),
            Command::Receiver { settings, messages } => (settings.clone(), receiver::run(&settings, messages).await?),
            Command::Ingest {
                settings,
                parts,
                rows,
                published,
                backends,
            } => {
                let sizes = ingest::IngestSizes {
                    rows,
                    published,
                    backends,
                };
                (settings.clone(), ingest::run(&settings, &parts, &sizes).await?)
            }
            Command::Rpc {
                settings,
                names,
                sessions,
                accounts,
                backend,
            } => {
                let population = Population {
                    accounts,
                    sessions,
                    backend,
                };
                (settings.clone(), rpc::run(&settings, &names, population).await?)
            }
            Command::Register(settings) => (settings.clone(), register::run(&settings).await?),
            Command::Hello { settings, sessions } => (settings, hello::run(sessions).await?),
            Command::History {
                settings,
                rows,
                backend,
            } => (settings.clone(), history::run(&settings, rows, backend).await?),
            Command::Growth { settings, quick } => {
                (settings.clone(), growth::run(&settings, growth_sizes(quick)).await?)
            }
            Command::Footprint(settings) => (settings, footprint::run().await?),
            Command::Start(settings) => (settings.clone(), start::run(&settings).await?),
            Command::Set { settings, quick } => set(settings, quick).await?,
            Command::Report {
                file,
                markdown: as_markdown,
            } => {
                let results: Results = serde_json::from_slice(&std::fs::read(file)?)?;
                let show = if as_markdown { markdown } else { table };
                println!("{}", show(&results.measurements));
                return Ok(());
            }
            Command::Worker { .. } => return Err("a worker process cannot run benchmarks".into()),
        };
        println!("{}", table(&measurements));
        if let Some(file) = &settings.json {
            let results = Results::of(measurements, settings.repeat, settings.seconds)?;
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(file, serde_json::to_string_pretty(&results)? + "\n")?;
        }
        Ok(())
    })
}

fn growth_sizes(quick: bool) -> GrowthSizes {
    if quick { GrowthSizes::QUICK } else { GrowthSizes::FULL }
}

/// `agentnet-bench set`.
async fn set(mut settings: Settings, quick: bool) -> Result<(Settings, Vec<Measurement>), Failure> {
    if quick {
        settings.repeat = 2;
        settings.seconds = 0.15;
    }
    let or = |whole: u64, less: u64| if quick { less } else { whole };
    let of = |accounts, sessions| Population {
        accounts,
        sessions,
        backend: Backend::Postgres,
    };
    let s = &settings;
    let mut measurements = Vec::new();
    let mut since = Instant::now();
    let mut note = |more: Vec<Measurement>| {
        println!("{}({:.0} s)\n", table(&more), since.elapsed().as_secs_f64());
        since = Instant::now();
        measurements.extend(more);
    };
    note(start::run(s).await?);
    note(footprint::run().await?);
    // Each benchmark measures the raw limits that it compares with again, in alternation with its own runs.
    let grid = Settings {
        repeat: if quick { 1 } else { 2 },
        ..s.clone()
    };
    note(raw::run(&grid).await?);
    note(messages::send(s).await?);
    note(messages::request(s).await?);
    note(receiver::run(s, or(1_000_000, 50_000)).await?);
    let ingested = ingest::IngestSizes {
        rows: or(50_000, 10_000),
        published: or(600_000, 30_000),
        backends: Vec::new(),
    };
    note(ingest::run(s, &[], &ingested).await?);
    let (lookups, pages) = (rpc::RpcName::ResolveAccount, rpc::RpcName::List);
    let small = [lookups, pages, rpc::RpcName::Search];
    if quick {
        note(rpc::run(s, &small, of(10_000, 1_000)).await?);
    } else {
        note(rpc::run(s, &small[1..], of(10_000, 1_000)).await?);
        note(rpc::run(s, &[pages], of(100_000, 100_000)).await?);
        note(rpc::run(s, &[lookups, rpc::RpcName::Search], of(1_000_000, 1_000)).await?);
    }
    note(register::run(s).await?);
    note(hello::run(or(10_000, 1_000)).await?);
    note(history::run(s, or(1_000_000, 10_000), Backend::Postgres).await?);
    if !quick {
        note(history::run(s, 10_000_000, Backend::Postgres).await?);
    }
    note(growth::run(s, growth_sizes(quick)).await?);
    Ok((settings, measurements))
}
