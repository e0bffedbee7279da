//! Opening the database: its location, connections and schema. (sqlx logs statements at debug level, those that take
//! more than a second as warnings: its own defaults.)

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection};

use super::error::{failed, is_locked, is_no_database, is_not_writable};
use super::file::OpenFile;
use super::schema::{APPLICATION_ID, NEWEST, migrator};
use super::tasks::ClaimQueue;
use super::{BEGIN_WRITE, SqliteStore};
use crate::error::StoreError;
use crate::open::OpenOptions;

/// The write-ahead log is cut back to this size when it has been larger for a while.
const LOG_SIZE_LIMIT: &str = "67108864";
/// Memory for pages of the file, in KiB (SQLite writes it as a negative number). A batch of the writer fits; more was not
/// faster (`agentnet-bench ingest capture`), since the system keeps the file in memory too.
const WRITER_CACHE: &str = "-8192";
const READER_CACHE: &str = "-4096";
/// The log is carried over to the file after so many pages: fewer, larger moves than SQLite's own 1000.
const CHECKPOINT_PAGES: &str = "4000";

/// Delay between two attempts to open a database that another process holds locked.
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(10);

/// The location of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseLocation {
    /// In memory, as long as the store is open.
    Memory,
    /// In a file.
    File {
        /// Path of the database file.
        path: PathBuf,
        /// Make the file and its directories if they are missing.
        create: bool,
    },
}

impl DatabaseLocation {
    /// Reads what follows `sqlite:` in a URL.
    pub(crate) fn parse(rest: &str) -> Result<Self, StoreError> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let create = match parameters {
            "" | "mode=rwc" => true,
            "mode=rw" => false,
            "mode=memory" => return Ok(Self::Memory),
            other => {
                return Err(StoreError::Open(format!(
                    "the database URL has an unknown parameter {other:?}; known are mode=rwc, mode=rw and mode=memory, \
                     and a ? in a path is written %3F"
                )));
            }
        };
        if path == ":memory:" {
            return Ok(Self::Memory);
        }
        let path = PathBuf::from(percent_decode(path)?);
        if path.as_os_str().is_empty() {
            return Err(StoreError::Open(
                "the database URL names no file; write sqlite:///absolute/path".into(),
            ));
        }
        Ok(Self::File { path, create })
    }
}

fn percent_decode(path: &str) -> Result<String, StoreError> {
    let path = percent_decode_str(path).decode_utf8();
    let path = path.map_err(|_| StoreError::Open("the path in the database URL is not UTF-8".into()))?;
    Ok(path.into_owned())
}

impl SqliteStore {
    /// Opens or creates the database and brings its schema up to date.
    pub(crate) async fn open(location: &DatabaseLocation, options: &OpenOptions) -> Result<Self, StoreError> {
        let base = SqliteConnectOptions::new()
            .foreign_keys(false)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", LOG_SIZE_LIMIT)
            .busy_timeout(options.busy_timeout);
        match location {
            DatabaseLocation::Memory => {
                // The data live as long as this connection.
                let write = pool(options).max_connections(1).connect_with(base.in_memory(true));
                let write = write.await.map_err(failed)?;
                bring_up_to_date(&write, "the database in memory").await?;
                Ok(Self {
                    read: write.clone(),
                    write,
                    file: None,
                    claims: ClaimQueue::default(),
                })
            }
            DatabaseLocation::File { path, create } => {
                prepare_path(path, *create)?;
                let name = path.display().to_string();
                // It is there by now, and is never made anew while it is open.
                let file = base.filename(path).create_if_missing(false);
                // The journal mode is stored in the file: only the writer sets it, before the readers come.
                let wal = file
                    .clone()
                    .journal_mode(SqliteJournalMode::Wal)
                    .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
                    .pragma("cache_size", WRITER_CACHE)
                    // What a statement of many rows changes is noted, so that it can be undone: without a file for it.
                    .pragma("temp_store", "MEMORY");
                let write = retry_while_locked(options, || writer(wal.clone(), options))
                    .await
                    .map_err(|error| cannot_open(&name, error))?;
                bring_up_to_date(&write, &name).await?;
                let read = pool(options)
                    .max_connections(options.readers.max(1))
                    .connect_with(file.pragma("query_only", "ON").pragma("cache_size", READER_CACHE))
                    .await
                    .map_err(|error| cannot_open(&name, error))?;
                let file = Some(OpenFile::at(path));
                Ok(Self {
                    write,
                    read,
                    file,
                    claims: ClaimQueue::default(),
                })
            }
        }
    }
}

