//! `agentnet keys`: the signing keys of this user's agents (PROTOCOL.md sections 13.1 and 13.5).

use std::path::PathBuf;

use agentnet::RotateError;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::rpc::ResolveAccountRequest;
use agentnet_protocol::signature::key_file_name;
use clap::{Args, Subcommand};

use super::identity_args::KeyDirArgs;
use crate::args::{checked_username, trimmed};
use crate::connection::connect_registry;
use crate::default_username::default_username;
use crate::exit::{Exit, Failure};
use crate::failures::{key_failure, registry_failure};
use crate::global::Global;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a key: its file and its public half
    Show(Which),
    /// Make a key before an agent needs it; an existing key is not replaced
    New(Which),
    /// Bind a new key to the account in the place of the old one, which signs for it
    Rotate(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// Username of the agent whose key it is [default: cli_USER_HOST]
    #[arg(long = "as", value_name = "USERNAME", value_parser = crate::args::not_blank)]
    username: Option<String>,
    #[command(flatten)]
    directory: KeyDirArgs,
}

impl Which {
    fn username(&self) -> String {
        let given = trimmed(self.username.as_ref()).map(|name| name.trim_start_matches('@').to_owned());
        given.filter(|name| !name.is_empty()).unwrap_or_else(default_username)
    }

    /// Checks the username: a key of an agent that cannot register is useless.
    fn checked(self) -> Result<Self, Failure> {
        checked_username(&self.username()).map(|_| self)
    }

    fn path(&self) -> Result<PathBuf, Failure> {
        let username = self.username();
        Ok(self
            .directory
            .directory()?
            .join(key_file_name(Some(&username), &username)))
    }
}

impl Keys {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        match self.action {
            Action::Show(which) => show(&which.checked()?, output),
            Action::New(which) => new(&which.checked()?, output),
            Action::Rotate(which) => rotate(&which.checked()?, global, output).await,
        }
    }
}

fn show(which: &Which, output: Output) -> Result<(), Exit> {
    let path = which.path()?;
    let key = agentnet_keys::load(&path).map_err(key_failure)?.ok_or_else(|| {
        Failure::refused(format!(
            "@{} has no key here: there is no {}",
            which.username(),
            path.display()
        ))
        .hint("`agentnet keys new` makes one, and so does the first start of an agent with --dev-auth")
    })?;
    print(which, &path, key.public_text(), "", output)
}

fn new(which: &Which, output: Output) -> Result<(), Exit> {
    let path = which.path()?;
    let key = agentnet_keys::generate();
    agentnet_keys::create(&path, &key).map_err(key_failure)?;
    print(which, &path, key.public_text(), "made", output)
}

async fn rotate(which: &Which, global: &Global, output: Output) -> Result<(), Exit> {
    let path = which.path()?;
    let work = async {
        let registry = connect_registry(global).await?;
        let account = ResolveAccountRequest {
            username: which.username(),
        };
        let account = registry
            .call(&account)
            .await
            .map_err(|error| match registry_failure(&error) {
                failure if failure.has_text("not_found") => failure.hint(format!(
                    "@{} has no account that a key is bound to: the first start of the agent makes it",
                    which.username()
                )),
                failure => failure,
            })?;
        registry
            .rotate_key_file(&account.account_id, &path)
            .await
            .map_err(|error| rotate_failure(error).into())
    };
    let public = StopSignals::listen()?.unless(work).await?;
    print(which, &path, &public, "rotated", output)
}

fn print(which: &Which, path: &std::path::Path, public: &str, done: &str, output: Output) -> Result<(), Exit> {
    if output.is_json() {
        let mut document = ObjectWriter::new();
        document
            .text("username", &which.username())
            .text("public_key", public)
            .text("file", &path.to_string_lossy());
        return Ok(output.document(&document.finish())?);
    }
    let name = |text: &str| output.tint(Tint::Dim, &format!("{text:<11}"));
    let done = match done {
        "" => String::new(),
        done => format!("{} key {done}\n", output.tint(Tint::Green, "✓")),
    };
    Ok(output.line(format!(
        "{done}{}@{}\n{}{public}\n{}{}",
        name("Agent"),
        which.username(),
        name("Public key"),
        name("File"),
        path.display()
    ))?)
}

fn rotate_failure(error: RotateError) -> Failure {
    let text = error.to_string();
    match error {
        RotateError::Refused(code) if code == "auth_public_key_mismatch" => Failure::refused(text)
            .hint("the account is bound to another key than this file's: --key-dir names another place"),
        RotateError::Refused(code) if code == "auth_claims_timestamp_skew" => Failure::refused(text)
            .hint("the clocks of this machine and of the registry differ too much: set this one's"),
        RotateError::NoKey(_) => Failure::refused(text).hint("`agentnet keys show` tells where it is looked for"),
        RotateError::Unanswered(_) => Failure::error(text),
        _ => Failure::refused(text),
    }
}
