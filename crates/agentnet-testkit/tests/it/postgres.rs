//! The PostgreSQL handle. Needs PostgreSQL on the machine: without it these tests fail with installation instructions.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use agentnet_testkit::{Postgres, find_postgres};

/// Runs `sql` through psql and returns the bare result.
fn query(url: &str, sql: &str) -> Result<String, String> {
    let psql = find_postgres().unwrap().join("psql");
    let output = Command::new(psql)
        .args(["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", sql, url])
        .output();
    let output = output.unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[tokio::test]
async fn a_cluster_is_created_keeps_its_data_over_crash_and_stop_and_is_cleaned_up() {
    let mut postgres = Postgres::launch().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(query(&postgres.url(), "SELECT 40 + 2").unwrap(), "42");

    let url = postgres.create_database("history").await.unwrap();
    query(&url, "CREATE TABLE t (text TEXT); INSERT INTO t VALUES ('před pádem')").unwrap();
    let again = postgres.create_database("history").await.unwrap_err();
    assert!(again.to_string().contains("already exists"), "{again}");

    postgres.kill9();
    assert_eq!(postgres.pid(), None);
    assert!(query(&url, "SELECT 1").is_err());
    postgres.start().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(query(&url, "SELECT text FROM t").unwrap(), "před pádem");

    postgres.stop().await;
    assert!(query(&url, "SELECT 1").is_err());
    postgres.start().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(query(&url, "SELECT count(*) FROM t").unwrap(), "1");

    // The socket's folder is the temporary folder.
    let folder = query(&url, "SHOW unix_socket_directories").unwrap();
    let port = postgres.port();
    drop(postgres);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    assert!(!Path::new(&folder).exists(), "{folder} is removed");
}

#[tokio::test]
async fn the_password_is_required() {
    let postgres = Postgres::launch().await.unwrap_or_else(|error| panic!("{error}"));
    let (before, after) = postgres
        .url()
        .split_once('@')
        .map(|(b, a)| (b.to_owned(), a.to_owned()))
        .unwrap();
    let user = before
        .trim_start_matches("postgres://")
        .split(':')
        .next()
        .unwrap()
        .to_owned();
    let refused = query(&format!("postgres://{user}:wrong@{after}"), "SELECT 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
}
