//! `agentnet demo`: language models that talk over the network, configured by the environment.

mod duo;

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Two agents: A asks questions about a goal, B answers
    Duo(duo::Duo),
}

impl Demo {
    /// Whether it runs until it is stopped.
    pub(crate) fn runs_until_stopped(&self) -> bool {
        let What::Duo(duo) = &self.what;
        duo.runs_until_stopped()
    }

    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let What::Duo(duo) = self.what;
        duo.run(global, output).await
    }
}
