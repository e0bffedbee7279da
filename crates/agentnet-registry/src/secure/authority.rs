//! What tells the broker who may do what: the settings.

use std::path::PathBuf;
use std::time::Duration;

use agentnet_protocol::nats_jwt::DEFAULT_CONTROL_LINE_BYTES;

/// The account of a static configuration that members are put into, unless the settings name another one.
pub(crate) const DEFAULT_ACCOUNT: &str = "AGENTNET";

/// How this registry tells the broker who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authority {
    /// Users in a file that the configuration of nats-server includes; the server reads it again at a signal.
    File {
        /// The file with the users, written whole at each change.
        users: PathBuf,
        /// The file with the process id of the server. Without one, something else has the server read the users again.
        pid: Option<PathBuf>,
    },
    /// Servers in operator mode: each member has a JWT that this registry signs (PROTOCOL.md section 23.8).
    Jwt(SigningAuthority),
    /// Servers with a static configuration that ask the registry about each client that connects.
    Callout(SigningAuthority),
}

impl Authority {
    /// Users in a file, for the server with this pid file.
    #[must_use]
    pub fn file(users: PathBuf, pid: PathBuf) -> Self {
        Self::File { users, pid: Some(pid) }
    }

    /// JWTs, signed by the key in this file.
    #[must_use]
    pub fn jwt(key: PathBuf) -> Self {
        Self::Jwt(SigningAuthority::new(key))
    }

    /// Answers to callouts, signed by the key in this file.
    #[must_use]
    pub fn callout(key: PathBuf) -> Self {
        Self::Callout(SigningAuthority::new(key))
    }

    /// The settings of an authority that signs.
    pub(crate) fn signing_mut(&mut self) -> Option<&mut SigningAuthority> {
        match self {
            Self::File { .. } => None,
            Self::Jwt(signing) | Self::Callout(signing) => Some(signing),
        }
    }
}

/// The settings of an authority that signs JWTs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SigningAuthority {
    /// The file with the seed of an account key, `SA…`.
    pub key: PathBuf,
    /// For JWTs the account's public key, where the seed is that of one of its signing keys; for callouts the name of the account
    /// that members are put into.
    pub account: Option<String>,
    /// The file with the credentials of a user of the system account: members are cut off at once.
    pub sys_creds: Option<PathBuf>,
    /// The file with the seed of the operator's key or signing key, `SO…`: revocations are written into the account's JWT.
    pub operator_key: Option<PathBuf>,
    /// How long a credential lives.
    pub lifetime: Option<Duration>,
    /// The longest line that the servers take: their `max_control_line`.
    pub max_control_line: usize,
}

impl SigningAuthority {
    /// The key alone, and the servers' defaults.
    #[must_use]
    pub fn new(key: PathBuf) -> Self {
        Self {
            key,
            account: None,
            sys_creds: None,
            operator_key: None,
            lifetime: None,
            max_control_line: DEFAULT_CONTROL_LINE_BYTES,
        }
    }
}
