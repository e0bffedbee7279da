//! `agentnet man`: the manual pages, made from the same definitions as `--help`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;

use crate::cli::{Cli, Global};
use crate::ended::{Ended, Failure};
use crate::output::Output;
use crate::suggest;

#[derive(Debug, Args)]
#[command(after_help = "\
  agentnet man send | man -l -                      read one page
  agentnet man export thread | man -l -             that of a command below another
  agentnet man --dir ~/.local/share/man/man1        install all of them")]
pub(crate) struct Man {
    /// The command to print the page of [default: agentnet itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write the pages of all commands into this directory instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) async fn run(self, _: &Global, output: Output) -> Result<(), Ended> {
        let mut all = Cli::command();
        all.build();
        if let Some(dir) = self.dir {
            let failed = |error| Failure::trouble(format!("cannot write the pages to {}: {error}", dir.display()));
            std::fs::create_dir_all(&dir).map_err(failed)?;
            clap_mangen::generate_to(Cli::command(), &dir).map_err(failed)?;
            return Ok(output.line(format!("the manual pages are in {}", dir.display()))?);
        }
        let mut command = all;
        for name in self.command.iter().flat_map(|words| words.split_whitespace()) {
            let unknown = || {
                let names = command.get_subcommands().map(|known| known.get_name().to_owned());
                let alike = suggest::closest(name, names).map(|known| format!("did you mean `{known}`? "));
                Failure::refused(format!("there is no command `{name}`"))
                    .hint(alike.unwrap_or_default() + "`agentnet --help` lists them")
            };
            command = command.find_subcommand(name).cloned().ok_or_else(unknown)?;
        }
        let mut page = Vec::new();
        Page::new(command).render(&mut page)?;
        Ok(output.line(String::from_utf8_lossy(&page).trim_end())?)
    }
}
