//! Databases for registries, and bulk loading of them.

use agentnet_store::{OpenOptions, open, sqlite_url};
use agentnet_testkit::Postgres;
use clap::ValueEnum;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::Failure;
use crate::processes::WatchedProcesses;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    Postgres,
    Sqlite,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// A new database with its default, durable settings.
pub(crate) enum Database {
    Postgres(Postgres),
    Sqlite(TempDir),
}

impl Database {
    /// Creates a database with the schema of the store.
    pub(crate) async fn start(backend: Backend) -> Result<Self, Failure> {
        let database = match backend {
            Backend::Postgres => Self::Postgres(Postgres::launch_durable().await?),
            Backend::Sqlite => Self::Sqlite(TempDir::new()?),
        };
        open(&database.url(), &OpenOptions::default()).await?.close().await;
        Ok(database)
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres(server) => server.url(),
            Self::Sqlite(folder) => sqlite_url(&folder.path().join("agentnet.db")),
        }
    }

    /// Adds the database server, if there is one, to the watched processes.
    pub(crate) fn watched(&self, others: WatchedProcesses) -> WatchedProcesses {
        match self {
            Self::Postgres(server) => match server.pid() {
                Some(pid) => others.and("PostgreSQL", pid),
                None => others,
            },
            Self::Sqlite(_) => others,
        }
    }

    /// Runs the statements for this kind of database.
    pub(crate) async fn execute(&self, postgres: &str, sqlite: &str) -> Result<(), Failure> {
        match self {
            Self::Postgres(server) => Ok(connect(&server.url()).await?.batch_execute(postgres).await?),
            Self::Sqlite(folder) => Ok(file(folder)?.execute_batch(sqlite)?),
        }
    }

    /// The number that a statement returns.
    pub(crate) async fn number(&self, sql: &str) -> Result<u64, Failure> {
        let number: i64 = match self {
            Self::Postgres(server) => connect(&server.url()).await?.query_one(sql, &[]).await?.get(0),
            Self::Sqlite(folder) => file(folder)?.query_row(sql, [], |row| row.get(0))?,
        };
        Ok(u64::try_from(number)?)
    }

    /// Fills a table: drops its indexes, inserts the rows, creates the indexes again.
    pub(crate) async fn fill(&self, table: &str, postgres: &str, sqlite: &str) -> Result<(), Failure> {
        match self {
            Self::Postgres(server) => {
                let client = connect(&server.url()).await?;
                let named = |rows: Vec<tokio_postgres::Row>| -> Vec<(String, String)> {
                    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
                };
                let keys = "SELECT conname::text, format('ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)) \
                            FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype IN ('p', 'u')";
                let keys = named(client.query(keys, &[&table]).await?);
                let indexes = "SELECT indexname::text, indexdef FROM pg_indexes WHERE tablename = $1::text \
                               AND indexname NOT IN (SELECT conname FROM pg_constraint)";
                let indexes = named(client.query(indexes, &[&table]).await?);
                let mut steps = vec![
                    "SET maintenance_work_mem = '1GB'".to_owned(),
                    "SET synchronous_commit = off".to_owned(),
                ];
                steps.extend(
                    keys.iter()
                        .map(|(name, _)| format!("ALTER TABLE {table} DROP CONSTRAINT {name}")),
                );
                steps.extend(indexes.iter().map(|(name, _)| format!("DROP INDEX {name}")));
                steps.push(postgres.to_owned());
                steps.extend(keys.into_iter().map(|(_, made)| format!("ALTER TABLE {table} {made}")));
                steps.extend(indexes.into_iter().map(|(_, made)| made));
                steps.extend([format!("VACUUM ANALYZE {table}"), "CHECKPOINT".to_owned()]);
                for step in steps {
                    client
                        .batch_execute(&step)
                        .await
                        .map_err(|error| format!("{step}: {error:?}"))?;
                }
            }
            Self::Sqlite(folder) => {
                let connection = file(folder)?;
                let indexes: Vec<(String, String)> = connection
                    .prepare(
                        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
                    )?
                    .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<Result<_, _>>()?;
                connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -2097152")?;
                for (name, _) in &indexes {
                    connection.execute_batch(&format!("DROP INDEX {name}"))?;
                }
                connection.execute_batch(sqlite)?;
                for (_, made) in &indexes {
                    connection.execute_batch(made)?;
                }
                connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
            }
        }
        Ok(())
    }
}

fn file(folder: &TempDir) -> Result<rusqlite::Connection, Failure> {
    let connection = rusqlite::Connection::open(folder.path().join("agentnet.db"))?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    Ok(connection)
}

/// A connection to a PostgreSQL database that bypasses the store.
pub(crate) async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
