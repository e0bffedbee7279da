//! `agentnet mesh`: agents of a YAML file, answered by language models (crate `agentnet-mesh`, docs/MESH.md).

mod ask;
mod check;
mod event_printer;
mod init;
mod metrics_page;
mod run;
mod source;
mod usage;

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;

const AFTER_HELP: &str = "\
Start here, beside `agentnet up`:
  agentnet mesh init --template duo      write mesh.yaml and its prompts
  agentnet mesh check                    is everything there that it needs?
  agentnet mesh run                      run its agents
  agentnet mesh ask KEY 'how are you?'   ask one of them";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Mesh {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run the agents of a file; it is read again when it changes, and on SIGHUP
    Run(Box<run::Run>),
    /// Check a file: its values, the variables that it names, and with --online its providers and MCP servers
    Check(check::Check),
    /// Print the JSON Schema of the file, for editors
    Schema,
    /// Ask an agent, and print its answer as it comes
    Ask(Box<ask::Ask>),
    /// Show what the agents used: tokens and money
    Usage(usage::Usage),
    /// Write a file and its prompts to begin with
    Init(init::Init),
}

impl Mesh {
    /// Whether it is a service.
    pub(crate) fn is_service(&self) -> bool {
        matches!(self.action, Action::Run(_))
    }

    /// Whether it lists rows.
    pub(crate) fn lists(&self) -> bool {
        matches!(self.action, Action::Usage(_))
    }

    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        match self.action {
            Action::Run(command) => command.run(global, output).await,
            Action::Check(command) => command.run(output).await,
            Action::Schema => Ok(output.document(&agentnet_mesh::config::json_schema().to_string())?),
            Action::Ask(command) => command.run(global, output).await,
            Action::Usage(command) => command.run(output),
            Action::Init(command) => command.run(output),
        }
    }
}
