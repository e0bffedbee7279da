//! `agentnet completions`: the completion scripts of shells.

use std::fmt;

use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::Output;

/// The environment variable with which a completion script requests candidates.
pub(crate) const VARIABLE: &str = "AGENTNET_COMPLETE";
const PROGRAM: &str = "agentnet";

#[derive(Debug, Args)]
#[command(after_help = "\
Set it up once; the script asks `agentnet` itself, so that usernames and threads are those of the network:
  bash        echo 'source <(agentnet completions bash)' >> ~/.bashrc
  zsh         echo 'source <(agentnet completions zsh)' >> ~/.zshrc
  fish        agentnet completions fish > ~/.config/fish/completions/agentnet.fish
  powershell  agentnet completions powershell >> $PROFILE")]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
    Elvish,
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
            Self::Elvish => "elvish",
        })
    }
}

impl Completions {
    pub(crate) async fn run(self, _: &Global, output: Output) -> Result<(), Exit> {
        let shells = Shells::builtins();
        let shell = self.shell.to_string();
        let unknown = || Failure::error(format!("there are no completions for {shell}"));
        let completer = shells.completer(&shell).ok_or_else(unknown)?;
        let mut script = Vec::new();
        completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
        Ok(output.line(String::from_utf8_lossy(&script).trim_end())?)
    }
}
