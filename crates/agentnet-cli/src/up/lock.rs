//! The data directory, owned by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::ended::Failure;

/// A data directory that this process owns. The kernel gives it free when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, readable for its owner only, and takes it.
    ///
    /// # Errors
    /// It cannot be made or written to, or another process owns it.
    pub(crate) fn take(path: &Path) -> Result<Self, Failure> {
        let unusable = |why: &io::Error| {
            Failure::trouble(format!("data directory {} cannot be used: {why}", path.display()))
                .hint("name another one with --data-dir DIR, or make this one writable for you")
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| unusable(&error))?;
        let path = fs::canonicalize(path).map_err(|error| unusable(&error))?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
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

fn in_use(path: &Path, file: &Path) -> Failure {
    let owner = fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    let owner = owner.map_or(String::new(), |pid| format!(" (pid {pid})"));
    Failure::trouble(format!(
        "data directory {} is in use by another agentnet up{owner}",
        path.display()
    ))
    .hint("stop that one first, or give this one a directory of its own with --data-dir DIR (and a --port)")
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let root = TempDir::new().unwrap();
        let path = root.path().join("deep/down");
        let first = DataDir::take(&path).unwrap();
        let refused = DataDir::take(&path).unwrap_err().text();
        let owner = format!("is in use by another agentnet up (pid {})", std::process::id());
        assert!(refused.contains(&owner), "{refused}");
        drop(first);
        assert!(DataDir::take(&path).unwrap().join("x").is_absolute());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told() {
        let root = TempDir::new().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = DataDir::take(&file.join("below")).unwrap_err().text();
        assert!(
            refused.contains("cannot be used") && refused.contains("--data-dir"),
            "{refused}"
        );
    }
}
