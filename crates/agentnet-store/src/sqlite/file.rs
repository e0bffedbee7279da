//! Checks that the files of an open database are still at their path. SQLite goes on with a file that has been removed, and what
//! it writes there is lost when it is closed.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::model::DiskSpace;

/// Beside the database's own file: what is written first, and what its connections share.
const JOURNALS: [&str; 2] = ["-wal", "-shm"];

/// The files of an open database.
#[derive(Debug)]
pub(super) struct OpenFile {
    files: Vec<(PathBuf, Identity)>,
}

/// Which file it is that a path names: its device and its number there.
type Identity = (u64, u64);

impl OpenFile {
    /// Remembers the files of a database that is open at this path.
    pub(super) fn at(path: &Path) -> Self {
        let journals = JOURNALS.map(|ending| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        });
        let files = std::iter::once(path.to_owned()).chain(journals);
        Self {
            // A journal that is not there is none of this database.
            files: files
                .filter_map(|file| identity(&file).ok().map(|found| (file, found)))
                .collect(),
        }
    }

    /// The directory of the database.
    pub(super) fn folder(&self) -> PathBuf {
        let folder = self.files.first().and_then(|(path, _)| path.parent());
        match folder.filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => folder.to_owned(),
            None => PathBuf::from("."),
        }
    }

    /// # Errors
    /// [`StoreError::Gone`]: one of them has been removed, or another file is in its place.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for (path, expected) in &self.files {
            let what = match identity(path) {
                Ok(found) if found == *expected => continue,
                Ok(_) => "has been replaced by another file",
                Err(error) if error.kind() == io::ErrorKind::NotFound => "has been removed",
                // A path that cannot be looked at now says nothing of the file.
                Err(_) => continue,
            };
            return Err(StoreError::Gone(format!(
                "{} {what} while it was in use; put it back from a backup, then start the registry again",
                path.display()
            )));
        }
        Ok(())
    }
}

/// The room on the file system of a directory.
#[cfg(unix)]
pub(super) fn disk_space(folder: &Path) -> Option<DiskSpace> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(DiskSpace {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        total: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

#[cfg(not(unix))]
pub(super) fn disk_space(_: &Path) -> Option<DiskSpace> {
    None
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt as _;

    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<Identity> {
    std::fs::metadata(path).map(|_| (0, 0))
}
