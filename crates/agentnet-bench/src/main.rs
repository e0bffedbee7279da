//! `agentnet-bench`: what agentnet costs, beside what NATS and the databases themselves can do on the same machine.
//!
//! Every command starts the servers that it needs, runs senders and receivers as processes of their own (see [`role`]),
//! measures the raw limit in the same run, checks that nothing was lost, and prints a table; `--json` writes the same
//! figures to a file. `agentnet-bench set` runs all of them.
#![allow(clippy::print_stdout, reason = "the result is what it prints")]

mod agents;
mod caller;
mod cli;
mod database;
mod figure;
mod footprint;
mod growth;
mod hello;
mod history;
mod ingest;
mod latency;
mod machine;
mod messages;
mod network;
mod processes;
mod raw;
mod receiver;
mod register;
mod role;
mod rows;
mod rpc;
mod run;
mod sessions;
mod start;
mod tasks;

use std::process::ExitCode;

use clap::Parser as _;

/// Whatever stops a benchmark.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let ended = match cli::Cli::parse().command {
        cli::Command::Role { role } => role::play(&role),
        command => cli::run(command),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            #[allow(clippy::print_stderr, reason = "a program's last word")]
            {
                eprintln!("error: {failure}");
            }
            ExitCode::FAILURE
        }
    }
}
