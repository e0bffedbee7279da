//! Which server a command connects to, and with which credential: the one place that decides it.
//!
//! 1. `--identity FILE`, or `--nats-url URL`
//! 2. `AGENTNET_IDENTITY`
//! 3. `AGENTNET_NATS_URL`, `NATS_URL`
//! 4. in the data directory, the identity of the username that the command names (`--as alice`: `identities/alice.json`)
//! 5. in the data directory, the identity of the operator, which `agentnet up --secure` makes
//! 6. the development address

use std::path::{Path, PathBuf};

use agentnet_keys::MemberIdentity;
use agentnet_nats::{DEFAULT_NATS_URL, IDENTITY_SCHEME};
use agentnet_protocol::member::Role;
use agentnet_protocol::username::normalise;

use crate::data_dir::{default_dir, identity_file, operator_file};
use crate::default_username::default_username;
use crate::exit::Failure;
use crate::global::Global;

/// The server's address, with a credential: a URL, or `identity:FILE`.
pub(crate) fn nats_url(global: &Global) -> String {
    given(global).unwrap_or_else(|| default_nats_url(global.speaker.as_deref()))
}

/// The address that a flag names.
fn given(global: &Global) -> Option<String> {
    let identity = global.identity.as_deref().map(identity_url);
    identity.or_else(|| global.nats_url.clone())
}

/// The server's address where no flag names one. `speaker` is the username to connect as.
pub(crate) fn default_nats_url(speaker: Option<&str>) -> String {
    variable("AGENTNET_IDENTITY")
        .map(|path| identity_url(Path::new(&path)))
        .or_else(|| variable("AGENTNET_NATS_URL"))
        .or_else(|| variable("NATS_URL"))
        .or_else(|| found_identity(speaker).as_deref().map(identity_url))
        .unwrap_or_else(|| DEFAULT_NATS_URL.to_owned())
}

/// The identity of this command, if it has one. One that cannot be read is reported by the connection.
fn own_identity(global: &Global) -> Option<MemberIdentity> {
    let url = nats_url(global);
    let path = url.strip_prefix(IDENTITY_SCHEME)?;
    MemberIdentity::load(Path::new(path)).ok().flatten()
}

/// The username of this command, where it names none: that of its credential; without one, one for each user and host.
pub(crate) fn own_username(global: &Global) -> String {
    own_identity(global).map_or_else(default_username, |identity| identity.username)
}

/// Whether the command may ask a registry for its health: with a token, or as an operator.
pub(crate) fn may_ask_health(global: &Global) -> bool {
    own_identity(global).is_none_or(|identity| {
        let role: Option<Role> = identity.role.parse().ok();
        matches!(role, Some(Role::Operator | Role::Registry))
    })
}

/// Checks that the command may see the messages of others: the server tells a refused subscription to the log alone.
///
/// # Errors
/// Its identity is an agent's.
pub(crate) fn check_observes(global: &Global) -> Result<(), Failure> {
    let Some(identity) = own_identity(global) else {
        return Ok(());
    };
    match identity.role.parse::<Role>() {
        Ok(role) if !role.reads_everything() => Err(Failure::refused(format!(
            "forbidden: @{} is an agent, and only observers and operators see the messages of others",
            identity.username
        ))
        .with_code("forbidden")
        .hint(
            "name the identity of an observer with --identity FILE; `agentnet invite NAME --role observer` makes one",
        )),
        _ => Ok(()),
    }
}

/// Whether a flag or the environment names the identity, so that its name is meant too.
pub(crate) fn names_identity(global: &Global) -> bool {
    global.identity.is_some() || global.nats_url.is_none() && variable("AGENTNET_IDENTITY").is_some()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn identity_url(path: &Path) -> String {
    format!("{IDENTITY_SCHEME}{}", path.display())
}

/// An identity in the data directory. One that is there and cannot be used is taken all the same: its failure says why.
fn found_identity(speaker: Option<&str>) -> Option<PathBuf> {
    let data_dir = default_dir().ok()?;
    let own = speaker.map(|name| identity_file(&data_dir, &normalise(name)));
    let operator = operator_file(&data_dir);
    own.into_iter().chain([operator]).find(|path| path.exists())
}
