//! The schema's versions, embedded in the program.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Where the versions that a database has are noted.
const TABLE: &str = "agentnet_schema_versions";

/// Number, name and statements of each version, oldest first. A released one is never changed: add another. Each only adds,
/// so that an older registry on the same database goes on working.
const VERSIONS: [(i64, &str, &str); 10] = [
    (1, "initial", include_str!("../../migrations/postgres/0001_initial.sql")),
    (
        2,
        "thread_kind",
        include_str!("../../migrations/postgres/0002_thread_kind.sql"),
    ),
    (3, "from_to", include_str!("../../migrations/postgres/0003_from_to.sql")),
    (
        4,
        "registries",
        include_str!("../../migrations/postgres/0004_registries.sql"),
    ),
    (5, "mailbox", include_str!("../../migrations/postgres/0005_mailbox.sql")),
    (6, "tasks", include_str!("../../migrations/postgres/0006_tasks.sql")),
    (
        7,
        "mailbox_ends",
        include_str!("../../migrations/postgres/0007_mailbox_ends.sql"),
    ),
    (8, "secure", include_str!("../../migrations/postgres/0008_secure.sql")),
    (9, "blobs", include_str!("../../migrations/postgres/0009_blobs.sql")),
    (
        10,
        "credentials",
        include_str!("../../migrations/postgres/0010_credentials.sql"),
    ),
];

/// The newest version that this program knows.
pub(super) const NEWEST: i64 = VERSIONS[VERSIONS.len() - 1].0;

/// All versions, ready to run.
pub(super) fn migrator() -> Migrator {
    let migrations = VERSIONS.into_iter().map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(TABLE);
    // The caller holds a lock of its own, which ends with its transaction.
    migrator.set_locking(false);
    migrator
}
