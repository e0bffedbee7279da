//! The integration tests of the stores, as one program: CONTRIBUTING.md tells why.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod earlier_schema;
mod earlier_versions;
mod original_database;
mod postgres;
mod postgres_monthly;
mod schema_before_blobs;
mod schema_before_mailbox;
mod schema_before_mailbox_ends;
mod schema_before_secure;
mod schema_before_tasks;
mod sqlite_file;
mod sqlite_memory;
