//! The agent that a command joins the network as: its username, whether it signs, and where its keys are (PROTOCOL.md
//! section 13).

use std::path::{Path, PathBuf};

use agentnet::{AgentBuilder, AgentNode, RegistryClient};
use agentnet_protocol::env_bool::parse_bool;
use agentnet_protocol::rpc::ProfileRequest;
use agentnet_protocol::signature::{SigningKey, key_file_name};
use clap::Args;

use crate::args::{not_blank, trimmed};
use crate::cli::SPEAKER_ARGUMENT;
use crate::connection::{join, own_username};
use crate::data_dir;
use crate::exit::{Exit, Failure};
use crate::failures::{key_failure, registry_failure};
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::signals::StopSignals;

/// The agent that sends.
#[derive(Debug, Args)]
pub(crate) struct IdentityArgs {
    /// Username to speak as [default: that of the credential; without one cli_USER_HOST]
    #[arg(id = SPEAKER_ARGUMENT, long = "as", value_name = "USERNAME", value_parser = not_blank)]
    speak_as: Option<String>,
    #[command(flatten)]
    signing: SigningArgs,
}

/// Whether the agent signs.
#[derive(Debug, Args)]
pub(crate) struct SigningArgs {
    /// Sign messages and accept only signed ones, as networks with DEV_AUTH=true require [env: DEV_AUTH]
    #[arg(long)]
    dev_auth: bool,
    #[command(flatten)]
    keys: KeyDirArgs,
}

/// The directory of the key files.
#[derive(Debug, Args)]
pub(crate) struct KeyDirArgs {
    /// Directory of the key files [default: keys in the platform's data directory] [env: DEV_AUTH_KEY_DIR]
    #[arg(long, value_name = "DIR")]
    key_dir: Option<PathBuf>,
}

impl KeyDirArgs {
    /// The directory: the flag, `DEV_AUTH_KEY_DIR`, the default.
    pub(crate) fn directory(&self) -> Result<PathBuf, Failure> {
        let variable = || std::env::var_os("DEV_AUTH_KEY_DIR").map(PathBuf::from);
        let named = self.key_dir.clone().or_else(variable);
        match named.filter(|path| !path.as_os_str().is_empty()) {
            Some(directory) => Ok(directory),
            None => Ok(data_dir::default_dir()?.join("keys")),
        }
    }
}

/// The key of an account in the directory, for a request that only its owner may make. `whose` names what it is needed for.
///
/// # Errors
/// There is no such key, or it cannot be read.
pub(crate) async fn account_key(
    registry: &RegistryClient,
    directory: &Path,
    account_id: &str,
    whose: &str,
) -> Result<SigningKey, Failure> {
    let profile = ProfileRequest {
        account_id: Some(account_id.to_owned()),
        username: None,
    };
    let profile = registry.call(&profile).await;
    let username = profile.map_err(|error| registry_failure(&error))?.profile.username;
    let path = directory.join(key_file_name(Some(&username), &username));
    agentnet_keys::load(&path).map_err(key_failure)?.ok_or_else(|| {
        Failure::refused(format!(
            "@{} has no key here: there is no {}",
            clean(&username),
            path.display()
        ))
        .hint(format!(
            "only an agent's own key signs for its {whose}: name the directory with --key-dir or DEV_AUTH_KEY_DIR"
        ))
    })
}

/// The value of `DEV_AUTH`.
pub(crate) fn environment_signs() -> Result<bool, Failure> {
    let Some(value) = std::env::var_os("DEV_AUTH").map(|value| value.to_string_lossy().into_owned()) else {
        return Ok(false);
    };
    parse_bool(&value).ok_or_else(|| {
        Failure::refused(format!("DEV_AUTH={value:?} is neither true nor false"))
            .hint("set DEV_AUTH=true to sign and to take only what is signed, DEV_AUTH=false (or nothing) not to")
    })
}

impl SigningArgs {
    /// The flag, else `DEV_AUTH`. An invalid value is refused: it may be meant to turn signing on.
    fn signs(&self) -> Result<bool, Failure> {
        if self.dev_auth { Ok(true) } else { environment_signs() }
    }

    /// The directory of the keys, if the agent signs.
    pub(crate) fn signing_directory(&self) -> Result<Option<PathBuf>, Failure> {
        if self.signs()? {
            self.keys.directory().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Applies the options to the agent.
    pub(crate) fn apply(&self, agent: AgentBuilder) -> Result<AgentBuilder, Failure> {
        if !self.signs()? {
            return Ok(agent.dev_auth(false));
        }
        Ok(agent.dev_auth(true).key_dir(self.keys.directory()?))
    }
}

impl IdentityArgs {
    /// The directory of the keys, if the agent signs.
    pub(crate) fn signing_directory(&self) -> Result<Option<PathBuf>, Failure> {
        self.signing.signing_directory()
    }

    /// The username of the agent.
    pub(crate) fn username(&self, global: &Global) -> String {
        trimmed(self.speak_as.as_ref()).unwrap_or_else(|| own_username(global))
    }

    /// Joins the network as this user's command line: an agent without a message handler.
    pub(crate) async fn join(
        &self,
        global: &Global,
        signals: &mut StopSignals,
        output: Output,
        agent_id: &str,
        name: &str,
    ) -> Result<AgentNode, Exit> {
        join(self.agent(global, agent_id, name)?, global, signals, output).await
    }

    /// The builder of that agent.
    pub(crate) fn agent(&self, global: &Global, agent_id: &str, name: &str) -> Result<AgentBuilder, Failure> {
        let agent = AgentNode::builder(agent_id)
            .name(name)
            .username(self.username(global))
            .keep_profile();
        self.signing.apply(agent)
    }
}
