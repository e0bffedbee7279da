//! From a database URL to a store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::StoreError;
use crate::sqlite::{Place, SqliteStore};
use crate::store::Store;

/// How a store is opened; the defaults suit a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Connections that read beside the one that writes. 4 by default, at least 1.
    pub readers: u32,
    /// How long a statement waits for another process's lock on the database. 5 s by default.
    pub busy_timeout: Duration,
    /// How long a call waits for a free connection before it fails as unavailable. 30 s by default.
    pub acquire_timeout: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(30),
        }
    }
}

/// Opens the database that the URL names and brings its schema up to date.
///
/// `sqlite:///absolute/path` and `sqlite://relative/path` name a file, which is created together with its directories;
/// `%`, `?` and `#` in the path are percent-encoded ([`sqlite_url`] does that), and `?mode=rw` asks for a file that
/// exists. `sqlite::memory:` is a fresh database that lives as long as the store.
///
/// # Errors
/// [`StoreError::Open`] with what to change, if the URL cannot be used, the path is a directory or not writable, the file
/// is no database of ours, or a newer version wrote it. [`StoreError::Unavailable`] if another process holds it locked.
pub async fn open(url: &str, options: &OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    let url = url.trim();
    let scheme = url
        .split_once(':')
        .map_or("", |(scheme, _)| scheme)
        .to_ascii_lowercase();
    match scheme.as_str() {
        "sqlite" => Ok(Arc::new(
            SqliteStore::open(&Place::parse(&url["sqlite:".len()..])?, options).await?,
        )),
        "postgres" | "postgresql" => Err(StoreError::Open(
            "this build supports SQLite only: use sqlite://PATH as the database URL".into(),
        )),
        _ => Err(StoreError::Open(
            "the database URL must be sqlite:///absolute/path, sqlite://relative/path or sqlite::memory:".into(),
        )),
    }
}

/// The URL of a database file, with the characters escaped that mean something in a URL.
#[must_use]
pub fn sqlite_url(path: &Path) -> String {
    let path = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    format!("sqlite://{path}")
}
