//! A server that is not there, goes, is busy, full or behind a pooler.

use super::*;

async fn refusal(url: &str, options: &OpenOptions) -> String {
    match open(url, options).await {
        Err(StoreError::Open(text)) => text,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_clearly() {
    let server = Postgres::launch().await.unwrap();
    let port = server.port();
    let newer = server.create_database("newer").await.unwrap();
    open(&newer, &OpenOptions::default()).await.unwrap().close().await;
    let mut connection = PgConnection::connect(&newer).await.unwrap();
    sqlx::raw_sql("UPDATE agentnet_schema_versions SET version = 99 WHERE version = (SELECT max(version) FROM agentnet_schema_versions)")
        .execute(&mut connection)
        .await
        .unwrap();
    let plain = OpenOptions::default();
    let encrypted = OpenOptions {
        tls: Some(TlsMode::Require),
        ..plain.clone()
    };
    for (url, options, expected) in [
        (
            format!("postgres://agentnet:sesame@127.0.0.1:{port}/postgres"),
            &plain,
            "check user and password in DATABASE_URL",
        ),
        (
            server.url().replace("/postgres", "/missing"),
            &plain,
            "database \"missing\" does not exist; create it (createdb)",
        ),
        (server.url(), &encrypted, "does not support TLS"),
        (
            newer,
            &plain,
            "was written by a newer version of agentnet (schema 99, this one knows ",
        ),
        (
            "postgres://sesame@@@:x/".into(),
            &plain,
            "the database URL cannot be read",
        ),
        (
            format!("postgres://a:sesame@127.0.0.1:{port}/x?sslmode=sometimes"),
            &plain,
            "sslmode one of",
        ),
    ] {
        let text = refusal(&url, options).await;
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("sesame"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for() {
    let mut server = Postgres::launch().await.unwrap();
    server.stop().await;
    let store = open(&server.url(), &OpenOptions::default()).await.unwrap();
    let waiting = store.ping().await.unwrap_err();
    assert!(
        matches!(&waiting, StoreError::Unavailable(why) if why.contains("cannot reach the database")),
        "{waiting:?}"
    );
    assert!(store.append_messages(&[message("m", "t", 1)]).await.is_err());
    server.start().await.unwrap();
    eventually(DEADLINE, async || store.ping().await.map_err(|error| error.to_string()))
        .await
        .unwrap();
    assert_eq!(store.append_messages(&[message("m", "t", 1)]).await.unwrap().stored, 1);
}

/// Calls that wait for a connection are served in turn, and a crowd of them is no sign that the server is gone.
#[tokio::test]
async fn a_crowd_waits_for_connections_and_the_server_answers_meanwhile() {
    let server = Postgres::launch().await.unwrap();
    let options = OpenOptions {
        pool_size: 2,
        ..OpenOptions::default()
    };
    let store = open(&server.url(), &options).await.unwrap();
    let mut other = PgConnection::connect(&server.url()).await.unwrap();
    let lock = "BEGIN; LOCK TABLE agent_threads IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.thread("t", None).await })
        })
        .collect();
    eventually(DEADLINE, async || {
        let blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        let mut observer = PgConnection::connect(&server.url()).await.unwrap();
        let blocked: i64 = sqlx::query_scalar(blocked).fetch_one(&mut observer).await.unwrap();
        if blocked == 2 {
            Ok(())
        } else {
            Err(format!("{blocked} wait"))
        }
    })
    .await
    .unwrap();
    // Each waits half a second for a connection of the pool.
    for _ in 0..6 {
        store.ping().await.unwrap();
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), None);
    }
}

/// `idle_session_timeout`: the server ends connections of the pool, which is no failure of the call that would use one.
#[tokio::test]
async fn connections_that_the_server_has_ended_are_replaced() {
    let server = Postgres::launch().await.unwrap();
    run(&server, "ALTER DATABASE postgres SET idle_session_timeout = '400ms'").await;
    let store = opened(&server).await;
    for _ in 0..3 {
        let calls: Vec<_> = (0..5)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.thread("t", None).await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), None);
        }
        eventually(DEADLINE, async || {
            let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agentnet-registry'";
            let mut observer = PgConnection::connect(&server.url()).await.unwrap();
            let left: i64 = sqlx::query_scalar(left).fetch_one(&mut observer).await.unwrap();
            if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
        })
        .await
        .unwrap();
    }
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_used_again() {
    let mut server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    store.append_messages(&[message("m1", "t", 1)]).await.unwrap();
    server.kill9();
    let lost = store.append_messages(&[message("m2", "t", 2)]).await.unwrap_err();
    assert!(matches!(lost, StoreError::Unavailable(_)), "{lost:?}");
    server.start().await.unwrap();
    let again = async || {
        store
            .append_messages(&[message("m2", "t", 2)])
            .await
            .map_err(|error| error.to_string())
    };
    eventually(DEADLINE, again).await.unwrap();
    assert_eq!(message_ids(&*store, &any_message()).await, ["m2", "m1"]);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let server = Postgres::launch().await.unwrap();
    let options = OpenOptions {
        statement_timeout: Duration::from_millis(200),
        ..OpenOptions::default()
    };
    let store = open(&server.url(), &options).await.unwrap();
    let mut other = PgConnection::connect(&server.url()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE agent_messages")
        .execute(&mut *lock)
        .await
        .unwrap();
    let ended = store.append_messages(&[message("m", "t", 1)]).await.unwrap_err();
    assert!(
        matches!(&ended, StoreError::Unavailable(why) if why.contains("statement timeout")),
        "{ended:?}"
    );
    lock.rollback().await.unwrap();
    assert_eq!(store.append_messages(&[message("m", "t", 1)]).await.unwrap().stored, 1);
}

#[tokio::test]
async fn a_server_without_a_connection_left_is_told_as_such() {
    let server = Postgres::launch().await.unwrap();
    run(&server, "CREATE ROLE app LOGIN PASSWORD 'secret' CONNECTION LIMIT 0").await;
    let place = server.url().split_once('@').unwrap().1.to_owned();
    let store = open(&format!("postgres://app:secret@{place}"), &OpenOptions::default())
        .await
        .unwrap();
    let told = store.ping().await.unwrap_err();
    assert!(
        matches!(&told, StoreError::Unavailable(why) if why.contains("too many connections")),
        "{told:?}"
    );
}

/// As PgBouncer 1.20 and older in transaction mode: the statement was prepared on another connection.
#[tokio::test]
async fn a_pooler_that_keeps_no_prepared_statements_is_named() {
    let server = Postgres::launch().await.unwrap();
    let mut other = PgConnection::connect(&server.url()).await.unwrap();
    let other_problem = super::super::error::cannot_start("no such database".to_owned());
    assert!(matches!(other_problem, StoreError::Open(_)));
    for sql in [
        "EXECUTE not_there",
        "PREPARE there AS SELECT 1; PREPARE there AS SELECT 1",
    ] {
        let error = sqlx::raw_sql(sql).execute(&mut other).await.unwrap_err();
        let text = super::super::error::describe(&error);
        assert!(matches!(super::super::error::cannot_start(text), StoreError::Pooler(_)));
        let text = super::super::error::failed(error).to_string();
        assert!(
            text.contains("PgBouncer") && text.contains("max_prepared_statements"),
            "{text}"
        );
    }
}

/// What is left of another connection on the server that a pooler hands over.
#[tokio::test]
async fn a_pooler_is_noticed_at_the_start() {
    let server = Postgres::launch().await.unwrap();
    let mut second = PgConnection::connect(&server.url()).await.unwrap();
    keeps_statements(&mut second).await.unwrap();
    let mut second = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::raw_sql("PREPARE sqlx_s_1 AS SELECT 1")
        .execute(&mut second)
        .await
        .unwrap();
    let error = keeps_statements(&mut second).await.unwrap_err();
    assert!(super::super::error::is_pooled(&error), "{error:?}");
}
