//! The command line.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};

use crate::database::Backend;
use crate::figure::{Figure, markdown, table};
use crate::growth::Sizes;
use crate::machine::Results;
use crate::role::Flavour;
use crate::rpc::Population;
use crate::run::Run;
use crate::{Failure, footprint, growth, hello, history, ingest, messages, raw, receiver, register, rpc, start};

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
    /// Whether a message costs an agent the same after a million as after the first
    Receiver {
        #[command(flatten)]
        settings: Settings,
        /// How many messages
        #[arg(long, default_value_t = 1_000_000)]
        messages: u64,
    },
    /// How fast messages reach the store, beside the database alone; and a registry that captures at full speed
    Ingest {
        #[command(flatten)]
        settings: Settings,
        /// What to measure; all without any
        parts: Vec<ingest::Part>,
        /// Messages for the store alone
        #[arg(long, default_value_t = 50_000)]
        rows: u64,
        /// Messages that are published at full speed
        #[arg(long, default_value_t = 600_000)]
        published: u64,
        /// Where a registry stores those; both without any
        #[arg(long = "backend", value_enum)]
        backends: Vec<Backend>,
    },
    /// What the registry answers, one call after the other on one network
    Rpc {
        #[command(flatten)]
        settings: Settings,
        #[arg(required = true)]
        names: Vec<rpc::Name>,
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
        /// Messages in it
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        #[arg(long, value_enum, default_value_t = Backend::Postgres)]
        backend: Backend,
    },
    /// What one more message or call costs, against how much is there already
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
    /// Everything, written to a file
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
    /// A part of a benchmark, started by it
    #[command(hide = true)]
    Role { role: String },
}

/// What all benchmarks have in common.
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// How often each run is repeated; the median counts
    #[arg(long, default_value_t = 5)]
    pub(crate) repeat: usize,
    /// Seconds that a run is measured, after a third of that to warm up
    #[arg(long, default_value_t = 0.6)]
    pub(crate) seconds: f64,
    /// Bytes of a payload
    #[arg(long, default_value_t = 500)]
    pub(crate) bytes: usize,
    /// Where to write the figures as JSON
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn run(&self, in_flight: usize) -> Run {
        Run {
            in_flight,
            bytes: self.bytes,
            warm_up: Duration::from_secs_f64(self.seconds / 3.0),
            measured: Duration::from_secs_f64(self.seconds),
        }
    }
}

/// Runs what was asked for, in the parent.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    Flavour::MultiThread.runtime()?.block_on(async {
        let (settings, figures) = match command {
            Command::Raw(settings) => (settings.clone(), raw::run(&settings).await?),
            Command::Send(settings) => (settings.clone(), messages::send(&settings).await?),
            Command::Request(settings) => (settings.clone(), messages::request(&settings).await?),
            Command::Receiver { settings, messages } => (settings.clone(), receiver::run(&settings, messages).await?),
            Command::Ingest {
                settings,
                parts,
                rows,
                published,
                backends,
            } => {
                let sizes = ingest::Sizes {
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
            Command::Growth { settings, quick } => (settings.clone(), growth::run(&settings, sizes(quick)).await?),
            Command::Footprint(settings) => (settings, footprint::run().await?),
            Command::Start(settings) => (settings.clone(), start::run(&settings).await?),
            Command::Set { settings, quick } => set(settings, quick).await?,
            Command::Report {
                file,
                markdown: as_markdown,
            } => {
                let results: Results = serde_json::from_slice(&std::fs::read(file)?)?;
                let show = if as_markdown { markdown } else { table };
                println!("{}", show(&results.figures));
                return Ok(());
            }
            Command::Role { .. } => return Err("a role is not played here".into()),
        };
        println!("{}", table(&figures));
        if let Some(file) = &settings.json {
            let results = Results::of(figures, settings.repeat, settings.seconds)?;
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(file, serde_json::to_string_pretty(&results)? + "\n")?;
        }
        Ok(())
    })
}

fn sizes(quick: bool) -> Sizes {
    if quick { Sizes::QUICK } else { Sizes::WHOLE }
}

/// `agentnet-bench set`.
async fn set(mut settings: Settings, quick: bool) -> Result<(Settings, Vec<Figure>), Failure> {
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
    let mut figures = Vec::new();
    let mut since = Instant::now();
    let mut note = |more: Vec<Figure>| {
        println!("{}({:.0} s)\n", table(&more), since.elapsed().as_secs_f64());
        since = Instant::now();
        figures.extend(more);
    };
    note(start::run(s).await?);
    note(footprint::run().await?);
    // The limits that count are measured again, in turn with what is measured.
    let grid = Settings {
        repeat: if quick { 1 } else { 2 },
        ..s.clone()
    };
    note(raw::run(&grid).await?);
    note(messages::send(s).await?);
    note(messages::request(s).await?);
    note(receiver::run(s, or(1_000_000, 50_000)).await?);
    let ingested = ingest::Sizes {
        rows: or(50_000, 10_000),
        published: or(600_000, 30_000),
        backends: Vec::new(),
    };
    note(ingest::run(s, &[], &ingested).await?);
    let (lookups, pages) = (rpc::Name::ResolveAccount, rpc::Name::List);
    let small = [lookups, pages, rpc::Name::Search];
    if quick {
        note(rpc::run(s, &small, of(10_000, 1_000)).await?);
    } else {
        note(rpc::run(s, &small[1..], of(10_000, 1_000)).await?);
        note(rpc::run(s, &[pages], of(100_000, 100_000)).await?);
        note(rpc::run(s, &[lookups, rpc::Name::Search], of(1_000_000, 1_000)).await?);
    }
    note(register::run(s).await?);
    note(hello::run(or(10_000, 1_000)).await?);
    note(history::run(s, or(1_000_000, 10_000), Backend::Postgres).await?);
    if !quick {
        note(history::run(s, 10_000_000, Backend::Postgres).await?);
    }
    note(growth::run(s, sizes(quick)).await?);
    Ok((settings, figures))
}
