//! Removing what puts of killed processes have left in a directory.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::atomic_file::{TEMPORARY_PREFIX, blocking};
use super::error::BlobError;
use super::local::LocalStore;

impl LocalStore {
    /// Removes files under construction, and bytes without a reference, that were last written to longer ago than this. How
    /// many there were.
    pub(crate) async fn sweep(&self, older_than: Duration) -> Result<u64, BlobError> {
        let root = self.dir().to_owned();
        let swept = blocking(move || {
            let (data, meta) = (root.join("data"), root.join("meta"));
            let staged = sweep(&meta, older_than, |name| name.starts_with(TEMPORARY_PREFIX))?;
            let orphans = sweep(&data, older_than, |name| {
                // Only what is surely not there: an unreadable directory must not cost a blob.
                let meta = meta.join(format!("{name}.json"));
                name.starts_with(TEMPORARY_PREFIX) || meta.try_exists().is_ok_and(|exists| !exists)
            })?;
            Ok(staged + orphans)
        });
        swept.await.map_err(BlobError::file("sweep", self.dir()))
    }
}

fn sweep(dir: &Path, older_than: Duration, is_left: impl Fn(&str) -> bool) -> io::Result<u64> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        let age = SystemTime::now().duration_since(metadata.modified()?);
        let is_old = age.is_ok_and(|age| age >= older_than);
        if metadata.is_file() && is_old && is_left(&entry.file_name().to_string_lossy()) {
            match std::fs::remove_file(entry.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                removed => removed?,
            }
            swept += 1;
        }
    }
    Ok(swept)
}
