//! A database that the original wrote (PROTOCOL.md section 10) is opened, read, and continued.

use agentnet_protocol::{RawJson, Timestamp};
use agentnet_store::contract::sample::{
    any_account, any_message, at, message, message_ids, requested, thread_ids, usernames,
};
use agentnet_store::model::{AccountQuery, MessageQuery, Position, ThreadQuery};
use agentnet_store::{OpenOptions, StoreError, open};
use agentnet_testkit::Postgres;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

/// Its tables, indexes and rows.
const ORIGINAL: &str = include_str!("../original_database.sql");

async fn original() -> (Postgres, String, PgConnection) {
    let server = Postgres::launch().await.unwrap();
    let mut admin = PgConnection::connect(&server.url()).await.unwrap();
    // As in the original's container: a linguistic collation, in which b comes before C.
    sqlx::raw_sql("CREATE DATABASE original TEMPLATE template0 LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' ICU_LOCALE 'en-US' LOCALE_PROVIDER icu")
        .execute(&mut admin)
        .await
        .unwrap();
    let url = server.url().replace("/postgres", "/original");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(ORIGINAL).execute(&mut connection).await.unwrap();
    (server, url, connection)
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

#[tokio::test]
async fn accounts_are_read_and_found() {
    let (_server, url, _) = original().await;
    let store = open(&url, &OpenOptions::default()).await.unwrap();
    let alice = store.account_by_username("alice").await.unwrap().unwrap();
    assert_eq!(alice.account_id, "acct_01kalice");
    assert_eq!(
        (alice.display_name.as_str(), alice.bio.as_str()),
        ("ÄRGER Alice", "wrote the first message")
    );
    assert_eq!(alice.capabilities, ["Chat", "sum"]);
    assert_eq!(alice.metadata.get(), r#"{"team":{"lead":true,"name":"r\u00e9d"}}"#);
    assert_eq!(alice.public_key.as_deref(), Some("c2lnbmVkLWJ5LXRoaXMta2V5"));
    assert_eq!(alice.created_at, time("2026-01-10T09:00:00Z"));
    let bob = store.account_by_id("acct_01kbob").await.unwrap().unwrap();
    assert_eq!((bob.public_key, bob.metadata.get()), (None, "{}"));

    let text = |text: &str| AccountQuery {
        text: text.into(),
        ..any_account()
    };
    assert_eq!(usernames(&*store, &text("ärger")).await, ["alice"]);
    let capability = AccountQuery {
        capability: Some("CHAT".into()),
        ..any_account()
    };
    assert_eq!(usernames(&*store, &capability).await, ["alice", "bob"]);
    // Code points, not the database's own order.
    assert_eq!(
        usernames(&*store, &any_account()).await,
        ["a-c", "a_b", "ab", "alice", "bob"]
    );
}

#[tokio::test]
async fn a_bound_key_still_guards_its_account() {
    let (_server, url, _) = original().await;
    let store = open(&url, &OpenOptions::default()).await.unwrap();
    let mut claim = requested("alice");
    claim.public_key = Some("another".into());
    assert!(matches!(
        store.claim_account(&claim).await,
        Err(StoreError::KeyMismatch)
    ));
    claim.public_key = Some("c2lnbmVkLWJ5LXRoaXMta2V5".into());
    claim.metadata = RawJson::parse(r#"{"new":1}"#.to_owned()).unwrap();
    let alice = store.claim_account(&claim).await.unwrap();
    assert_eq!(alice.account_id, "acct_01kalice");
    assert_eq!(
        (alice.bio.as_str(), alice.metadata.get()),
        ("wrote the first message", r#"{"new":1}"#)
    );
}

#[tokio::test]
async fn ghost_sessions_are_there_to_be_put_right() {
    let (_server, url, _) = original().await;
    let store = open(&url, &OpenOptions::default()).await.unwrap();
    let online = store.online_sessions().await.unwrap();
    let tags: Vec<&str> = online.iter().map(|session| session.session_tag.as_str()).collect();
    assert_eq!(tags, ["registry_01KGHOST", "registry_01KNAMELESS"]);
    assert_eq!((online[0].name.as_str(), online[1].name.as_str()), ("Alice", "worker"));
    assert_eq!(
        (online[0].capabilities.as_slice(), online[1].capabilities.len()),
        (&["Chat".to_owned()][..], 0)
    );
    assert_eq!(online[0].metadata.get(), r#"{"pid":7}"#);
    store
        .end_sessions(&[("registry_01KGHOST".into(), online[0].last_seen)])
        .await
        .unwrap();
    let ghost = store.session("registry_01KGHOST").await.unwrap().unwrap();
    assert_eq!((ghost.online, ghost.disconnected_at), (false, Some(ghost.last_seen)));
}

#[tokio::test]
async fn messages_are_read_as_they_were_sent() {
    let (_server, url, _) = original().await;
    let store = open(&url, &OpenOptions::default()).await.unwrap();
    let query = MessageQuery {
        thread_id: Some("thread_one".into()),
        ..any_message()
    };
    let page = store.messages(&query).await.unwrap();
    let read: Vec<(&str, &str)> = page
        .items
        .iter()
        .map(|m| (m.message_id.as_str(), m.payload.get()))
        .collect();
    assert_eq!(
        read,
        [
            ("m5", r#""plain""#),
            // Two of the same time: by code point, whatever the collation.
            ("b4", "null"),
            ("C3", r#"{"type":"checkpoint","covers_end":2}"#),
            ("m2", r#"{"n":1.5,"id":"x","text":"two"}"#),
            ("m1", r#"{"text":"h\u00e9llo"}"#),
        ]
    );
    let first = page.items.last().unwrap();
    assert_eq!(
        (first.ttl_ms.as_deref(), first.expires_at.as_deref()),
        (Some("30000"), Some("2026-02-01T10:00:30Z"))
    );
    assert_eq!(
        (first.auth_scheme.as_str(), first.from_agent.as_str()),
        ("dev-ed25519-v1", "")
    );
    assert_eq!(
        (page.items[0].ttl_ms.as_deref(), page.items[0].auth_scheme.as_str()),
        (None, "")
    );

    let mut walked = Vec::new();
    let mut query = MessageQuery { limit: 1, ..query };
    loop {
        let page = store.messages(&query).await.unwrap();
        let last = page.items.last().unwrap();
        walked.push(last.message_id.clone());
        query.before = Some(Position {
            at: last.sent_at,
            id: last.message_id.clone(),
        });
        if !page.more {
            break;
        }
    }
    assert_eq!(walked, ["m5", "b4", "C3", "m2", "m1"], "one a page");
}

#[tokio::test]
async fn threads_are_read_and_continued() {
    let (_server, url, mut connection) = original().await;
    let store = open(&url, &OpenOptions::default()).await.unwrap();
    let thread = store.thread("thread_one", None).await.unwrap().unwrap();
    assert_eq!(
        thread.participants,
        ["acct_01kalice", "acct_01kbob"],
        "the original does not sort them"
    );
    assert_eq!(
        (thread.message_count, thread.byte_count, thread.approx_tokens),
        (5, 123, 33)
    );
    assert_eq!(
        (thread.latest_checkpoint_end, thread.last_message_at),
        (2, Some(time("2026-02-01T10:00:04Z")))
    );
    let found = ThreadQuery {
        participant: Some("acct_01kbob".into()),
        limit: 10,
        ..ThreadQuery::default()
    };
    assert_eq!(thread_ids(&*store, &found).await, ["thread_one"]);
    let text = ThreadQuery {
        text: "ärger".into(),
        limit: 10,
        ..ThreadQuery::default()
    };
    assert_eq!(thread_ids(&*store, &text).await, ["Thread_ÄRGER"]);

    let mut known = message("m1", "thread_one", 0);
    known.message.from_account_id = Some("acct_01kcarol".into());
    let appended = store
        .append_messages(&[known, message("m6", "thread_one", 1), message("n1", "thread_new", 2)])
        .await
        .unwrap();
    assert_eq!((appended.stored, appended.duplicates), (2, 1));
    let thread = store.thread("thread_one", None).await.unwrap().unwrap();
    assert_eq!(
        (thread.message_count, thread.byte_count, thread.approx_tokens),
        (6, 133, 36)
    );
    assert_eq!(thread.last_message_at, Some(at(1)));
    assert_eq!(
        thread.participants,
        ["acct_01kalice", "acct_01kbob", "acct_01kcarol", "acct_a", "acct_b"]
    );
    let query = MessageQuery {
        thread_id: Some("thread_one".into()),
        ..any_message()
    };
    assert_eq!(message_ids(&*store, &query).await, ["m6", "m5", "b4", "C3", "m2", "m1"]);

    // What the original itself would read of the new row.
    let row = sqlx::query("SELECT payload::text, metadata::text, status FROM agent_messages WHERE message_id = 'm6'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>(0), r#"{"text": "hi"}"#);
    assert_eq!(
        row.get::<String, _>(1),
        r#"{"ttl_ms": null, "expires_at": null, "auth_scheme": ""}"#
    );
    assert_eq!(row.get::<String, _>(2), "received");
}

/// The original starts again on the database that we have used: its own statements still work.
#[tokio::test]
async fn the_original_can_go_on_writing() {
    let (_server, url, mut connection) = original().await;
    open(&url, &OpenOptions::default()).await.unwrap().close().await;
    sqlx::raw_sql(
        "INSERT INTO agent_accounts (account_id, username, display_name, capabilities, metadata, created_at, updated_at) \
         VALUES ('acct_later', 'later', 'LATER Ü', '[\"Late\"]', '{\"agent_id\": \"l\", \"metadata\": {}}', now(), now()); \
         INSERT INTO agent_threads (thread_id, created_at, updated_at) VALUES ('Thread_LATER', now(), now()); \
         INSERT INTO agent_messages (message_id, thread_id, to_agent, kind, sent_at, received_at) \
         VALUES ('later', 'Thread_LATER', 'x', 'direct', now(), now())",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let store = open(&url, &OpenOptions::default()).await.unwrap();
    let text = AccountQuery {
        text: "later ü".into(),
        capability: Some("late".into()),
        ..any_account()
    };
    assert_eq!(usernames(&*store, &text).await, ["later"]);
    let query = MessageQuery {
        thread_id: Some("Thread_LATER".into()),
        ..any_message()
    };
    assert_eq!(message_ids(&*store, &query).await, ["later"]);
}

/// Nothing is renamed or removed, and pages have an index in their order.
#[tokio::test]
async fn the_schema_is_only_added_to() {
    const SCHEMA: &str = "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable \
         FROM information_schema.columns WHERE table_schema = 'public' \
         UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1";
    let (_server, url, mut connection) = original().await;
    let before: Vec<String> = sqlx::query_scalar(SCHEMA).fetch_all(&mut connection).await.unwrap();
    open(&url, &OpenOptions::default()).await.unwrap().close().await;
    let after: Vec<String> = sqlx::query_scalar(SCHEMA).fetch_all(&mut connection).await.unwrap();
    for part in &before {
        assert!(after.contains(part), "{part}");
    }
    let added = |text: &str| after.iter().any(|part| part.contains(text));
    for index in [
        "thread_sent_msg_page",
        "from_account_page",
        "to_account_page",
        "kind_page",
        "sent_at_page",
    ] {
        assert!(added(&format!("idx_agent_messages_{index} ")), "{index}");
    }
}

#[tokio::test]
async fn accounts_above_a_bound_load_and_are_listed() {
    let (_server, url, mut connection) = original().await;
    let changes = [
        "UPDATE agent_accounts SET display_name = repeat('n', 257) WHERE username = 'alice'",
        "UPDATE agent_accounts SET capabilities = jsonb_build_array(repeat('c', 129)) WHERE username = 'bob'",
        "UPDATE agent_accounts SET capabilities = (SELECT jsonb_agg(n) FROM generate_series(1, 65) n) WHERE username = 'ab'",
    ];
    for change in changes {
        sqlx::query(change).execute(&mut connection).await.unwrap();
    }
    let store = open(&url, &OpenOptions::default()).await.unwrap();
    let listed = store.oversized_accounts(65536, 9).await.unwrap();
    let told: Vec<String> = listed
        .iter()
        .map(|one| format!("{} {}", one.username, one.exceeded))
        .collect();
    assert_eq!(
        told,
        [
            "ab capabilities has 65 entries; at most 64 are allowed",
            "alice name has 257 bytes; at most 256 are allowed",
            "bob capability has 129 bytes; at most 128 are allowed",
        ]
    );
    assert_eq!(
        store
            .account_by_username("alice")
            .await
            .unwrap()
            .unwrap()
            .display_name
            .len(),
        257
    );
    store.close().await;
}
