//! `agentnet-bench`: benchmarks of agentnet beside the raw speed of NATS and of the databases on the same machine.
//!
//! Every command starts the servers that it needs, runs senders and receivers in separate processes (see [`worker_process`]),
//! measures the raw limit in the same run, checks that nothing was lost, and prints a table; `--json` writes the same
//! measurements to a file. `agentnet-bench set` runs all of them.
#![allow(clippy::print_stdout, reason = "the output is the result")]

mod agents;
mod cli;
mod closed_loop;
mod database;
mod footprint;
mod growth;
mod hello;
mod history;
mod ingest;
mod latency;
mod machine;
mod measurement;
mod messages;
mod network;
mod processes;
mod raw;
mod receiver;
mod register;
mod rows;
mod rpc;
mod rpc_caller;
mod run;
mod runtime_flavor;
mod secure;
mod sessions;
mod settings;
mod start;
mod worker_process;
mod workers;

use std::process::ExitCode;

use clap::Parser as _;

/// The error that ends a benchmark.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let result = match cli::Cli::parse().command {
        cli::Command::Worker { spec } => workers::run(&spec),
        command => cli::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            #[allow(clippy::print_stderr, reason = "a program reports its error on stderr")]
            {
                eprintln!("error: {failure}");
            }
            ExitCode::FAILURE
        }
    }
}
