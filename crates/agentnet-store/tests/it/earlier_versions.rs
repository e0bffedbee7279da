//! Databases of earlier versions, and what the programs of those versions take for their own.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Scripts that make a database of schema 4, then of 5, then of 6.
pub(crate) const SQLITE: [&str; 3] = [
    include_str!("../schema4.sql"),
    include_str!("../schema5.sql"),
    include_str!("../schema6.sql"),
];
/// Scripts that make a database of schema 3, then of 4, then of 5.
pub(crate) const POSTGRES: [&str; 3] = [
    include_str!("../postgres_schema3.sql"),
    include_str!("../postgres_schema4.sql"),
    include_str!("../postgres_schema5.sql"),
];

const SQLITE_VERSIONS: [(&str, &str); 9] = [
    ("initial", include_str!("../../migrations/sqlite/0001_initial.sql")),
    ("signs", include_str!("../../migrations/sqlite/0002_signs.sql")),
    (
        "thread_kind",
        include_str!("../../migrations/sqlite/0003_thread_kind.sql"),
    ),
    ("from_to", include_str!("../../migrations/sqlite/0004_from_to.sql")),
    (
        "registries",
        include_str!("../../migrations/sqlite/0005_registries.sql"),
    ),
    ("mailbox", include_str!("../../migrations/sqlite/0006_mailbox.sql")),
    ("tasks", include_str!("../../migrations/sqlite/0007_tasks.sql")),
    (
        "mailbox_ends",
        include_str!("../../migrations/sqlite/0008_mailbox_ends.sql"),
    ),
    ("secure", include_str!("../../migrations/sqlite/0009_secure.sql")),
];
const POSTGRES_VERSIONS: [(&str, &str); 8] = [
    ("initial", include_str!("../../migrations/postgres/0001_initial.sql")),
    (
        "thread_kind",
        include_str!("../../migrations/postgres/0002_thread_kind.sql"),
    ),
    ("from_to", include_str!("../../migrations/postgres/0003_from_to.sql")),
    (
        "registries",
        include_str!("../../migrations/postgres/0004_registries.sql"),
    ),
    ("mailbox", include_str!("../../migrations/postgres/0005_mailbox.sql")),
    ("tasks", include_str!("../../migrations/postgres/0006_tasks.sql")),
    (
        "mailbox_ends",
        include_str!("../../migrations/postgres/0007_mailbox_ends.sql"),
    ),
    ("secure", include_str!("../../migrations/postgres/0008_secure.sql")),
];

/// A program that knows the SQLite schema up to this version.
pub(crate) fn sqlite(version: usize) -> Migrator {
    migrator(&SQLITE_VERSIONS[..version])
}

/// A program that knows the PostgreSQL schema up to this version.
pub(crate) fn postgres(version: usize) -> Migrator {
    let mut migrator = migrator(&POSTGRES_VERSIONS[..version]);
    migrator.dangerous_set_table_name("agentnet_schema_versions");
    migrator.set_locking(false);
    migrator
}

fn migrator(versions: &[(&'static str, &'static str)]) -> Migrator {
    let migrations = (1..).zip(versions).map(|(version, (name, sql))| {
        let sql = (*sql).into_sql_str();
        Migration::new(version, (*name).into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}
