//! Opening: URLs, files that cannot be opened, files that are opened again, other processes.

use tempfile::TempDir;

use super::*;
use crate::contract::sample::{any_message, message, message_ids, requested, session};
use crate::sqlite::tests::{open_file, raw};
use crate::{open, sqlite_url};

#[test]
fn places() {
    let file = |path: &str, create| DatabaseLocation::File {
        path: path.into(),
        create,
    };
    for (rest, place) in [
        ("///var/lib/a.db", file("/var/lib/a.db", true)),
        ("//data/a.db", file("data/a.db", true)),
        ("a.db", file("a.db", true)),
        ("//a%20b%3Fc%25.db", file("a b?c%.db", true)),
        ("//100%.db", file("100%.db", true)),
        ("//a.db?mode=rw", file("a.db", false)),
        ("//a.db?mode=rwc", file("a.db", true)),
        (":memory:", DatabaseLocation::Memory),
        ("//:memory:", DatabaseLocation::Memory),
        ("//?mode=memory", DatabaseLocation::Memory),
    ] {
        assert_eq!(DatabaseLocation::parse(rest).unwrap(), place, "{rest}");
    }
    for rest in ["", "//", "//a.db?mode=ro", "//a.db?cache=shared", "//%ff"] {
        assert!(
            matches!(DatabaseLocation::parse(rest), Err(StoreError::Open(_))),
            "{rest}"
        );
    }
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("new/directories/a b%3F?#.db");
    let store = open_file(&path).await.unwrap();
    let account = store.claim_account(&requested("alice")).await.unwrap();
    store.upsert_sessions(&[session("s")]).await.unwrap();
    store.append_messages(&[message("m", "t", 1)]).await.unwrap();
    let thread = store.thread("t", None).await.unwrap();
    store.close().await;
    assert!(path.is_file());
    assert!(
        !path.with_extension("db-wal").exists(),
        "closing carries the log over to the file"
    );

    let store = open_file(&path).await.unwrap();
    assert_eq!(store.account_by_username("alice").await.unwrap(), Some(account));
    assert_eq!(store.online_sessions().await.unwrap(), [session("s")]);
    assert_eq!(store.thread("t", None).await.unwrap(), thread);
    assert_eq!(message_ids(&*store, &any_message()).await, ["m"]);
    store.close().await;
}

#[tokio::test]
async fn commits_are_synced_and_the_log_is_written_ahead() {
    let directory = TempDir::new().unwrap();
    let place = DatabaseLocation::File {
        path: directory.path().join("a.db"),
        create: true,
    };
    let store = SqliteStore::open(&place, &OpenOptions::default()).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&store.write)
        .await
        .unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&store.write)
        .await
        .unwrap();
    assert_eq!((mode.as_str(), synchronous), ("wal", 2));
    assert!(
        sqlx::query("DELETE FROM agent_messages")
            .execute(&store.read)
            .await
            .is_err(),
        "readers only read"
    );
}

#[tokio::test]
async fn another_process_may_read_while_the_store_is_open() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agentnet.db");
    let store = open_file(&path).await.unwrap();
    store.append_messages(&[message("m", "t", 1)]).await.unwrap();
    let mut other = raw(&path).await;
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM agent_messages")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(count, 1);
    store.append_messages(&[message("m2", "t", 1)]).await.unwrap();
}

#[tokio::test]
async fn a_database_locked_by_another_process_is_unavailable() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agentnet.db");
    let impatient = OpenOptions {
        busy_timeout: std::time::Duration::from_millis(20),
        ..OpenOptions::default()
    };
    let store = open(&sqlite_url(&path), &impatient).await.unwrap();
    let mut other = raw(&path).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let error = store.append_messages(&[message("m", "t", 1)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let error = open(&sqlite_url(&path), &impatient).await.err().unwrap();
    assert!(
        matches!(&error, StoreError::Unavailable(text) if text.contains("locked by another process")),
        "{error:?}"
    );
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(store.append_messages(&[message("m", "t", 1)]).await.unwrap().stored, 1);
}

#[tokio::test]
async fn ten_may_create_one_database_at_once() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agentnet.db");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let path = path.clone();
        tasks.spawn(async move { open_file(&path).await.map(drop) });
    }
    for opened in tasks.join_all().await {
        opened.unwrap();
    }
}

async fn refusal(url: &str) -> String {
    match open(url, &OpenOptions::default()).await {
        Err(StoreError::Open(text)) => text,
        Err(other) => panic!("{url}: {other:?}"),
        Ok(_) => panic!("{url} was opened"),
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_clearly() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(
        path("text.db"),
        "this is a text file, long enough to have a header ".repeat(100),
    )
    .unwrap();
    std::fs::write(path("file"), "x").unwrap();
    sqlx::query("CREATE TABLE theirs (x)")
        .execute(&mut raw(&path("theirs.db")).await)
        .await
        .unwrap();
    open_file(&path("newer.db")).await.unwrap().close().await;
    sqlx::query("UPDATE _sqlx_migrations SET version = 99 WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
        .execute(&mut raw(&path("newer.db")).await)
        .await
        .unwrap();

    for (url, expected) in [
        (sqlite_url(directory.path()), "is a directory; name a file in it"),
        (sqlite_url(&path("text.db")), "is not a SQLite database"),
        (sqlite_url(&path("file/sub/a.db")), "cannot create the directory"),
        (sqlite_url(&path("theirs.db")), "is the database of another program"),
        (
            sqlite_url(&path("newer.db")),
            "was written by a newer version of agentnet (schema 99, this one knows ",
        ),
        (sqlite_url(&path("missing.db")) + "?mode=rw", "there is no database"),
        (
            "mysql://user:secret@host/db".into(),
            "the database URL must be sqlite://",
        ),
        ("mysql://host/db".into(), "the database URL must be sqlite://"),
        ("/var/lib/a.db".into(), "the database URL must be sqlite://"),
        (String::new(), "the database URL must be sqlite://"),
        ("sqlite://".into(), "names no file"),
    ] {
        let text = refusal(&url).await;
        assert!(text.contains(expected), "{url}: {text}");
        assert!(!text.contains("secret"));
    }
    assert_eq!(std::fs::read_to_string(path("file")).unwrap(), "x");
}

/// A file of the first schema gets what came later, and keeps what it holds.
#[tokio::test]
async fn an_older_file_is_brought_up_to_date() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("older.db");
    let store = open_file(&path).await.unwrap();
    store.claim_account(&requested("alice")).await.unwrap();
    store.close().await;
    for statement in [
        "ALTER TABLE agent_accounts DROP COLUMN signs",
        "ALTER TABLE agent_sessions DROP COLUMN signs",
        "DELETE FROM _sqlx_migrations WHERE version = 2",
    ] {
        sqlx::query(statement).execute(&mut raw(&path).await).await.unwrap();
    }
    let store = open_file(&path).await.unwrap();
    let alice = store.account_by_username("alice").await.unwrap().unwrap();
    assert!(alice.signs.is_none());
    store.close().await;
}

/// A directory in which no user, not even root, can make a file.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_directory_that_cannot_be_written_is_told_clearly() {
    let text = refusal("sqlite:///proc/agentnet.db").await;
    assert!(
        text.contains("check that the file and its directory are writable"),
        "{text}"
    );
}
