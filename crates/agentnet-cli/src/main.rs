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
    unset_blank_variables();
    // Answers a shell that asks for completions.
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
        output = output.with_log_format(cli.global.log_format());
        log = Some(logging::start(cli.command.is_service(), cli.global.log_format()));
    }
    if output.is_csv() && !cli.command.lists() {
        let failure = Failure::refused("this command lists no rows, so there are no comma-separated values of it");
        output.failure(&failure.hint(
            "--output csv is for list, members, search, threads, thread-messages, message-search, mailbox list and task list",
        ));
        return ExitCode::from(2);
    }
    let url = connection::nats_url(&cli.global);
    let runs_until_stopped = cli.command.runs_until_stopped();
    let ended = run(cli, output);
    // Exports the remaining traces before the last message.
    drop(log);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // A service manager treats any other exit code as a failure.
        Err(Exit::Terminated) if runs_until_stopped => ExitCode::SUCCESS,
        Err(ended) => {
            if let Exit::Failed(failure) = &ended {
                output.failure_at(failure, &url);
            }
            ExitCode::from(ended.code())
        }
    }
}

/// Unsets blank variables, for this program, its libraries and its child processes: container descriptions set every variable
/// that they know (`${NAME:-}`).
#[allow(
    unsafe_code,
    reason = "the environment of the process is changed before it has a second thread"
)]
fn unset_blank_variables() {
    let is_blank = |value: &OsStr| value.to_str().is_some_and(|value| value.trim().is_empty());
    let blank: Vec<_> = std::env::vars_os().filter(|(_, value)| is_blank(value)).collect();
    for (name, _) in blank {
        // SAFETY: `main` calls this first; no other thread runs yet.
        unsafe { std::env::remove_var(name) };
    }
}

fn run(cli: cli::Cli, output: Output) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::error(format!("cannot start: {error}")))?;
    let result = runtime.block_on(cli.command.run(&cli.global, output));
    // A blocked DNS lookup on another thread must not delay the exit.
    runtime.shutdown_background();
    result
}
