//! Finds the servers' executables.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::error::StartError;

/// The oldest supported version of nats-server.
const MIN_NATS_VERSION: (u32, u32) = (2, 11);

const NATS_HINT: &str = "run `make tools`, or set AGENTNET_NATS_SERVER to a nats-server of 2.11 or newer";
const POSTGRES_HINT: &str = "run `scripts/postgres.sh`, which installs it on Debian and says what to do elsewhere";

/// The nats-server executable that [`NatsServer`](crate::NatsServer) runs: `AGENTNET_NATS_SERVER`; beside the test's
/// own executable; `PATH`; the checkout's `.tools/bin`. Servers older than 2.11 are skipped.
///
/// # Errors
/// [`StartError::Unusable`] when `AGENTNET_NATS_SERVER` names a wrong or too old file, [`StartError::NotFound`] when
/// there is none, with the places that were searched.
pub fn find_nats_server() -> Result<PathBuf, StartError> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = FOUND.get() {
        return Ok(path.clone());
    }
    let named = env::var_os("AGENTNET_NATS_SERVER").filter(|path| !path.is_empty());
    let path = choose_nats_server(named.as_deref(), &nats_candidates())?;
    Ok(FOUND.get_or_init(|| path).clone())
}

/// The executable `named`, if given, or the first usable one of `candidates`.
fn choose_nats_server(named: Option<&OsStr>, candidates: &[PathBuf]) -> Result<PathBuf, StartError> {
    if let Some(path) = named.map(PathBuf::from) {
        return match check_nats_server(&path) {
            Ok(()) => Ok(path),
            Err(problem) => Err(StartError::Unusable { path, problem }),
        };
    }
    let mut refused = Vec::new();
    for path in candidates.iter().filter(|path| path.is_file()) {
        match check_nats_server(path) {
            Ok(()) => return Ok(path.clone()),
            Err(problem) => refused.push(format!("{}: {problem}", path.display())),
        }
    }
    let looked = if refused.is_empty() {
        "looked beside the test executable, in PATH and in .tools/bin of the checkout".to_owned()
    } else {
        refused.join("; ")
    };
    Err(StartError::NotFound {
        program: "nats-server",
        looked,
        hint: NATS_HINT,
    })
}

/// Every place where a nats-server may be, in order.
fn nats_candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(own) = env::current_exe() {
        // Test executables are in target/<profile>/deps, the others one level up.
        folders.extend(own.ancestors().skip(1).take(2).map(Path::to_owned));
    }
    folders.extend(path_folders());
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    for start in manifest.into_iter().chain([PathBuf::from(env!("CARGO_MANIFEST_DIR"))]) {
        folders.extend(start.ancestors().map(|folder| folder.join(".tools/bin")));
    }
    folders.into_iter().map(|folder| folder.join("nats-server")).collect()
}

/// Whether `path` is a nats-server that is new enough; `Err` with the reason otherwise.
fn check_nats_server(path: &Path) -> Result<(), String> {
    let output = Command::new(path)
        .arg("--version")
        .output()
        .map_err(|error| format!("it does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = parse_version(&text).ok_or("it is not a nats-server: `--version` gives no version of one")?;
    if version < MIN_NATS_VERSION {
        let (major, minor) = version;
        return Err(format!(
            "it is version {major}.{minor}, and {}.{} or newer is needed",
            MIN_NATS_VERSION.0, MIN_NATS_VERSION.1
        ));
    }
    Ok(())
}

/// Major and minor number of `nats-server: v2.15.1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The folder of PostgreSQL's executables (`initdb`, `postgres`, `createdb`): in `PATH`, or the newest of the usual
/// places of Debian, Red Hat and Homebrew, which keep them out of `PATH`.
///
/// # Errors
/// [`StartError::NotFound`] when PostgreSQL is not installed.
pub fn find_postgres() -> Result<PathBuf, StartError> {
    let mut folders: Vec<_> = path_folders();
    folders.extend(versions_of("/usr/lib/postgresql"));
    folders.extend(["/usr/pgsql/bin", "/usr/local/pgsql/bin"].map(PathBuf::from));
    for brew in ["/opt/homebrew/opt", "/usr/local/opt"] {
        folders.extend(
            versions_of(brew)
                .into_iter()
                .filter(|folder| folder.to_string_lossy().contains("postgresql")),
        );
    }
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "createdb"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    folders.into_iter().find(complete).ok_or_else(|| StartError::NotFound {
        program: "PostgreSQL",
        looked: "looked for initdb in PATH and in /usr/lib/postgresql/*/bin".to_owned(),
        hint: POSTGRES_HINT,
    })
}

/// `<root>/*/bin`, highest version number first.
fn versions_of(root: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Vec::new();
    };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path().join("bin")).collect();
    let number = |folder: &PathBuf| -> u32 {
        let digits: String = folder.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    };
    folders.sort_by_key(|folder| std::cmp::Reverse(number(folder)));
    folders
}

