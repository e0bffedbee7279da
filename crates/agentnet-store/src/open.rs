//! Opens a store from a database URL.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::StoreError;
use crate::postgres::PostgresStore;
use crate::sqlite::{DatabaseLocation, SqliteStore};
use crate::store::Store;

/// Options for opening a store; the defaults suit a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// SQLite: connections that read beside the one that writes. 4 by default, at least 1.
    pub readers: u32,
    /// SQLite: how long a statement waits for another process's lock on the database. 5 s by default.
    pub busy_timeout: Duration,
    /// How long a call waits for a free connection before it fails as unavailable. 30 s by default; for PostgreSQL never more
    /// than 10 s, so that no caller hangs on a server that is down.
    pub acquire_timeout: Duration,
    /// PostgreSQL: the largest number of connections. 5 by default, at least 2.
    pub pool_size: u32,
    /// PostgreSQL: a statement that runs longer is ended by the server. 10 s by default; zero means no limit.
    pub statement_timeout: Duration,
    /// PostgreSQL: whether connections are encrypted; by default as the URL's `sslmode` says, `prefer` without one.
    pub tls: Option<TlsMode>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(30),
            pool_size: 5,
            statement_timeout: Duration::from_secs(10),
            tls: None,
        }
    }
}

/// Whether connections to PostgreSQL are encrypted, and what the server must prove; libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server can.
    Prefer,
    /// Encrypted or not at all.
    Require,
    /// And the certificate must come from a known authority (the system's, or the URL's `sslrootcert`).
    VerifyCa,
    /// And it must be made out to this host.
    VerifyFull,
}

impl FromStr for TlsMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err("expected `disable`, `prefer`, `require`, `verify-ca` or `verify-full`".to_owned()),
        }
    }
}

/// Opens the database that the URL names and brings its schema up to date.
///
/// `sqlite:///absolute/path` and `sqlite://relative/path` name a file, which is created together with its directories;
/// `%`, `?` and `#` in the path are percent-encoded ([`sqlite_url`] does that), and `?mode=rw` asks for a file that
/// exists. `sqlite::memory:` is a fresh database that lives as long as the store.
///
/// `postgres://user:password@host:port/database` names a PostgreSQL database (libpq's parameters `sslmode`, `sslrootcert`,
/// `sslcert`, `sslkey`, `application_name`, … may follow a `?`), which must exist. A server that cannot be reached
/// does not fail the call: the store is returned at once, fails every call as unavailable, and reconnects by itself.
///
/// # Errors
/// [`StoreError::Open`] with what to change, if the URL cannot be used, the path is a directory or not writable, the file
/// is no database of ours, a newer version wrote it, or the server refuses the user or the database.
/// [`StoreError::Unavailable`] if another process holds the file locked.
pub async fn open(url: &str, options: &OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    let url = url.trim();
    let scheme = url
        .split_once(':')
        .map_or("", |(scheme, _)| scheme)
        .to_ascii_lowercase();
    match scheme.as_str() {
        "sqlite" => Ok(Arc::new(
            SqliteStore::open(&DatabaseLocation::parse(&url["sqlite:".len()..])?, options).await?,
        )),
        "postgres" | "postgresql" => Ok(Arc::new(PostgresStore::open(url, options).await?)),
        _ => Err(StoreError::Open(
            "the database URL must be sqlite:///absolute/path, sqlite://relative/path, sqlite::memory: or \
             postgres://user:password@host:port/database"
                .into(),
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
