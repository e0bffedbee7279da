//! The files of the secure mode in a data directory, and the credentials of registry and operator.
//!
//! | File in `secure/` | Content |
//! |---|---|
//! | `registry.json` | identity of the registry |
//! | `operator.json` | identity of the operator: whoever reads this file decides about members |
//! | `users.conf` | users of the NATS server, which its configuration includes; the registry writes it |
//! | `operator.nk`, `account.nk`, `system.nk`, `sys.creds`, `accounts/` | with `--authority jwt`: what a server in operator mode needs |
//! | `nats.pid` | process id of the NATS server, which reads the users again at a signal |

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use agentnet_keys::MemberIdentity;
use agentnet_protocol::permissions::{Grant, Role};
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_registry::{
    Authority, BrokerUser, LocalMember, LocalMemberError, OperatorMode, RegistryConfig, RegistryHandle,
    write_users_file,
};

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
    /// The keys of the server, if it is in operator mode.
    keys: Option<OperatorMode>,
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
            keys: None,
            dir,
        }
    }

    /// Reads or makes the keys of a server in operator mode, where it is to be in it, or was before and nothing else is said.
    fn with_keys(mut self, authority: Option<&Authority>) -> Result<Self, Failure> {
        let is_jwt = match authority {
            Some(authority) => matches!(authority, Authority::Jwt(_)),
            None => self.dir.join("account.nk").exists(),
        };
        if is_jwt {
            self.keys = Some(OperatorMode::load_or_create(&self.dir).map_err(|error| unusable(&self.dir, &error))?);
        }
        Ok(self)
    }

    /// Refuses settings that do not go together, before anything is made or looked for.
    ///
    /// # Errors
    /// The network was in secure mode and must not leave it by accident, or the authority or the server id does not fit.
    pub(crate) fn check(data_dir: &LockedDataDir, mode: Mode, config: &RegistryConfig) -> Result<(), Failure> {
        match mode {
            Mode::Secure => {
                // For its refusal; the user itself is made with the registry's key.
                registry_user("", &registry_account(&config.server_id))?;
            }
            Mode::Token if Self::new(data_dir.path()).dir.exists() => return Err(was_secure(data_dir.path())),
            Mode::Token | Mode::TokenAgain => {}
        }
        check_authority(mode, config.authority.as_ref())
    }

    /// The files of a data directory for this mode, which was checked; `None` in token mode.
    ///
    /// # Errors
    /// The files cannot be made, read or moved.
    pub(crate) fn of(
        data_dir: &LockedDataDir,
        mode: Mode,
        authority: Option<&Authority>,
    ) -> Result<Option<Self>, Failure> {
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
                files.with_keys(authority).map(Some)
            }
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
        let account_id = registry_account(server_id);
        let known = MemberIdentity::load(&self.registry).map_err(key_failure)?;
        let role = Role::Registry.as_str().to_owned();
        let mut identity =
            known.unwrap_or_else(|| MemberIdentity::generate(Vec::new(), String::new(), "registry".to_owned(), role));
        // The seed stays, whatever the server id and the port are now.
        (identity.urls, identity.account_id) = (vec![url], account_id);
        let user = registry_user(&identity.nkey().public(), &identity.account_id)?;
        identity.replace(&self.registry).map_err(key_failure)?;
        if self.keys.is_none() {
            write_users_file(&self.users, &[user]).map_err(|error| unusable(&self.users, &error))?;
        }
        // The id of a server that is gone may belong to another process now.
        match fs::remove_file(&self.pid) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&self.pid, &error)),
            _ => Ok(()),
        }
    }

    /// How the server lets members in.
    pub(crate) fn access(&self) -> Result<Access, Failure> {
        let (pid, registry) = (self.pid.clone(), self.registry.clone());
        let Some(keys) = &self.keys else {
            return Ok(Access::Members {
                users: Path::new(SECURE_DIR).join(USERS_FILE),
                pid,
                registry,
            });
        };
        let config = keys.server_config(&self.dir.join("accounts"));
        let config = config.map_err(|error| unusable(&self.dir, &io::Error::other(error)))?;
        Ok(Access::Operator { config, pid, registry })
    }

    /// How the registry tells the server who is a member. `settings`: how long credentials live.
    pub(crate) fn authority(&self, settings: Option<&Authority>) -> Authority {
        let Some(keys) = &self.keys else {
            return Authority::file(self.users.clone(), self.pid.clone());
        };
        let mut authority = keys.authority();
        if let (Authority::Jwt(own), Some(Authority::Jwt(settings))) = (&mut authority, settings) {
            own.lifetime = settings.lifetime;
        }
        authority
    }
}

