//! Tests of PostgreSQL alone: its plans, its columns, rows that it refuses, and a server that is down.

use std::sync::Arc;
use std::time::Duration;

use agentnet_testkit::{Postgres, eventually};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::connect::keeps_statements;
use super::{accounts, messages, threads};
use crate::contract::sample::{any_account, any_message, any_thread, at, json, message, message_ids, requested};
use crate::model::{AccountQuery, MessageQuery, NewMessage, Position, ThreadQuery};
use crate::{OpenOptions, Store, StoreError, TlsMode, open};

const DEADLINE: Duration = Duration::from_secs(30);

async fn opened(server: &Postgres) -> Arc<dyn Store> {
    open(&server.url(), &OpenOptions::default()).await.unwrap()
}

async fn run(server: &Postgres, sql: &'static str) {
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

/// The plan of a statement when neither scanning a table nor sorting is cheap.
async fn plan(connection: &mut PgConnection, sql: &str) -> String {
    let parameters = (1..).take_while(|n| sql.contains(&format!("${n}"))).count();
    let nulls = vec!["NULL"; parameters].join(", ");
    sqlx::raw_sql(AssertSqlSafe(format!(
        "SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off; \
         SET plan_cache_mode = force_generic_plan; PREPARE page AS {sql}"
    )))
    .execute(&mut *connection)
    .await
    .unwrap();
    let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE page({nulls})"));
    let rows = sqlx::raw_sql(explain).fetch_all(&mut *connection).await.unwrap();
    sqlx::raw_sql("DEALLOCATE page")
        .execute(&mut *connection)
        .await
        .unwrap();
    let lines = rows.iter().map(|row| row.get::<String, _>(0));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_page_walks_an_index_in_order() {
    let server = Postgres::launch().await.unwrap();
    opened(&server).await.close().await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let some = |value: &str| Some(value.to_owned());
    let before = Some(Position {
        at: at(0),
        id: "x".into(),
    });
    let mut statements = Vec::new();
    for before in [None, before] {
        let base = MessageQuery {
            before: before.clone(),
            ..any_message()
        };
        for (query, index) in [
            (
                MessageQuery {
                    thread_id: some("t"),
                    ..base.clone()
                },
                "idx_agent_messages_thread_sent_msg",
            ),
            (
                MessageQuery {
                    thread_id: some("t"),
                    kind: some("k"),
                    ..base.clone()
                },
                "idx_agent_messages_thread_kind",
            ),
            (
                MessageQuery {
                    from_account_id: some("a"),
                    ..base.clone()
                },
                "idx_agent_messages_from_account",
            ),
            (
                MessageQuery {
                    from_account_id: some("a"),
                    to_account_id: some("b"),
                    ..base.clone()
                },
                "idx_agent_messages_from_to",
            ),
            (
                MessageQuery {
                    to_account_id: some("a"),
                    ..base.clone()
                },
                "idx_agent_messages_to_account",
            ),
            (
                MessageQuery {
                    kind: some("k"),
                    ..base.clone()
                },
                "idx_agent_messages_kind",
            ),
            (base, "idx_agent_messages_sent_at"),
        ] {
            statements.push((messages::page_query(&query).into_string(), index));
        }
        let query = ThreadQuery {
            before,
            text: "x".into(),
            ..any_thread()
        };
        statements.push((threads::page_query(&query).into_string(), "idx_agent_threads_activity"));
    }
    let query = AccountQuery {
        after_username: some("m"),
        text: "x".into(),
        ..any_account()
    };
    statements.push((
        accounts::page_query(&query, &[]).into_string(),
        "idx_agent_accounts_username",
    ));
    for (sql, index) in statements {
        let plan = plan(&mut connection, &sql).await;
        assert!(
            plan.contains(&format!("using {index} ")),
            "{sql}\nshould use {index}, but:\n{plan}"
        );
        assert!(!plan.contains("Sort"), "{sql}\nsorts:\n{plan}");
    }
}

#[tokio::test]
async fn filters_have_an_index_of_their_own() {
    let server = Postgres::launch().await.unwrap();
    opened(&server).await.close().await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::raw_sql("SET enable_seqscan = off; SET enable_indexscan = off")
        .execute(&mut connection)
        .await
        .unwrap();
    for (sql, index) in [
        (
            "SELECT 1 FROM agent_threads WHERE participants ? 'a'",
            "idx_agent_threads_participants",
        ),
        (
            "SELECT 1 FROM agent_accounts WHERE capabilities_search @> ARRAY['a']",
            "idx_agent_accounts_capabilities",
        ),
        (
            "SELECT 1 FROM agent_accounts WHERE COALESCE(display_name_search, lower(display_name)) LIKE '%abc%'",
            "idx_agent_accounts_display_name_trgm",
        ),
        (
            "DELETE FROM agent_sessions WHERE status = 'offline' AND COALESCE(disconnected_at, last_seen) < now()",
            "idx_agent_sessions_offline",
        ),
    ] {
        let explain = AssertSqlSafe(format!("EXPLAIN {sql}"));
        let rows = sqlx::raw_sql(explain).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(
            plan.iter().any(|line| line.contains(index)),
            "{sql}\n{}",
            plan.join("\n")
        );
    }
}

#[tokio::test]
async fn names_are_found_without_the_trigram_extension() {
    let server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    run(&server, "DROP EXTENSION pg_trgm CASCADE").await;
    store.claim_account(&requested("alice")).await.unwrap();
    let query = AccountQuery {
        text: "LIC".into(),
        ..any_account()
    };
    assert_eq!(store.accounts(&query).await.unwrap().items.len(), 1);
}

/// Columns that the Python implementation reads, and the column of the exact text.
#[tokio::test]
async fn payloads_are_jsonb_with_their_text_only_where_it_differs() {
    let server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    let payloads = [
        (r#"{"text":"hi"}"#, r#"{"text": "hi"}"#, None),
        (
            r#"{"b":1,"a":1e2}"#,
            r#"{"a": 100, "b": 1}"#,
            Some(r#"{"b":1,"a":1e2}"#),
        ),
        (r#""\u0000""#, "{}", Some(r#""\u0000""#)),
        ("null", "null", None),
    ];
    let batch: Vec<NewMessage> = payloads
        .iter()
        .enumerate()
        .map(|(index, (payload, ..))| {
            let mut new = message(&format!("m{index}"), "t", 1);
            new.message.payload = json(payload);
            new
        })
        .collect();
    store.append_messages(&batch).await.unwrap();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let rows = sqlx::query("SELECT payload::text, payload_text FROM agent_messages ORDER BY message_id")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let found: Vec<(String, Option<String>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = payloads.map(|(_, jsonb, text)| (jsonb.to_owned(), text.map(str::to_owned)));
    assert_eq!(found, expected);
}

/// A trigger stands for whatever makes PostgreSQL refuse one row: `poison…` for good, `large…` for want of room.
const POISON: &str = "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN \
     IF NEW.message_id LIKE 'poison%' THEN RAISE EXCEPTION 'poisoned'; END IF; \
     IF NEW.message_id LIKE 'large%' THEN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END IF; \
     RETURN NEW; END $$ LANGUAGE plpgsql; \
     CREATE TRIGGER refuse BEFORE INSERT ON agent_messages FOR EACH ROW EXECUTE FUNCTION refuse()";

#[tokio::test]
async fn a_refused_message_does_not_stop_the_others() {
    let server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    run(&server, POISON).await;
    let mut batch: Vec<NewMessage> = (0..200)
        .map(|n| message(&format!("m{n:03}"), &format!("t{}", n % 3), n))
        .collect();
    for (place, name) in [(0, "poison"), (70, "large"), (71, "poison"), (199, "large")] {
        batch[place].message.message_id = format!("{name}{place}");
        batch[place].message.thread_id = format!("own{place}");
    }
    batch[150].message.message_id = "m001".into();
    let appended = store.append_messages(&batch).await.unwrap();
    assert_eq!((appended.stored, appended.duplicates), (195, 1));
    let refused: Vec<(&str, bool)> = appended
        .refused
        .iter()
        .map(|refused| (refused.message_id.as_str(), refused.lasting))
        .collect();
    assert_eq!(
        refused,
        [
            ("poison0", true),
            ("large70", false),
            ("poison71", true),
            ("large199", false)
        ]
    );
    let mut counted = 0;
    for thread in ["t0", "t1", "t2"] {
        counted += store.thread(thread).await.unwrap().unwrap().message_count;
    }
    assert_eq!(counted, 195);
    assert_eq!(store.thread("own70").await.unwrap(), None);
    let all = MessageQuery {
        limit: 1_000,
        ..any_message()
    };
    assert_eq!(message_ids(&*store, &all).await.len(), 195);
}

#[tokio::test]
async fn a_full_database_stores_nothing_and_may_be_tried_again() {
    let server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    run(&server, POISON).await;
    for count in [1, 2, 50] {
        let batch: Vec<NewMessage> = (0..count).map(|n| message(&format!("large{n}"), "t", n)).collect();
        let full = store.append_messages(&batch).await.unwrap_err();
        assert!(matches!(full, StoreError::Unavailable(_)), "{count}: {full:?}");
    }
    assert!(message_ids(&*store, &any_message()).await.is_empty());
    assert_eq!(store.thread("t").await.unwrap(), None);
}

#[tokio::test]
async fn a_text_too_long_for_an_index_is_refused_alone() {
    let server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    // Nothing that compression would shorten.
    let long: String = (0..20_000).map(|_| rand::random_range('0'..='z')).collect();
    let mut odd = message("odd", "t", 1);
    odd.message.kind = long;
    let appended = store.append_messages(&[odd, message("m", "t", 2)]).await.unwrap();
    assert_eq!((appended.stored, appended.refused.len()), (1, 1));
    assert!(appended.refused[0].lasting);
}

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
    let store = opened(&server).await;
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
            tokio::spawn(async move { store.thread("t").await })
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
                tokio::spawn(async move { store.thread("t").await })
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
async fn ten_may_create_one_schema_at_once() {
    let server = Postgres::launch().await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let url = server.url();
        tasks.spawn(async move {
            let store = open(&url, &OpenOptions::default()).await?;
            store.ping().await?;
            store.close().await;
            Ok::<_, StoreError>(())
        });
    }
    for opened in tasks.join_all().await {
        opened.unwrap();
    }
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
async fn retention_is_one_registry_at_a_time() {
    let server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    store.append_messages(&[message("m", "t", 1)]).await.unwrap();
    let mut other = PgConnection::connect(&server.url()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(threads::PRUNE_LOCK)
        .execute(&mut *lock)
        .await
        .unwrap();
    assert_eq!(
        store.prune_threads(at(9), 10).await.unwrap().threads,
        0,
        "another one is at it"
    );
    lock.rollback().await.unwrap();
    let pruned = store.prune_threads(at(9), 10).await.unwrap();
    assert_eq!((pruned.threads, pruned.messages), (1, 1));
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
    let other_problem = super::error::cannot_start("no such database".to_owned());
    assert!(matches!(other_problem, StoreError::Open(_)));
    for sql in [
        "EXECUTE not_there",
        "PREPARE there AS SELECT 1; PREPARE there AS SELECT 1",
    ] {
        let error = sqlx::raw_sql(sql).execute(&mut other).await.unwrap_err();
        let text = super::error::describe(&error);
        assert!(matches!(super::error::cannot_start(text), StoreError::Pooler(_)));
        let text = super::error::failed(error).to_string();
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
    assert!(super::error::is_pooled(&error), "{error:?}");
}
