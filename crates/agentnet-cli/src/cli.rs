//! The definition of the command line: commands and their names (PROTOCOL.md section 16).

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches as _, Parser, Subcommand};

use crate::commands;
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::{Format, Output, Tint};

/// Id of the argument with the username that a command joins the network with.
pub(crate) const SPEAKER_ARGUMENT: &str = "speaker";

const AFTER_HELP: &str = "\
Start here:
  agentnet up                                          start a network on this machine
  agentnet echo                                        join it with an agent that answers
  agentnet list                                        who is online
  agentnet request --to-username echo '{\"text\":\"hi\"}'  ask it something

Exit codes: 0 done; 1 no connection, no answer, unusable payload; 2 refused by the network, or wrong usage; 130 Ctrl-C;
143 SIGTERM, but 0 for commands that run until they are stopped.
Logs go to stderr: LOG_LEVEL (error, warn, info, debug) or RUST_LOG sets the level.
OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318 exports the messages' traces (OpenTelemetry).";

/// Agents that find each other, talk, and remember, over NATS.
#[derive(Debug, Parser)]
#[command(name = "agentnet", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a network on this machine: nats-server, registry and storage in one
    Up(commands::up::Up),
    /// Run the registry alone, for a NATS server that runs already
    Registry(commands::registry::Registry),
    /// Let one new member into a network in secure mode: prints the code with which it joins
    Invite(commands::members::invite::InviteMember),
    /// Join a network in secure mode with the code of an invite
    Join(commands::members::join::Join),
    /// Show the members of a network in secure mode
    Members(commands::members::Members),
    /// Change what a member may do
    Grant(commands::members::grant::Grant),
    /// End a membership: the member is cut off at once
    Revoke(commands::members::revoke::Revoke),
    /// Set up a network in secure mode on NATS servers of your own
    Secure(commands::secure::Secure),
    /// Show the agents that are online
    List(commands::list::List),
    /// Search agents by name or capability, online or not
    Search(commands::search::Search),
    /// Show one agent's profile
    Profile(commands::profile::Profile),
    /// Show threads, latest activity first
    Threads(commands::threads::Threads),
    /// Show one thread's counters
    ThreadStatus(commands::thread_status::ThreadStatus),
    /// Page through the messages of one thread, newest first
    ThreadMessages(commands::thread_messages::ThreadMessages),
    /// Search messages by thread, sender, receiver, kind and time
    MessageSearch(commands::message_search::MessageSearch),
    /// Show one message: payload, reply, and how long that took
    Message(commands::message::Message),
    /// Send a message and wait until it is accepted
    Send(commands::send::SendMessage),
    /// Send a message and wait for the answer
    Request(commands::request::Request),
    /// Show and manage the messages that wait for agents that are offline
    Mailbox(commands::mailbox::Mailbox),
    /// Assign, inspect and do tasks: work that outlives a call
    Task(commands::task::Task),
    /// As `task list`
    Tasks(commands::task::list::List),
    /// As `task status`
    TaskStatus(commands::task::status::Status),
    /// Show whether an agent is online, and what it works on
    AgentStatus(commands::task::agent_status::AgentStatus),
    /// Talk with an agent, line by line
    Chat(commands::chat::Chat),
    /// Print messages as they pass
    Watch(commands::watch::Watch),
    /// Watch the network live on the whole terminal: agents, messages, threads
    Top(commands::top::Top),
    /// Show the registry's metrics
    Metrics(commands::metrics::Metrics),
    /// Join as an agent that answers what it gets
    Echo(commands::echo::Echo),
    /// Run agents of a YAML file, answered by language models
    #[cfg(feature = "mesh")]
    Mesh(commands::mesh::Mesh),
    /// Watch two language models talk over the network
    #[cfg(feature = "mesh")]
    Demo(commands::demo::Demo),
    /// Write a whole thread as Markdown or JSON lines
    Export(commands::export::Export),
    /// Check what is well on the network, what is not, and what to do about it
    Doctor(commands::doctor::Doctor),
    /// Show, make and rotate the keys that this user's agents sign with
    Keys(commands::keys::Keys),
    /// Check a registry or an agent, ours or another's, against the protocol
    Conformance(commands::conformance::Conformance),
    /// Print what a shell needs to complete agentnet's commands, usernames and threads
    Completions(commands::completions::Completions),
    /// Print manual pages
    Man(commands::man::Man),
}

impl Command {
    /// Whether the command is a service, which logs at level info by default.
    pub(crate) fn is_service(&self) -> bool {
        match self {
            Self::Up(_) | Self::Registry(_) => true,
            #[cfg(feature = "mesh")]
            Self::Mesh(command) => command.is_service(),
            _ => false,
        }
    }

    /// Whether the command runs until it is stopped, so that SIGTERM is a normal end.
    pub(crate) fn runs_until_stopped(&self) -> bool {
        match self {
            Self::Up(_) | Self::Echo(_) | Self::Watch(_) | Self::Chat(_) | Self::Top(_) => true,
            Self::Registry(_) => !self.is_health_check(),
            Self::Task(command) => command.runs_until_stopped(),
            #[cfg(feature = "mesh")]
            Self::Mesh(command) => command.is_service(),
            #[cfg(feature = "mesh")]
            Self::Demo(command) => command.runs_until_stopped(),
            _ => false,
        }
    }