fn pool(options: &OpenOptions) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// The connection that writes. When a disk is full, SQLite may end a transaction by itself, which sqlx does not notice: such a
/// connection would begin no other one. It is closed, and the pool opens the next.
async fn writer(connect: SqliteConnectOptions, options: &OpenOptions) -> Result<SqlitePool, sqlx::Error> {
    pool(options)
        .max_connections(1)
        .after_release(|connection, _| {
            Box::pin(async move {
                // Behind the rollback that a dropped transaction has asked for.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(connect)
        .await
}

/// Retries an operation that fails because of a lock: SQLite's busy timeout does not cover the change to WAL mode.
async fn retry_while_locked<T, F: Future<Output = Result<T, sqlx::Error>>>(
    options: &OpenOptions,
    attempt: impl Fn() -> F,
) -> Result<T, sqlx::Error> {
    let deadline = Instant::now() + options.busy_timeout;
    loop {
        match attempt().await {
            Err(error) if is_locked(&error) && Instant::now() < deadline => tokio::time::sleep(LOCK_RETRY_DELAY).await,
            result => return result,
        }
    }
}

fn prepare_path(path: &Path, create: bool) -> Result<(), StoreError> {
    if path.is_dir() {
        return Err(StoreError::Open(format!(
            "{} is a directory; name a file in it, for example {}",
            path.display(),
            path.join("agentnet.db").display()
        )));
    }
    if !create && !path.exists() {
        return Err(StoreError::Open(format!(
            "there is no database {}; leave mode=rw away to create it",
            path.display()
        )));
    }
    if let Some(parent) = path.parent().filter(|parent| create && !parent.as_os_str().is_empty()) {
        private_directories(parent).map_err(|error| {
            StoreError::Open(format!(
                "cannot create the directory {} for the database: {error}; choose another path or change its permissions",
                parent.display()
            ))
        })?;
    }
    if create && !path.exists() {
        private_file(path).map_err(|error| {
            StoreError::Open(format!(
                "cannot write {}: {error}; check that the file and its directory are writable",
                path.display()
            ))
        })?;
        tracing::info!("created a new database: {}", path.display());
    }
    warn_if_readable(path);
    Ok(())
}

#[cfg(unix)]
fn private_directories(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn private_directories(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// An empty file for its owner alone, which SQLite takes for an empty database; its journals get the same rights. SQLite's
/// own files would be readable for all users.
fn private_file(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    // What a link names is made; a file that is there already is not opened here: closing it would drop its locks.
    if path.is_symlink() {
        options.create_new(false).create(true).truncate(false);
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Warns about a database, made by an older version or another program, that other users can read; its mode is not changed.
#[cfg(unix)]
fn warn_if_readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = std::fs::metadata(path).map_or(0, |file| file.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        let name = path.display();
        tracing::warn!(
            "other users of this machine have rights to the database {name} (mode {mode:o}), which holds what agents tell \
             each other; `chmod 600 {name}` takes them away"
        );
    }
}

#[cfg(not(unix))]
fn warn_if_readable(_: &Path) {}

/// The error for a file that could not be opened, with what to do about it.
fn cannot_open(name: &str, error: sqlx::Error) -> StoreError {
    if is_no_database(&error) {
        StoreError::Open(format!("{name} is not a SQLite database; choose another path"))
    } else if is_locked(&error) {
        StoreError::Unavailable(format!("{name} is locked by another process"))
    } else if is_not_writable(&error) {
        StoreError::Open(format!(
            "cannot write {name}: {error}; check that the file and its directory are writable"
        ))
    } else {
        StoreError::Open(format!("cannot open {name}: {error}"))
    }
}

/// Runs the missing migrations in one transaction, so that a second process which opens at the same time waits for them.
async fn bring_up_to_date(pool: &SqlitePool, name: &str) -> Result<(), StoreError> {
    let open_error = |error| cannot_open(name, error);
    let mut connection = pool.acquire().await.map_err(open_error)?;
    let mut transaction = connection.begin_with(BEGIN_WRITE).await.map_err(open_error)?;
    refuse_foreign(&mut transaction, name).await?;
    // `run` itself makes a future that cannot be spawned (sqlx-core's remark at `run_direct`).
    migrator().run_direct(None, &mut *transaction, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => StoreError::Open(format!(
            "{name} was written by a newer version of agentnet (schema {version}, this one knows {NEWEST}); upgrade \
             agentnet, or choose another path"
        )),
        MigrateError::VersionMismatch(version) => StoreError::Open(format!(
            "{name} was written by an unreleased version of agentnet (its schema {version} differs); choose another path"
        )),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => cannot_open(name, error),
        other => StoreError::Open(format!("cannot bring {name} up to date: {other}")),
    })?;
    transaction.commit().await.map_err(open_error)
}

/// Rejects the database of another program.
async fn refuse_foreign(connection: &mut SqliteConnection, name: &str) -> Result<(), StoreError> {
    let open_error = |error| cannot_open(name, error);
    let application: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await
        .map_err(open_error)?;
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(open_error)?;
    if application == APPLICATION_ID || (application == 0 && tables == 0) {
        return Ok(());
    }
    Err(StoreError::Open(format!(
        "{name} is the database of another program; choose another path"
    )))
}

#[cfg(test)]
mod tests;
