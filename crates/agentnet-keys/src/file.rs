//! Reading and writing key files.
//!
//! A file appears under its name only when it is whole: it is written beside it, with mode 0600 from its first byte, and
//! then linked or renamed. Of two processes that make one at the same time, one wins, and both use its key.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use agentnet_protocol::signature::{KeyError, SigningKey};
use tempfile::NamedTempFile;

use crate::error::KeyFileError;

/// Nothing that is larger is a key file.
const LARGEST: u64 = 64 * 1024;

/// A new random key.
#[must_use]
pub fn generate() -> SigningKey {
    SigningKey::from_seed(&rand::random())
}

/// The key in a file; `None` if there is no file.
///
/// # Errors
/// [`KeyFileError::Read`], [`KeyFileError::Exposed`], [`KeyFileError::Damaged`]
pub fn load(path: &Path) -> Result<Option<SigningKey>, KeyFileError> {
    let damaged = |why| KeyFileError::Damaged {
        path: path.to_owned(),
        why,
    };
    match read_private(path)? {
        None => Ok(None),
        Some(Content::Text(content)) => SigningKey::from_key_file(&content).map(Some).map_err(damaged),
        Some(Content::Unreadable) => Err(damaged(KeyError::File)),
    }
}

/// What a file of the owner alone holds.
pub(crate) enum Content {
    Text(String),
    /// More than a key file holds, or no text.
    Unreadable,
}

/// The content of a file that its owner alone may read; `None` if there is no file.
pub(crate) fn read_private(path: &Path) -> Result<Option<Content>, KeyFileError> {
    let failed = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Of the open file, so that what is judged is what is read.
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::other("it is no regular file")));
    }
    private(path, &about)?;
    if about.len() > LARGEST {
        return Ok(Some(Content::Unreadable));
    }
    match io::read_to_string(file) {
        Ok(content) => Ok(Some(Content::Text(content))),
        Err(error) if error.kind() == ErrorKind::InvalidData => Ok(Some(Content::Unreadable)),
        Err(error) => Err(failed(error)),
    }
}

/// The key in a file, which is made with a new key where there is none; its directory too, for its owner alone.
///
/// # Errors
/// [`KeyFileError`]; a file that cannot be used stays as it is.
pub fn load_or_create(path: &Path) -> Result<SigningKey, KeyFileError> {
    // Another process may remove the file between the two checks.
    for _ in 0..3 {
        if let Some(key) = load(path)? {
            return Ok(key);
        }
        let key = generate();
        match create(path, &key) {
            Ok(()) => return Ok(key),
            Err(KeyFileError::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(KeyFileError::Read {
        path: path.to_owned(),
        source: io::Error::other("it comes and goes"),
    })
}

/// Writes a key to a file that must not exist yet.
///
/// # Errors
/// [`KeyFileError::Exists`], [`KeyFileError::Write`]
pub fn create(path: &Path, key: &SigningKey) -> Result<(), KeyFileError> {
    create_private(path, &key.to_key_file())
}

/// Writes a file that must not exist yet, for its owner alone.
pub(crate) fn create_private(path: &Path, content: &str) -> Result<(), KeyFileError> {
    let written = beside(path, content)?;
    match written.persist_noclobber(path) {
        Ok(_) => settle(path),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
            Err(KeyFileError::Exists { path: path.to_owned() })
        }
        Err(error) => Err(failed(path, error.error)),
    }
}

/// Replaces the key in a file atomically: a reader finds either the old or the new one, whole.
///
/// # Errors
/// [`KeyFileError::Write`]
pub fn replace(path: &Path, key: &SigningKey) -> Result<(), KeyFileError> {
    replace_private(path, &key.to_key_file())
}

/// Replaces a file atomically by one for its owner alone.
pub(crate) fn replace_private(path: &Path, content: &str) -> Result<(), KeyFileError> {
    let written = beside(path, content)?;
    written.persist(path).map_err(|error| failed(path, error.error))?;
    settle(path)
}

/// Removes a file; one that is not there is no error.
///
/// # Errors
/// [`KeyFileError::Write`]
pub fn remove(path: &Path) -> Result<(), KeyFileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

/// Where the next key waits while a rotation is under way: `<name>.next` beside the file.
#[must_use]
pub fn next_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

/// Something written and synchronised under a name of its own in the file's directory.
fn beside(path: &Path, content: &str) -> Result<NamedTempFile, KeyFileError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || -> io::Result<NamedTempFile> {
        make(directory)?;
        let mut file = tempfile::Builder::new()
            .prefix(".key-")
            .suffix(".tmp")
            .tempfile_in(directory)?;
        file.write_all(content.as_bytes())?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error| failed(path, error))
}

/// The name is as durable as the content.
fn settle(path: &Path) -> Result<(), KeyFileError> {
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| failed(path, error))?;
    }
    Ok(())
}

fn failed(path: &Path, source: io::Error) -> KeyFileError {
    KeyFileError::Write {
        path: path.to_owned(),
        source,
    }
}

fn make(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

#[cfg(unix)]
fn private(path: &Path, about: &fs::Metadata) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyFileError::Exposed {
        path: path.to_owned(),
        mode,
    })
}

#[cfg(not(unix))]
fn private(_path: &Path, _about: &fs::Metadata) -> Result<(), KeyFileError> {
    Ok(())
}

#[cfg(test)]
mod tests;
