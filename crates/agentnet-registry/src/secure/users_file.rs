//! The authority `file`: the users of a nats-server, in a file that its configuration includes.
//!
//! The file is written beside and renamed, so that the server reads either the old or the new one, and then the server gets the
//! signal to read it again. A server that cannot read it keeps its users, and says why in its log.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use agentnet_protocol::permissions::{Grant, PermissionError, Permissions, Role, permissions};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

/// A user of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUser {
    /// Public nkey, `U…`.
    pub nkey: String,
    /// Its account; of an invite, its id.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What it may publish and subscribe to.
    pub permissions: Permissions,
}

impl BrokerUser {
    /// A user with the permissions of a grant.
    ///
    /// # Errors
    /// [`PermissionError`]: the grant holds a value that cannot stand in a permission.
    pub fn new(nkey: &str, grant: &Grant<'_>) -> Result<Self, PermissionError> {
        Ok(Self {
            nkey: nkey.to_owned(),
            name: grant.account_id.to_owned(),
            role: grant.role,
            permissions: permissions(grant)?,
        })
    }
}

/// The text of a users file: `users: [ … ]`, to be included in an account of the configuration.
fn users_text(users: &[BrokerUser]) -> String {
    let mut text = String::from("# Written by the registry at every change of a member: changes are lost.\nusers: [\n");
    for user in users {
        let Permissions { publish, subscribe } = &user.permissions;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "  {{ nkey: {}, permissions: {{ publish: {}, subscribe: {} }} }}",
            user.nkey,
            list(publish),
            list(subscribe)
        );
    }
    text.push_str("]\n");
    text
}

/// The entries that are allowed. An empty list allows nothing; left out, it would allow everything.
fn list(subjects: &[String]) -> String {
    match subjects {
        [] => "{ deny: [\">\"] }".to_owned(),
        subjects => {
            // No subject of a permission has a quote or a backslash: `agentnet_protocol::permissions` refuses them.
            let quoted: Vec<String> = subjects.iter().map(|subject| format!("\"{subject}\"")).collect();
            format!("{{ allow: [{}] }}", quoted.join(", "))
        }
    }
}

/// Replaces a users file, for its owner alone.
pub fn write(path: &Path, users: &[BrokerUser]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(users_text(users).as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Has the server read its configuration again. One that does not run reads it at its start.
pub(super) fn reload(pid_file: &Path) -> io::Result<()> {
    let text = match fs::read_to_string(pid_file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let pid = text.trim().parse::<i32>().ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other(format!("{} holds no process id", pid_file.display())))?;
    match kill_process(pid, Signal::HUP) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        outcome => Ok(outcome?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(publish: &[&str], subscribe: &[&str]) -> BrokerUser {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        BrokerUser {
            nkey: "UABC".into(),
            name: "acct_1".into(),
            role: Role::Agent,
            permissions: Permissions {
                publish: texts(publish),
                subscribe: texts(subscribe),
            },
        }
    }

    #[test]
    fn users_are_written_as_the_server_reads_them() {
        let text = users_text(&[user(&["a.b", "c"], &["d.* group"]), user(&[], &["e"])]);
        assert!(text.contains(
            r#"{ nkey: UABC, permissions: { publish: { allow: ["a.b", "c"] }, subscribe: { allow: ["d.* group"] } } }"#
        ));
        assert!(text.contains(r#"publish: { deny: [">"] }, subscribe: { allow: ["e"] }"#));
    }

    #[test]
    fn a_server_that_does_not_run_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("nats.pid");
        reload(&pid).unwrap();
        fs::write(&pid, "x").unwrap();
        assert!(reload(&pid).unwrap_err().to_string().contains("holds no process id"));
    }
}
