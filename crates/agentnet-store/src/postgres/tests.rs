//! Tests of PostgreSQL alone: its plans, its columns, rows that it refuses, and a server that is down.

mod server;
mod visible;

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

/// A store that is in use: on a busy machine its first attempt to connect may wait too long, and it makes another one.
pub(super) async fn opened(server: &Postgres) -> Arc<dyn Store> {
    open_at(&server.url()).await
}

async fn open_at(url: &str) -> Arc<dyn Store> {
    let store = open(url, &OpenOptions::default()).await.unwrap();
    eventually(DEADLINE, async || store.ping().await).await.unwrap();
    store
}

pub(super) async fn run(server: &Postgres, sql: &'static str) {
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

/// The plan of a statement when neither scanning a table nor sorting is cheap.
pub(super) async fn plan(connection: &mut PgConnection, sql: &str) -> String {
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
pub(super) const POISON: &str = "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN \
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
        counted += store.thread(thread, None).await.unwrap().unwrap().message_count;
    }
    assert_eq!(counted, 195);
    assert_eq!(store.thread("own70", None).await.unwrap(), None);
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
    assert_eq!(store.thread("t", None).await.unwrap(), None);
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

#[tokio::test]
async fn ten_may_create_one_schema_at_once() {
    let server = Postgres::launch().await.unwrap();
    let opened = async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let url = server.url();
            tasks.spawn_local(async move { open_at(&url).await.close().await });
        }
        tasks.join_all().await;
    };
    tokio::task::LocalSet::new().run_until(opened).await;
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
