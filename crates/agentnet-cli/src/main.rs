//! `agentnet`: start a network of agents, look into it, and talk to its agents from the command line.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod account_names;
mod accounts;
mod args;
mod cli;
mod commands;
mod connection;
mod data_dir;
mod default_username;
mod did_you_mean;
mod exit;
mod failures;
mod global;
mod logging;
mod output;
mod pages;
mod shell_completion;
mod signals;
mod traces;
mod up;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::exit::{Exit, Failure};
use crate::output::Output;

fn main() -> ExitCode {
    forget_blank_variables();
    // A shell that asks what could come next.
    clap_complete::CompleteEnv::with_factory(cli::Cli::command)
        .var(commands::completions::VARIABLE)
        .complete();
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code),
    };
    let mut output = Output::detect(cli.global.format(), cli.global.wide);
    let mut log = None;
    if !cli.command.is_health_check() && !cli.command.takes_terminal() {
        output = output.speaking(cli.global.log_format());
        log = Some(logging::start(cli.command.is_service(), cli.global.log_format()));
    }
    if output.is_csv() && !cli.command.lists() {
        let failure = Failure::refused("this command lists no rows, so there are no comma-separated values of it");
        output.failure(&failure.hint("--output csv is for list, search, threads, thread-messages and message-search"));
        return ExitCode::from(2);
    }
    let url = connection::nats_url(&cli.global);
    let runs_until_stopped = cli.command.runs_until_stopped();
    let ended = run(cli, output);
    // What is left of the traces goes out before the last word.
    drop(log);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever looks after a service calls any other code a failure.
        Err(Exit::Terminated) if runs_until_stopped => ExitCode::SUCCESS,
        Err(ended) => {
            if let Exit::Failed(failure) = &ended {
                output.failure_at(failure, &url);
            }
            ExitCode::from(ended.code())
        }
    }
}

/// A variable that is set to nothing counts as unset, for us, for the libraries that read the environment themselves, and for
/// the programs that we start: descriptions of containers set every variable that they know (`${NAME:-}`).
#[allow(
    unsafe_code,
    reason = "the environment of the process is changed before it has a second thread"
)]
fn forget_blank_variables() {
    let is_blank = |value: &OsStr| value.to_str().is_some_and(|value| value.trim().is_empty());
    let blank: Vec<_> = std::env::vars_os().filter(|(_, value)| is_blank(value)).collect();
    for (name, _) in blank {
        // SAFETY: this is the first thing that `main` does, and nothing before it starts a thread.
        unsafe { std::env::remove_var(name) };
    }
}

fn run(cli: cli::Cli, output: Output) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::trouble(format!("cannot start: {error}")))?;
    let result = runtime.block_on(cli.command.run(&cli.global, output));
    // A name lookup that hangs in a thread of its own must not hold up the exit.
    runtime.shutdown_background();
    result
}
