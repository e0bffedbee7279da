//! The lock of the data directory: one process uses it at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use crate::data_dir::DataLocation;
use crate::exit::Failure;

/// Sets the umask so that files of this process and its children can be read by this user only: the history holds the
/// messages of agents.
pub(crate) fn keep_files_private() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
}

/// A data directory, locked by this process. The kernel releases the lock when the process ends.
#[derive(Debug)]
pub(crate) struct LockedDataDir {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl LockedDataDir {
    /// Creates the directory if it does not exist, readable by its owner only, and locks it. An existing default directory is
    /// closed to other users; the permissions of an explicitly named one are not changed.
    ///
    /// # Errors
    /// The directory cannot be created or written to, or another process has locked it.
    pub(crate) fn take(location: &DataLocation) -> Result<Self, Failure> {
        let path = location.path.as_path();
        let unusable = |why: &io::Error| {
            Failure::error(format!("data directory {} cannot be used: {why}", path.display()))
                .hint("name another one with --data-dir DIR, or make this one writable for you")
        };
        let existed = path.exists();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| unusable(&error))?;
        let path = fs::canonicalize(path).map_err(|error| unusable(&error))?;
        close_to_others(&path, existed && location.is_explicit).map_err(|error| unusable(&error))?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&file)
            .map_err(|error| unusable(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path, &file)),
            Err(TryLockError::Error(error)) => return Err(unusable(&error)),
        }
        let mut write = || {
            lock.set_len(0)?;
            writeln!(lock, "{}", std::process::id())
        };
        write().map_err(|error| unusable(&error))?;
        Ok(Self { path, _lock: lock })
    }

    /// The absolute path of a file in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes the permissions of other users from a directory, or warns about them if it was named explicitly.
fn close_to_others(path: &Path, is_explicit: bool) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let directory = path.display();
    if is_explicit {
        tracing::warn!(
            "other users of this machine can look into the data directory {directory} (mode {mode:o}): the files that are \
             made there are for this user alone, their names and sizes are not; `chmod 700 {directory}` closes it"
        );
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    tracing::info!("the data directory {directory} was open to other users (mode {mode:o}) and is closed now");
    Ok(())
}

fn in_use(path: &Path, file: &Path) -> Failure {
    let owner = fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    let owner = owner.map_or(String::new(), |pid| format!(" (pid {pid})"));
    Failure::error(format!(
        "data directory {} is in use by another agentnet up{owner}",
        path.display()
    ))
    .hint("stop that one first, or give this one a directory of its own with --data-dir DIR (and a --port)")
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn explicit(path: &Path) -> DataLocation {
        DataLocation {
            path: path.to_owned(),
            is_explicit: true,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let root = TempDir::new().unwrap();
        let location = explicit(&root.path().join("deep/down"));
        let first = LockedDataDir::take(&location).unwrap();
        let refused = LockedDataDir::take(&location).unwrap_err().text();
        let owner = format!("is in use by another agentnet up (pid {})", std::process::id());
        assert!(refused.contains(&owner), "{refused}");
        drop(first);
        assert!(LockedDataDir::take(&location).unwrap().join("x").is_absolute());
    }

    #[test]
    fn a_directory_of_ours_is_closed_and_a_named_one_stays_as_it_is() {
        let root = TempDir::new().unwrap();
        for (name, existed, is_explicit, expected) in [
            ("made", false, true, 0o700),
            ("default", false, false, 0o700),
            ("old", true, false, 0o700),
            ("theirs", true, true, 0o755),
        ] {
            let path = root.path().join(name);
            if existed {
                fs::create_dir(&path).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            let location = DataLocation {
                path: path.clone(),
                is_explicit,
            };
            let _held = LockedDataDir::take(&location).unwrap();
            assert_eq!(mode(&path), expected, "{name}");
            assert_eq!(mode(&path.join("lock")), 0o600, "{name}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told() {
        let root = TempDir::new().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = LockedDataDir::take(&explicit(&file.join("below"))).unwrap_err().text();
        assert!(
            refused.contains("cannot be used") && refused.contains("--data-dir"),
            "{refused}"
        );
    }
}
