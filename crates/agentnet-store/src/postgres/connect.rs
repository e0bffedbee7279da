//! Connecting to the database: URL, pool and schema; retries in the background while the server is unreachable.

use std::str::FromStr as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::backfill;
use super::error::{cannot_start, describe, is_pooled, is_unavailable};
use super::layout::{IS_MONTHLY, Layout};
use super::schema::{NEWEST, migrator};
use super::trigram_selectivity::Sample;
use crate::error::StoreError;
use crate::open::{OpenOptions, TlsMode};

/// Limit of each wait for a connection of the pool: calls are served in turn meanwhile. That the server is gone is known
/// earlier, by a ping.
const MAX_POOL_WAIT: Duration = Duration::from_secs(10);
/// Limit of each wait for a new connection, and for its end.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is pinged before it is used: the server may have ended it meanwhile (a restart,
/// `idle_session_timeout`).
const PING_AFTER_IDLE: Duration = Duration::from_millis(200);
/// The delay before the second attempt to reach the server; it doubles up to [`MAX_BACKOFF`]. It is not the `Backoff` of
/// `agentnet-nats`: the store does not depend on NATS, and this loop ends with its first success, so it is never reset.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// The lock that one registry holds while it changes the schema: "agentnet" as a number.
const SCHEMA_LOCK: i64 = 0x6167_656e_746e_6574;

/// A store in one PostgreSQL database.
#[derive(Debug)]
pub(crate) struct PostgresStore {
    pool: PgPool,
    state: Arc<State>,
    pub(super) sample: Sample,
    /// Goes on connecting when the first attempt found no server.
    connecting: Option<JoinHandle<()>>,
}

/// Whether the database may be used.
#[derive(Debug, Default)]
struct State {
    ready: OnceLock<Layout>,
    trouble: Mutex<String>,
}

/// Where the database is, without the password.
#[derive(Debug, Clone)]
struct DatabaseAddress(String);

/// Why an attempt failed.
enum Attempt {
    /// The server is unreachable; a later attempt may succeed.
    Later(String),
    /// A setting or the database must be changed first.
    Never(String),
}

impl PostgresStore {
    /// Connects and brings the schema up to date; while the server is unreachable, a task retries in the background.
    pub(crate) async fn open(url: &str, options: &OpenOptions) -> Result<Self, StoreError> {
        let connect = connect_options(url, options)?;
        let address = DatabaseAddress(format!(
            "{} on {}:{} as {}",
            connect.get_database().unwrap_or(connect.get_username()),
            connect.get_host(),
            connect.get_port(),
            connect.get_username()
        ));
        let pool = pool(connect, options);
        let mut store = Self {
            pool,
            state: Arc::default(),
            sample: Sample::default(),
            connecting: None,
        };
        match attempt(&store.pool, &address).await {
            Ok(layout) => {
                let _ = store.state.ready.set(layout);
            }
            Err(Attempt::Never(problem)) => {
                store.pool.close().await;
                return Err(cannot_start(problem));
            }
            Err(Attempt::Later(problem)) => {
                tracing::warn!(%problem, "waiting for PostgreSQL");
                store.state.note(problem);
                store.connecting = Some(tokio::spawn(connect_in_background(
                    store.pool.clone(),
                    address,
                    Arc::clone(&store.state),
                )));
            }
        }
        Ok(store)
    }

    /// The connections, once the database may be used.
    pub(super) fn pool(&self) -> Result<&PgPool, StoreError> {
        if self.state.ready.get().is_some() {
            return Ok(&self.pool);
        }
        if self.pool.is_closed() {
            return Err(StoreError::Unavailable("it has been closed".into()));
        }
        Err(StoreError::Unavailable(self.state.trouble()))
    }

    /// Whether the server takes a new connection, where the pool has none that is free.
    pub(super) async fn ping_apart(&self) -> Result<(), StoreError> {
        match new_connection(&self.pool).await {
            Ok(()) => Ok(()),
            Err(error) => Err(StoreError::Unavailable(describe(&error))),
        }
    }