fn path_folders() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// An executable that answers `--version` with `line`.
    ///
    /// Another process writes it: a file that this one has open for writing cannot be executed, and a test that starts
    /// a process at the same moment would hand the open file on.
    fn pretend(folder: &TempDir, name: &str, line: &str) -> PathBuf {
        let path = folder.path().join(name);
        let script = "printf '#!/bin/sh\\necho \"%s\"\\n' \"$2\" >\"$1\" && chmod 755 \"$1\"";
        let status = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&path)
            .arg(line)
            .status()
            .unwrap();
        assert!(status.success());
        path
    }

    #[test]
    fn versions_are_read_from_the_servers_own_words() {
        let cases = [
            ("nats-server: v2.15.1\n", Some((2, 15))),
            ("nats-server: v2.11.0-RC.1", Some((2, 11))),
            ("nats-server: v3.0", Some((3, 0))),
            ("nats: 2.15.1", None),
            ("nats-server: vX.Y", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_version(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_old_server_is_passed_over_for_a_newer_one() {
        let folder = TempDir::new().unwrap();
        let old = pretend(&folder, "old", "nats-server: v2.9.10");
        let new = pretend(&folder, "new", "nats-server: v2.11.0");
        assert_eq!(
            choose_nats_server(None, &[folder.path().join("absent"), old, new.clone()]).unwrap(),
            new
        );
    }

    #[test]
    fn only_old_servers_give_an_error_that_says_so_and_what_to_do() {
        let folder = TempDir::new().unwrap();
        let old = pretend(&folder, "old", "nats-server: v2.9.10");
        let text = choose_nats_server(None, &[old]).unwrap_err().to_string();
        assert!(
            text.contains("version 2.9") && text.contains("2.11 or newer") && text.contains("make tools"),
            "{text}"
        );
    }

    #[test]
    fn a_named_server_is_used_or_refused_but_never_replaced() {
        let folder = TempDir::new().unwrap();
        let good = pretend(&folder, "good", "nats-server: v2.15.1");
        let old = pretend(&folder, "old", "nats-server: v2.10.29");
        let candidates = [good.clone()];
        assert_eq!(choose_nats_server(Some(good.as_os_str()), &[]).unwrap(), good);
        for bad in [
            old.as_os_str(),
            OsStr::new("/nowhere/nats-server"),
            OsStr::new("/bin/ls"),
        ] {
            let error = choose_nats_server(Some(bad), &candidates).unwrap_err();
            assert!(
                matches!(&error, StartError::Unusable { path, .. } if path == Path::new(bad)),
                "{error}"
            );
        }
    }

    #[test]
    fn no_server_at_all_says_how_to_get_one() {
        let text = choose_nats_server(None, &[]).unwrap_err().to_string();
        assert!(
            text.contains("make tools") && text.contains("AGENTNET_NATS_SERVER"),
            "{text}"
        );
    }
}
