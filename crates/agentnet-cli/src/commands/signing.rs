//! Signed identity from the command line: whether to sign, and where the keys are (PROTOCOL.md section 13).

use std::path::PathBuf;

use agentnet::AgentBuilder;
use agentnet_protocol::truth::truth;
use clap::Args;

use crate::ended::Failure;

/// Whether an agent of the command line signs.
#[derive(Debug, Args)]
pub(crate) struct SigningArgs {
    /// Sign what is said, and take only what is signed, as networks with DEV_AUTH=true ask for [env: DEV_AUTH]
    #[arg(long)]
    dev_auth: bool,
    #[command(flatten)]
    keys: KeyDirArgs,
}

/// Where the key files are.
#[derive(Debug, Args)]
pub(crate) struct KeyDirArgs {
    /// Directory of the key files [default: keys in the platform's data directory] [env: DEV_AUTH_KEY_DIR]
    #[arg(long, value_name = "DIR")]
    key_dir: Option<PathBuf>,
}

impl KeyDirArgs {
    /// The directory: the flag, `DEV_AUTH_KEY_DIR`, the user's own.
    pub(crate) fn directory(&self) -> Result<PathBuf, Failure> {
        let says = || std::env::var_os("DEV_AUTH_KEY_DIR").map(PathBuf::from);
        let named = self.key_dir.clone().or_else(says);
        match named.filter(|path| !path.as_os_str().is_empty()) {
            Some(directory) => Ok(directory),
            None => Ok(crate::places::data_dir()?.join("keys")),
        }
    }
}

/// What `DEV_AUTH` says.
pub(crate) fn environment_signs() -> Result<bool, Failure> {
    let Some(value) = std::env::var_os("DEV_AUTH").map(|value| value.to_string_lossy().into_owned()) else {
        return Ok(false);
    };
    truth(&value).ok_or_else(|| {
        Failure::refused(format!("DEV_AUTH={value:?} is neither true nor false"))
            .hint("set DEV_AUTH=true to sign and to take only what is signed, DEV_AUTH=false (or nothing) not to")
    })
}

impl SigningArgs {
    /// The flag, else `DEV_AUTH`. What says neither yes nor no is refused: it may mean that everything is to be signed.
    fn signs(&self) -> Result<bool, Failure> {
        if self.dev_auth { Ok(true) } else { environment_signs() }
    }

    /// The agent, told to sign if it is to.
    pub(crate) fn apply(&self, agent: AgentBuilder) -> Result<AgentBuilder, Failure> {
        if !self.signs()? {
            return Ok(agent.dev_auth(false));
        }
        Ok(agent.dev_auth(true).key_dir(self.keys.directory()?))
    }
}
