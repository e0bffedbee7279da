//! `agentnet man`: the manual pages, made from the same definitions as `--help`.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_mangen::Man as Page;

use crate::did_you_mean;
use crate::exit::{Exit, Failure};
use crate::output::Output;

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
    /// Prints or writes the pages of `cli`, the definition of the whole command line.
    pub(crate) fn run(self, mut cli: Command, output: Output) -> Result<(), Exit> {
        if let Some(dir) = self.dir {
            let failed = |error| Failure::error(format!("cannot write the pages to {}: {error}", dir.display()));
            std::fs::create_dir_all(&dir).map_err(failed)?;
            clap_mangen::generate_to(cli, &dir).map_err(failed)?;
            return Ok(output.line(format!("the manual pages are in {}", dir.display()))?);
        }
        cli.build();
        let mut command = cli;
        for name in self.command.iter().flat_map(|words| words.split_whitespace()) {
            let unknown = || {
                let names = command.get_subcommands().map(|known| known.get_name().to_owned());
                let alike = did_you_mean::closest(name, names).map(|known| format!("did you mean `{known}`? "));
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
