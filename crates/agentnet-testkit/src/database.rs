//! A database for one test, of the kind that `AGENTNET_TEST_STORE` selects.

use std::fmt;

use tempfile::TempDir;

use crate::error::StartError;
use crate::postgres::Postgres;

/// The environment variable that selects the kind: `sqlite` (default) or `postgres`.
pub const TEST_STORE_VARIABLE: &str = "AGENTNET_TEST_STORE";

/// An empty database, removed when it is dropped. Tests for which the kind of store does not matter use it, so that the whole
/// suite can run on both kinds.
pub struct TestDatabase(Kind);

enum Kind {
    Sqlite(TempDir),
    Postgres(Postgres),
}

impl TestDatabase {
    /// Creates a database.
    ///
    /// # Errors
    /// [`StartError`]: PostgreSQL is selected and cannot be started, or no temporary folder can be created.
    ///
    /// # Panics
    /// If `AGENTNET_TEST_STORE` names another kind.
    pub async fn start() -> Result<Self, StartError> {
        let kind = match Self::kind() {
            "postgres" => Kind::Postgres(Postgres::launch().await?),
            _ => Kind::Sqlite(tempfile::tempdir().map_err(StartError::io("make a temporary folder"))?),
        };
        Ok(Self(kind))
    }

    /// The kind that this test run selects: `sqlite` or `postgres`.
    ///
    /// # Panics
    /// If `AGENTNET_TEST_STORE` names another kind.
    #[must_use]
    pub fn kind() -> &'static str {
        match std::env::var(TEST_STORE_VARIABLE).as_deref() {
            Ok("postgres") => "postgres",
            Ok("sqlite" | "") | Err(_) => "sqlite",
            Ok(other) => panic!("{TEST_STORE_VARIABLE}={other}: expected sqlite or postgres"),
        }
    }

    /// The URL, in the form of `DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.0 {
            Kind::Sqlite(folder) => format!("sqlite://{}", folder.path().join("agentnet.db").display()),
            Kind::Postgres(server) => server.url(),
        }
    }
}

impl fmt::Debug for TestDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestDatabase").field(&Self::kind()).finish()
    }
}