    /// Whether the command lists rows.
    pub(crate) fn lists(&self) -> bool {
        match self {
            Self::List(_) | Self::Search(_) | Self::Threads(_) | Self::Members(_) => true,
            Self::ThreadMessages(_) | Self::MessageSearch(_) => true,
            Self::Mailbox(command) => command.lists(),
            Self::Task(command) => command.lists(),
            Self::Tasks(_) => true,
            #[cfg(feature = "mesh")]
            Self::Mesh(command) => command.lists(),
            _ => false,
        }
    }

    /// Whether the command is a health check, which prints one line and no log, whatever the environment of the service
    /// configures.
    pub(crate) fn is_health_check(&self) -> bool {
        matches!(self, Self::Registry(command) if command.health)
    }

    /// Whether the command draws on the whole terminal, where a log would disturb it.
    pub(crate) fn takes_terminal(&self) -> bool {
        matches!(self, Self::Top(_)) && std::io::stderr().is_terminal()
    }

    /// Runs the command to its end.
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        match self {
            Self::Up(command) => command.run(global, output).await,
            Self::Registry(command) => command.run(global, output).await,
            Self::Invite(command) => command.run(global, output).await,
            Self::Join(command) => command.run(global, output).await,
            Self::Members(command) => command.run(global, output).await,
            Self::Grant(command) => command.run(global, output).await,
            Self::Revoke(command) => command.run(global, output).await,
            Self::Secure(command) => command.run(global, output).await,
            Self::List(command) => command.run(global, output).await,
            Self::Search(command) => command.run(global, output).await,
            Self::Profile(command) => command.run(global, output).await,
            Self::Threads(command) => command.run(global, output).await,
            Self::ThreadStatus(command) => command.run(global, output).await,
            Self::ThreadMessages(command) => command.run(global, output).await,
            Self::MessageSearch(command) => command.run(global, output).await,
            Self::Message(command) => command.run(global, output).await,
            Self::Send(command) => command.run(global, output).await,
            Self::Request(command) => command.run(global, output).await,
            Self::Mailbox(command) => command.run(global, output).await,
            Self::Task(command) => command.run(global, output).await,
            Self::Tasks(command) => command.run(global, output).await,
            Self::TaskStatus(command) => command.run(global, output).await,
            Self::AgentStatus(command) => command.run(global, output).await,
            Self::Chat(command) => command.run(global, output).await,
            Self::Watch(command) => command.run(global, output).await,
            Self::Top(command) => command.run(global, output).await,
            Self::Metrics(command) => command.run(global, output).await,
            Self::Echo(command) => command.run(global, output).await,
            #[cfg(feature = "mesh")]
            Self::Mesh(command) => command.run(global, output).await,
            #[cfg(feature = "mesh")]
            Self::Demo(command) => command.run(global, output).await,
            Self::Export(command) => command.run(global, output).await,
            Self::Completions(command) => command.run(global, output).await,
            Self::Man(command) => command.run(Cli::command(), output),
            Self::Doctor(command) => command.run(global, output).await,
            Self::Keys(command) => command.run(global, output).await,
            Self::Conformance(command) => command.run(global, output).await,
        }
    }
}

/// Parses the arguments. `Err` is the exit code if there is no command to run: help, version, usage error, no arguments.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, u8> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if arguments.len() < 2 {
        let output = Output::detect(Format::Table, false);
        let name = output.tint(Tint::Bold, concat!("agentnet ", env!("CARGO_PKG_VERSION")));
        let banner = format!(
            "{name} · a network for software agents\n\n{}",
            Cli::command().render_help()
        );
        // The error of a closed stdout needs no report.
        let _ = output.line(banner.trim_end());
        return Err(0);
    }
    let json = asks_for_json(&arguments);
    parsed(arguments).map_err(|error| {
        let helps = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if json && !helps {
            Output::detect(Format::Json, false).failure(&usage_failure(&error.render().to_string()));
            return 2;
        }
        // clap writes help to stdout and errors to stderr. The error of a closed one needs no report.
        let _ = error.print();
        if helps { 0 } else { 2 }
    })
}

/// Parses the arguments. The username that a command joins with chooses its credential, so the global options know it.
fn parsed(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches_from(arguments)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))?;
    cli.global.speaker = speaker(&matches);
    Ok(cli)
}

/// The username that the command joins the network with, if the arguments name one.
fn speaker(matches: &ArgMatches) -> Option<String> {
    let (name, command) = matches.subcommand()?;
    let named = |id: &str| command.try_get_one::<String>(id).ok().flatten().cloned();
    named(SPEAKER_ARGUMENT)
        .or_else(|| (name == "echo").then(|| commands::echo::DEFAULT_USERNAME.to_owned()))
        .or_else(|| speaker(command))
}

/// Whether invalid arguments ask for JSON.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let words = words.split(|word| *word == "--").next().unwrap_or_default();
    let named = words.windows(2).any(|pair| pair == ["--output", "json"]);
    named || words.iter().any(|word| matches!(*word, "--json" | "--output=json"))
}

/// The failure for a usage error of clap, with its advice as the hint.
fn usage_failure(text: &str) -> Failure {
    let mut parts = text
        .trim()
        .split("\n\n")
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let what = parts.next().unwrap_or_default();
    let failure = Failure::refused(what.trim_start_matches("error: ")).with_code("wrong_usage");
    match parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ") {
        advice if advice.is_empty() => failure,
        advice => failure.hint(advice),
    }
}

#[cfg(test)]
mod tests;
