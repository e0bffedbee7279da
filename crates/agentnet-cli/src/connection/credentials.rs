//! Which server a command connects to, and as whom: the one place that decides it.
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
use agentnet_protocol::username::normalise;

use crate::data_dir::{default_dir, identity_file, operator_file};
use crate::default_username::default_username;
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

/// The username of this command, where it names none: that of its credential; without one, one for each user and host.
pub(crate) fn own_username(global: &Global) -> String {
    let url = nats_url(global);
    let identity = url.strip_prefix(IDENTITY_SCHEME).and_then(|path| {
        // An identity that cannot be read is reported by the connection.
        MemberIdentity::load(Path::new(path)).ok().flatten()
    });
    identity.map_or_else(default_username, |identity| identity.username)
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
