//! The secure mode (PROTOCOL.md section 23): who is a member, and what the broker lets each one do.
//!
//! - `members`: the members of the store, in memory; every request is judged by them
//! - `local_member`: members that the program of the registry makes by itself
//! - `users_file`: the authority `file`, the users of a nats-server in a file that its configuration includes
//!
//! The registry is in secure mode if its own credential is that of a member.

pub(crate) mod local_member;
pub(crate) mod members;
pub(crate) mod users_file;

use std::path::PathBuf;

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
}

impl Authority {
    /// Users in a file, for the server with this pid file.
    #[must_use]
    pub fn file(users: PathBuf, pid: PathBuf) -> Self {
        Self::File { users, pid: Some(pid) }
    }
}
