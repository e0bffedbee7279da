//! A database for one test, of the kind that the test run asks for.

use std::fmt;

use tempfile::TempDir;

use crate::error::StartError;
use crate::postgres::Postgres;

/// The variable that says which kind: `sqlite` (default) or `postgres`.
pub const TEST_STORE_VARIABLE: &str = "AGENTNET_TEST_STORE";

/// An empty database, gone when it is dropped. Tests that do not care which kind of store is behind a registry use this one:
/// the whole suite then runs on both, by `AGENTNET_TEST_STORE`.
pub struct TestDatabase(Kind);

enum Kind {
    Sqlite(TempDir),
    Postgres(Postgres),
}

impl TestDatabase {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`StartError`]: PostgreSQL is asked for and cannot be started, or no temporary folder can be made.
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

    /// The kind that this test run asks for: `sqlite` or `postgres`.
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

    /// Its URL, as `DATABASE_URL` takes it.
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