    /// How the history is laid out, as it was found when the database was opened.
    pub(super) fn layout(&self) -> Layout {
        self.state.ready.get().copied().unwrap_or(Layout::Whole)
    }

    /// Ends every connection.
    pub(super) async fn end(&self) {
        if let Some(connecting) = &self.connecting {
            connecting.abort();
        }
        self.pool.close().await;
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        if let Some(connecting) = &self.connecting {
            connecting.abort();
        }
    }
}

impl State {
    /// Stores the current problem; returns whether it differs from the one before.
    fn note(&self, problem: String) -> bool {
        let mut trouble = self.trouble.lock();
        let new = *trouble != problem;
        *trouble = problem;
        new
    }

    fn trouble(&self) -> String {
        self.trouble.lock().clone()
    }
}

fn connect_options(url: &str, options: &OpenOptions) -> Result<PgConnectOptions, StoreError> {
    // The error's own text could repeat parts of the URL, and so of the password.
    let connect = PgConnectOptions::from_str(url).map_err(|_| {
        StoreError::Open(
            "the database URL cannot be read; write postgres://user:password@host:port/database, with special characters of \
             the password percent-encoded and sslmode one of disable, allow, prefer, require, verify-ca and verify-full"
                .into(),
        )
    })?;
    let connect = if connect.get_application_name().is_some() {
        connect
    } else {
        connect.application_name("agentnet-registry")
    };
    Ok(match options.tls {
        None => connect,
        Some(mode) => connect.ssl_mode(match mode {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        }),
    })
}

fn pool(connect: PgConnectOptions, options: &OpenOptions) -> PgPool {
    let limit = options.statement_timeout.as_millis();
    PgPoolOptions::new()
        .max_connections(options.pool_size.max(2))
        .acquire_timeout(options.acquire_timeout.min(MAX_POOL_WAIT))
        .test_before_acquire(false)
        .before_acquire(|connection, used| {
            Box::pin(async move {
                if used.idle_for > PING_AFTER_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        // Not among the parameters of the connection: proxies such as PgBouncer refuse them.
        .after_connect(move |connection, _| {
            Box::pin(async move {
                let set = AssertSqlSafe(format!("SET statement_timeout = {limit}"));
                sqlx::raw_sql(set).execute(connection).await?;
                Ok(())
            })
        })
        .connect_lazy_with(connect)
}

/// Retries until the database can be used.
async fn connect_in_background(pool: PgPool, address: DatabaseAddress, state: Arc<State>) {
    let mut backoff = INITIAL_BACKOFF;
    loop {
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(MAX_BACKOFF);
        match attempt(&pool, &address).await {
            Ok(layout) => {
                tracing::info!(database = %address.0, "PostgreSQL is there");
                let _ = state.ready.set(layout);
                return;
            }
            Err(Attempt::Later(problem)) => {
                if state.note(problem.clone()) {
                    tracing::warn!(%problem, "waiting for PostgreSQL");
                }
            }
            Err(Attempt::Never(problem)) => {
                if state.note(problem.clone()) {
                    tracing::error!(%problem, "PostgreSQL cannot be used; connecting again");
                }
            }
        }
    }
}

async fn attempt(pool: &PgPool, address: &DatabaseAddress) -> Result<Layout, Attempt> {
    let mut connection = match timeout(CONNECT_TIMEOUT, pool.acquire()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) if !matches!(error, sqlx::Error::PoolTimedOut) => return Err(address.cannot_connect(&error)),
        _ => {
            let error = new_connection(pool).await.err().unwrap_or(sqlx::Error::PoolTimedOut);
            return Err(address.cannot_connect(&error));
        }
    };
    let layout = bring_up_to_date(&mut connection, address).await?;
    let options = pool.connect_options();
    if let Ok(Ok(mut second)) = timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await {
        let kept = keeps_statements(&mut second).await;
        let _ = timeout(CONNECT_TIMEOUT, second.close()).await;
        kept.map_err(|error| address.cannot_connect(&error))?;
    }
    Ok(layout)
}

/// Detects a pooler without support for prepared statements. Every connection uses the same statement names, and such a pooler
/// gives the second connection the server process of the first, where the name is taken. Found now, it costs no message.
pub(super) async fn keeps_statements(second: &mut PgConnection) -> Result<(), sqlx::Error> {
    match sqlx::query("SELECT 1").execute(second).await {
        Err(error) if is_pooled(&error) => Err(error),
        // Calls on the store report any other error.
        _ => Ok(()),
    }
}

/// Opens a connection beside the pool, which retries temporary rejections ("too many clients") and does not report them.
async fn new_connection(pool: &PgPool) -> Result<(), sqlx::Error> {
    let options = pool.connect_options();
    let connection = timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options))
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)??;
    let _ = timeout(CONNECT_TIMEOUT, connection.close()).await;
    Ok(())
}

