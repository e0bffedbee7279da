//! A file that is written under a temporary name and renamed when it is complete.

use std::io;
use std::path::Path;

use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// What files under construction are called; no blob id begins with a dot.
pub(crate) const TEMPORARY_PREFIX: &str = ".put-";

/// A file under construction, beside where it is to appear. Dropped before [`rename_into_place`], it is removed.
pub(crate) struct AtomicFile {
    file: File,
    path: TempPath,
}

impl AtomicFile {
    /// A new file in this directory.
    pub(crate) async fn create(dir: &Path) -> io::Result<Self> {
        let dir = dir.to_owned();
        let (file, path) = blocking(move || Ok(builder().tempfile_in(dir)?.into_parts())).await?;
        Ok(Self {
            file: File::from_std(file),
            path,
        })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await
    }

    /// Everything is written, and on disk.
    pub(crate) async fn seal(mut self) -> io::Result<TempPath> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok(self.path)
    }
}

/// Writes a small file, on disk when this returns, but not yet under its name. Blocks.
pub(crate) fn write_small(dir: &Path, bytes: &[u8]) -> io::Result<TempPath> {
    let mut file = builder().tempfile_in(dir)?;
    io::Write::write_all(&mut file, bytes)?;
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

/// Gives a file its name, in the directory where it is. Blocks.
pub(crate) fn rename_into_place(staged: TempPath, path: &Path, replace: bool) -> io::Result<()> {
    if replace {
        staged.persist(path).map_err(|refused| refused.error)?;
    } else {
        staged.persist_noclobber(path).map_err(|refused| refused.error)?;
    }
    sync_dir(path)
}

/// Puts the names in a file's directory on disk. Blocks.
fn sync_dir(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    std::fs::File::open(parent(path))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// The directory of a file, `.` for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    // As any file that this process makes, by its umask; tempfile's own default is for secrets.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// Runs file operations on a thread for blocking work. Once begun they run to their end, even if the caller stops waiting.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(io::Error::other(error)),
    }
}
