//! `agentnet-bench history`: pages and searches of a long history.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::Failure;
use crate::caller::{Call, Callers, Numbers};
use crate::cli::Settings;
use crate::database::{Backend, Database};
use crate::figure::{Figure, Target};
use crate::network::{Network, Registry};
use crate::processes::Watched;

/// Messages of one of the many threads.
const THREAD: u64 = 100;
const ACCOUNTS: u64 = 1_000;

pub(crate) async fn run(settings: &Settings, rows: u64, backend: Backend) -> Result<Vec<Figure>, Failure> {
    let database = Database::start(backend).await?;
    // Not long ago: old threads are removed while the registry runs.
    let since_1970 = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    let first = since_1970 - i64::try_from(rows)? * 1000 - 60_000_000;
    fill(&database, rows, first).await?;
    let network = Network::start(true).await?;
    let _registry = Registry::start_with(&network, &["--database-url", &database.url()]).await?;
    let mut callers = Callers::start(&network, Watched::default()).await?;
    let threads = rows / THREAD;
    let middle = agentnet_protocol::Timestamp::from_micros(first + i64::try_from(rows / 2)? * 1000).to_string();
    let some = r#""message_id":""#;
    let within = format!(r#"{{"from":"{middle}","kind":"request","limit":50}}"#);
    let mut figures = Vec::new();
    for (what, rpc, request, expect, numbers, limit) in [
        (
            "a thread's page",
            "thread_messages",
            r#"{"thread_id":"thread_{n}","limit":50}"#,
            some,
            threads,
            1.5,
        ),
        (
            "the page of a long thread",
            "thread_messages",
            r#"{"thread_id":"thread_long","limit":50}"#,
            some,
            1,
            1.5,
        ),
        ("search: newest", "message_search", r#"{"limit":50}"#, some, 1, 1.5),
        (
            "search: sender",
            "message_search",
            r#"{"from_account_id":"acct_{n}","limit":50}"#,
            some,
            ACCOUNTS,
            1.5,
        ),
        (
            "search: sender and receiver, no match",
            "message_search",
            r#"{"from_account_id":"acct_{n}","to_account_id":"acct_{n}","limit":50}"#,
            r#""messages":[]"#,
            ACCOUNTS,
            1.5,
        ),
        ("search: kind since a time", "message_search", &within, some, 1, 1.5),
        (
            "search: thread and kind",
            "message_search",
            r#"{"thread_id":"thread_{n}","kind":"request","limit":50}"#,
            some,
            threads,
            1.5,
        ),
        (
            "search: long thread and kind, no match",
            "message_search",
            r#"{"thread_id":"thread_long","kind":"error","limit":50}"#,
            r#""messages":[]"#,
            1,
            3.0,
        ),
        (
            "threads: newest",
            "thread_list",
            r#"{"limit":50}"#,
            r#""thread_id":""#,
            1,
            1.5,
        ),
    ] {
        let call = Call {
            rpc: rpc.to_owned(),
            request: request.to_owned(),
            expect: expect.to_owned(),
            numbers: Numbers::Random(numbers),
        };
        let calls = callers.run(&call, settings.run(1), settings.repeat.min(3)).await?;
        let [p50, p99] = calls.times("history", &format!("{} {rows} rows, {what}", backend.name()));
        figures.push(p50.target(Target::AtMost(limit)));
        figures.push(p99.target(Target::AtMost(5.0)));
    }
    callers.end().await?;
    Ok(figures)
}

/// A tenth of the messages are of one long thread, the others of many; one in ten is a request, one in a thousand of the
/// many an error.
pub(crate) async fn fill(database: &Database, rows: u64, first: i64) -> Result<(), Failure> {
    let (threads, last) = (rows / THREAD, rows - 1);
    let columns = "message_id, thread_id, from_agent, from_account_id, from_session_tag, to_account_id, to_agent, kind, \
                   schema_version, idempotency_key, payload, trace_id, sent_at, received_at";
    let postgres = format!(
        "INSERT INTO agent_messages ({columns}, metadata) SELECT id, thread, 'sender', sender, 'registry_S', receiver, \
         receiver, kind, '1.1', id, jsonb_build_object('text', 'message number ' || n), id, sent_at, sent_at, \
         '{{\"ttl_ms\": 30000, \"expires_at\": null, \"auth_scheme\": \"\"}}' FROM (SELECT n, md5(n::text) AS id, \
         CASE WHEN n % 10 = 0 THEN 'thread_long' ELSE 'thread_' || n / 10 % {threads} END AS thread, \
         'acct_' || n * 7 % {ACCOUNTS} AS sender, 'acct_' || (n * 7 + 1) % {ACCOUNTS} AS receiver, \
         CASE WHEN n % 10 = 3 THEN 'request' WHEN n % 1000 = 1 THEN 'error' ELSE 'direct' END AS kind, \
         to_timestamp({first} / 1e6) + n * interval '1 millisecond' AS sent_at \
         FROM generate_series(0::bigint, {last}) AS n) AS made"
    );
    let sqlite = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}), \
         made AS (SELECT n, printf('%08x%016x', n * 2654435761 % 4294967296, n) AS id, \
         CASE WHEN n % 10 = 0 THEN 'thread_long' ELSE 'thread_' || n / 10 % {threads} END AS thread, \
         'acct_' || n * 7 % {ACCOUNTS} AS sender, 'acct_' || (n * 7 + 1) % {ACCOUNTS} AS receiver, \
         CASE WHEN n % 10 = 3 THEN 'request' WHEN n % 1000 = 1 THEN 'error' ELSE 'direct' END AS kind, \
         {first} + n * 1000 AS sent_at FROM numbers) \
         INSERT INTO agent_messages ({columns}, ttl_ms) SELECT id, thread, 'sender', sender, 'registry_S', receiver, \
         receiver, kind, '1.1', id, '{{\"text\":\"message number ' || n || '\"}}', id, sent_at, sent_at, '30000' FROM made"
    );
    database.fill("agent_messages", &postgres, &sqlite).await?;
    let threads = "SELECT thread_id, thread_id, min(sent_at), max(sent_at), count(*), 40 * count(*), 10 * count(*), \
                   max(sent_at) FROM agent_messages GROUP BY thread_id";
    let into = "INSERT INTO agent_threads (thread_id, thread_id_search, created_at, updated_at, message_count, byte_count, \
                approx_tokens, last_message_at)";
    database
        .execute(
            &format!("{into} {threads}; ANALYZE agent_threads"),
            &format!("{into} {threads}; PRAGMA wal_checkpoint(TRUNCATE)"),
        )
        .await?;
    let found = database.number("SELECT count(*) FROM agent_messages").await?;
    match found == rows {
        true => Ok(()),
        false => Err(format!("{found} of {rows} messages are there").into()),
    }
}