/// Makes the operator, unless the one of the file is a member.
///
/// # Errors
/// The database or the server does not take it, or the file cannot be used.
pub(crate) async fn make_operator(file: &Path, registry: &RegistryHandle, url: String) -> Result<(), Failure> {
    let known = MemberIdentity::load(file).map_err(key_failure)?;
    if let Some(mut known) = known {
        let nkey = known.nkey().public();
        let is_member = registry.is_member(&known.account_id, Role::Operator, &nkey).await;
        if is_member.map_err(no_operator)? {
            let is_moved = known.urls != [url.as_str()];
            known.urls = vec![url];
            if add_credentials(&mut known, registry).await? || is_moved {
                known.replace(file).map_err(key_failure)?;
            }
            return Ok(());
        }
        tracing::warn!(
            "the operator of {} is no member any more; making a new one",
            file.display()
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
                add_credentials(&mut identity, registry).await?;
                return identity.replace(file).map_err(key_failure);
            }
            Err(error @ LocalMemberError::Taken(_)) => last = Some(error),
            Err(error) => return Err(no_operator(error)),
        }
    }
    Err(last.map_or_else(|| Failure::error("there is no name for the operator"), no_operator))
}

/// Adds the JWTs by which the server lets it in, if it does so by JWTs.
async fn add_credentials(identity: &mut MemberIdentity, registry: &RegistryHandle) -> Result<bool, Failure> {
    let credentials = registry.credentials(&identity.account_id).await;
    let Some(credentials) = credentials.map_err(no_operator)? else {
        return Ok(false);
    };
    (identity.jwt, identity.renewal_jwt) = (Some(credentials.jwt), Some(credentials.renewal_jwt));
    Ok(true)
}

fn no_operator(error: LocalMemberError) -> Failure {
    Failure::error(format!("the operator cannot be made a member: {error}"))
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::error(format!("{} cannot be used: {error}", path.display()))
}

fn registry_account(server_id: &str) -> String {
    format!("{REGISTRY_ACCOUNT_PREFIX}{server_id}")
}

/// The registry as a user of the server.
fn registry_user(nkey: &str, account_id: &str) -> Result<BrokerUser, Failure> {
    let grant = Grant {
        role: Role::Registry,
        account_id,
        capabilities: &[],
        may_send_to: None,
    };
    BrokerUser::new(nkey, &grant).map_err(|error| {
        Failure::refused(format!("the server id cannot be part of a credential: {error}"))
            .hint("give --server-id a name of A-Z a-z 0-9 _ -")
    })
}

/// Refuses an authority that the own server cannot have, before anything is made.
fn check_authority(mode: Mode, authority: Option<&Authority>) -> Result<(), Failure> {
    match (mode, authority) {
        (Mode::Secure, Some(Authority::Callout(_))) => Err(Failure::refused(
            "`agentnet up` runs a nats-server of its own, which does not use authorization callouts",
        )
        .hint("leave --authority out; for a server of yours: agentnet secure export --authority callout")),
        (Mode::Secure, _) | (_, None) => Ok(()),
        (_, Some(_)) => Err(Failure::refused("--authority is for a network in secure mode")
            .hint("start it with --secure, or leave --authority out")),
    }
}

fn was_secure(data_dir: &Path) -> Failure {
    let what = format!("the network in {} is in secure mode", data_dir.display());
    Failure::refused(format!("{what}: without --secure, everybody with the token would read every message")).hint(
        "start it with --secure; --no-secure goes back to a token for good: accounts, history and the members' credentials \
         are kept, the credentials unused",
    )
}