/// Runs the missing migrations in one transaction, under a lock that other registries wait for.
async fn bring_up_to_date(connection: &mut PgConnection, address: &DatabaseAddress) -> Result<Layout, Attempt> {
    let database = |error| address.failed(&error);
    let encoding: String = sqlx::query_scalar("SHOW server_encoding")
        .fetch_one(&mut *connection)
        .await
        .map_err(database)?;
    if encoding != "UTF8" {
        return Err(Attempt::Never(format!(
            "the database {} has the encoding {encoding}; create one with ENCODING 'UTF8'",
            address.0
        )));
    }
    let mut transaction = connection.begin().await.map_err(database)?;
    // Indexes on a large database take their time.
    sqlx::raw_sql("SET LOCAL statement_timeout = 0; SET LOCAL client_min_messages = warning")
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(SCHEMA_LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
    // `run` itself makes a future that cannot be spawned (sqlx-core's remark at `run_direct`).
    let migrated = migrator().run_direct(None, &mut *transaction, false).await;
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(version) => Attempt::Never(format!(
            "the database {} was written by a newer version of agentnet (schema {version}, this one knows {NEWEST}); upgrade \
             agentnet, or use another database",
            address.0
        )),
        MigrateError::VersionMismatch(version) => Attempt::Never(format!(
            "the database {} was written by an unreleased version of agentnet (its schema {version} differs); use another \
             database",
            address.0
        )),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => address.failed(&error),
        other => Attempt::Never(format!("cannot bring the database {} up to date: {other}", address.0)),
    })?;
    backfill::search_columns(&mut transaction).await.map_err(database)?;
    let monthly: bool = sqlx::query_scalar(IS_MONTHLY)
        .fetch_one(&mut *transaction)
        .await
        .map_err(database)?;
    transaction.commit().await.map_err(database)?;
    Ok(if monthly { Layout::Monthly } else { Layout::Whole })
}

impl DatabaseAddress {
    fn cannot_connect(&self, error: &sqlx::Error) -> Attempt {
        let text = match error {
            sqlx::Error::PoolTimedOut => format!("cannot reach the database {}: no answer", self.0),
            sqlx::Error::Io(error) => format!("cannot reach the database {}: {error}", self.0),
            error => format!("cannot open the database {}: {}", self.0, describe(error)),
        };
        match error {
            // TLS errors come from the settings: a retry does not help.
            sqlx::Error::Tls(_) => Attempt::Never(text),
            error if is_unavailable(error) => Attempt::Later(text),
            error => match error.as_database_error().and_then(|error| error.code()).as_deref() {
                Some("28P01" | "28000") => Attempt::Never(format!("{text}; check user and password in DATABASE_URL")),
                Some("3D000") => {
                    Attempt::Never(format!("{text}; create it (createdb), or name another in DATABASE_URL"))
                }
                _ => Attempt::Never(text),
            },
        }
    }

    fn failed(&self, error: &sqlx::Error) -> Attempt {
        let text = format!("cannot bring the database {} up to date: {}", self.0, describe(error));
        if is_unavailable(error) {
            return Attempt::Later(text);
        }
        match error.as_database_error().and_then(|error| error.code()).as_deref() {
            Some("42501") => Attempt::Never(format!(
                "{text}; the user needs the right to create tables: GRANT CREATE ON SCHEMA public TO …"
            )),
            _ => Attempt::Never(text),
        }
    }
}
