//! The schema's versions, embedded in the program.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// What marks a file as ours (`PRAGMA application_id`), set by the first migration: "AGNT".
pub(super) const APPLICATION_ID: i64 = 0x4147_4E54;

/// Number, name and statements of each version, oldest first. A released one is never changed: add another.
const VERSIONS: [(i64, &str, &str); 11] = [
    (1, "initial", include_str!("../../migrations/sqlite/0001_initial.sql")),
    (2, "signs", include_str!("../../migrations/sqlite/0002_signs.sql")),
    (
        3,
        "thread_kind",
        include_str!("../../migrations/sqlite/0003_thread_kind.sql"),
    ),
    (4, "from_to", include_str!("../../migrations/sqlite/0004_from_to.sql")),
    (
        5,
        "registries",
        include_str!("../../migrations/sqlite/0005_registries.sql"),
    ),
    (6, "mailbox", include_str!("../../migrations/sqlite/0006_mailbox.sql")),
    (7, "tasks", include_str!("../../migrations/sqlite/0007_tasks.sql")),
    (
        8,
        "mailbox_ends",
        include_str!("../../migrations/sqlite/0008_mailbox_ends.sql"),
    ),
    (9, "secure", include_str!("../../migrations/sqlite/0009_secure.sql")),
    (10, "blobs", include_str!("../../migrations/sqlite/0010_blobs.sql")),
    (
        11,
        "credentials",
        include_str!("../../migrations/sqlite/0011_credentials.sql"),
    ),
];

/// The newest version that this program knows.
pub(super) const NEWEST: i64 = VERSIONS[VERSIONS.len() - 1].0;

/// All versions, ready to run.
pub(super) fn migrator() -> Migrator {
    let migrations = VERSIONS.into_iter().map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}
