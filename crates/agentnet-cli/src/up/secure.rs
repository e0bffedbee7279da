//! The files of the secure mode in a data directory, and the credentials of registry and operator.
//!
//! | File in `secure/` | Content |
//! |---|---|
//! | `registry.json` | identity of the registry |
//! | `operator.json` | identity of the operator: whoever reads this file decides about members |
//! | `users.conf` | users of the NATS server, which its configuration includes; the registry writes it |
//! | `nats.pid` | process id of the NATS server, which reads the users again at a signal |

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use agentnet_keys::MemberIdentity;
use agentnet_protocol::permissions::{Grant, Role, permissions};
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_registry::{Authority, BrokerUser, LocalMember, LocalMemberError, RegistryHandle, write_users_file};

use super::lock::LockedDataDir;
use super::nats_config::Access;
use crate::data_dir::{SECURE_DIR, operator_file};
use crate::exit::Failure;
use crate::failures::key_failure;

/// The directory while the network is in token mode again.
const SECURE_DIR_OFF: &str = "secure.off";
const USERS_FILE: &str = "users.conf";
/// Usernames of the operator: the first that no other account has.
const OPERATOR_NAMES: [&str; 3] = ["operator", "operator_up", "operator_local"];

/// The files of a network in secure mode.
#[derive(Debug, Clone)]
pub(crate) struct SecureFiles {
    dir: PathBuf,
    registry: PathBuf,
    users: PathBuf,
    pid: PathBuf,
    pub(crate) operator: PathBuf,
}

/// Which mode a network starts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By a token.
    Token,
    /// By a token, also where the network was in secure mode.
    TokenAgain,
    /// Each member by a credential of its own.
    Secure,
}

impl SecureFiles {
    fn new(data_dir: &Path) -> Self {
        let dir = data_dir.join(SECURE_DIR);
        Self {
            registry: dir.join("registry.json"),
            users: dir.join(USERS_FILE),
            pid: dir.join("nats.pid"),
            operator: operator_file(data_dir),
            dir,
        }
    }

    /// The files of a data directory for this mode; `None` in token mode.
    ///
    /// # Errors
    /// The network was in secure mode and must not leave it by accident, or its files cannot be used.
    pub(crate) fn of(data_dir: &LockedDataDir, mode: Mode) -> Result<Option<Self>, Failure> {
        let files = Self::new(data_dir.path());
        let off = data_dir.join(SECURE_DIR_OFF);
        let (is_on, is_off) = (files.dir.exists(), off.exists());
        let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(|error| unusable(from, &error));
        match mode {
            Mode::Secure => {
                if is_off && !is_on {
                    rename(&off, &files.dir)?;
                }
                files.make_directory().map_err(|error| unusable(&files.dir, &error))?;
                Ok(Some(files))
            }
            Mode::Token if is_on => Err(was_secure(data_dir.path())),
            Mode::TokenAgain if is_on => {
                // Commands must not find an operator of a network that knows none.
                rename(&files.dir, &off)?;
                Ok(None)
            }
            Mode::Token | Mode::TokenAgain => Ok(None),
        }
    }

    fn make_directory(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o700))
    }

    /// Makes the registry's identity, and the users that the server starts with: the registry alone. It writes the others before
    /// it is ready.
    pub(crate) fn prepare(&self, server_id: &str, url: String) -> Result<(), Failure> {
        let account_id = format!("{REGISTRY_ACCOUNT_PREFIX}{server_id}");
        let known = MemberIdentity::load(&self.registry).map_err(key_failure)?;
        let role = Role::Registry.as_str().to_owned();
        let mut identity =
            known.unwrap_or_else(|| MemberIdentity::generate(Vec::new(), String::new(), "registry".to_owned(), role));
        // The seed stays, whatever the server id and the port are now.
        (identity.urls, identity.account_id) = (vec![url], account_id);
        let permissions = permissions(&Grant {
            role: Role::Registry,
            account_id: &identity.account_id,
            capabilities: &[],
            may_send_to: None,
        });
        let permissions = permissions.map_err(|error| {
            Failure::refused(format!("the server id cannot be part of a credential: {error}"))
                .hint("give --server-id a name of A-Z a-z 0-9 _ -")
        })?;
        identity.replace(&self.registry).map_err(key_failure)?;
        let user = BrokerUser {
            nkey: identity.nkey().public(),
            permissions,
        };
        write_users_file(&self.users, &[user]).map_err(|error| unusable(&self.users, &error))?;
        // The id of a server that is gone may belong to another process now.
        match fs::remove_file(&self.pid) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&self.pid, &error)),
            _ => Ok(()),
        }
    }

    /// How the server lets members in.
    pub(crate) fn access(&self) -> Access {
        Access::Members {
            users: Path::new(SECURE_DIR).join(USERS_FILE),
            pid: self.pid.clone(),
            registry: self.registry.clone(),
        }
    }

    /// How the registry tells the server who is a member.
    pub(crate) fn authority(&self) -> Authority {
        Authority::file(self.users.clone(), self.pid.clone())
    }

    /// Makes the operator, unless the one of the file is a member.
    ///
    /// # Errors
    /// The database or the server does not take it, or the file cannot be used.
    pub(crate) async fn make_operator(&self, registry: &RegistryHandle, url: String) -> Result<(), Failure> {
        let known = MemberIdentity::load(&self.operator).map_err(key_failure)?;
        if let Some(mut known) = known {
            let nkey = known.nkey().public();
            let is_member = registry.is_member(&known.account_id, Role::Operator, &nkey).await;
            if is_member.map_err(no_operator)? {
                if known.urls != [url.as_str()] {
                    known.urls = vec![url];
                    known.replace(&self.operator).map_err(key_failure)?;
                }
                return Ok(());
            }
            tracing::warn!(
                "the operator of {} is no member any more; making a new one",
                self.operator.display()
            );
        }
        let role = Role::Operator.as_str().to_owned();
        let mut identity = MemberIdentity::generate(vec![url], String::new(), String::new(), role);
        let mut last = None;
        let (nkey, key) = (identity.nkey().public(), identity.signing_key());
        for username in OPERATOR_NAMES {
            let member = LocalMember {
                username,
                role: Role::Operator,
                nkey: &nkey,
                public_key: key.public_text(),
            };
            match registry.add_member(member).await {
                Ok(account_id) => {
                    (identity.account_id, identity.username) = (account_id, username.to_owned());
                    return identity.replace(&self.operator).map_err(key_failure);
                }
                Err(error @ LocalMemberError::Taken(_)) => last = Some(error),
                Err(error) => return Err(no_operator(error)),
            }
        }
        Err(last.map_or_else(|| Failure::error("there is no name for the operator"), no_operator))
    }
}

fn no_operator(error: LocalMemberError) -> Failure {
    Failure::error(format!("the operator cannot be made a member: {error}"))
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::error(format!("{} cannot be used: {error}", path.display()))
}

fn was_secure(data_dir: &Path) -> Failure {
    let what = format!("the network in {} is in secure mode", data_dir.display());
    Failure::refused(format!("{what}: without --secure, everybody with the token would read every message")).hint(
        "start it with --secure; --no-secure goes back to a token for good: accounts, history and the members' credentials \
         are kept, the credentials unused",
    )
}
