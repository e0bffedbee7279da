//! The options of every command.

use std::path::PathBuf;

use crate::args::not_blank;
use crate::logging::LogFormat;
use crate::output::Format;

/// Options of every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Address of the server; see the help text.
    #[arg(
        long,
        global = true,
        value_name = "URL", value_parser = not_blank,
        help_heading = "Global options",
        help = "Server of the network, nats://TOKEN@HOST:PORT; several separated by commas \
                [env: AGENTNET_NATS_URL, NATS_URL] [default: nats://agentnet_secret_token@localhost:4222]"
    )]
    pub(crate) nats_url: Option<String>,
    /// Identity file of a member of a network in secure mode, which names the server too; without it, that of the username or
    /// of the operator in the data directory, if there is one [env: AGENTNET_IDENTITY]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Global options",
        conflicts_with = "nats_url"
    )]
    pub(crate) identity: Option<PathBuf>,
    /// The username that the command joins the network with, if it names one.
    #[arg(skip)]
    pub(crate) speaker: Option<String>,
    /// Print one JSON document on stdout and nothing else (watch, echo: one a line)
    #[arg(long, global = true, help_heading = "Global options", conflicts_with = "output")]
    json: bool,
    /// How to print results; --json is short for --output json
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        help_heading = "Global options",
        default_value = "table",
        hide_possible_values = false
    )]
    output: Format,
    /// Cut nothing, however narrow the terminal
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) wide: bool,
    /// How the log on stderr is written [default: text, json with --json]
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "AGENTNET_LOG_FORMAT",
        value_enum,
        help_heading = "Global options"
    )]
    log_format: Option<LogFormat>,
}

impl Global {
    /// The format of results.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }

    /// The format of the log: JSON by default where results are JSON.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format.unwrap_or(match self.format() {
            Format::Json => LogFormat::Json,
            Format::Table | Format::Csv => LogFormat::Text,
        })
    }
}
