//! `agentnet-bench history`: pages and searches of a long history.

use std::time::{SystemTime, UNIX_EPOCH};

use agentnet_protocol::Timestamp;

use crate::Failure;
use crate::database::{Backend, Database};
use crate::measurement::{Measurement, Target};
use crate::network::{Network, Registry};
use crate::processes::WatchedProcesses;
use crate::rpc_caller::{Numbers, RpcCall, RpcCallers};
use crate::settings::Settings;

/// Messages per short thread.
const THREAD: u64 = 100;
const ACCOUNTS: u64 = 1_000;

/// A measured query.
struct Query {
    what: &'static str,
    rpc: &'static str,
    /// The request; `{n}` stands for a random number.
    request: String,
    /// What the reply must contain.
    expect: &'static str,
    /// The random numbers are below this one.
    numbers: u64,
    /// The target for p50, in milliseconds.
    p50: f64,
}

pub(crate) async fn run(settings: &Settings, rows: u64, backend: Backend) -> Result<Vec<Measurement>, Failure> {
    let database = Database::start(backend).await?;
    // Recent times: the registry deletes old threads while it runs.
    let since_1970 = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    let first = since_1970 - i64::try_from(rows)? * 1000 - 60_000_000;
    fill(&database, rows, first).await?;
    let network = Network::start(true).await?;
    let _registry = Registry::start_with(&network, &["--database-url", &database.url()]).await?;
    let mut callers = RpcCallers::start(&network, WatchedProcesses::default()).await?;
    let middle = Timestamp::from_micros(first + i64::try_from(rows / 2)? * 1000);
    let mut measurements = Vec::new();
    for query in queries(rows / THREAD, middle) {
        let call = RpcCall {
            rpc: query.rpc.to_owned(),
            request: query.request,
            expect: query.expect.to_owned(),
            numbers: Numbers::Random(query.numbers),
        };
        let calls = callers.run(&call, settings.run(1), settings.repeat.min(3)).await?;
        let name = format!("{} {rows} rows, {}", backend.name(), query.what);
        let [p50, p99] = calls.times("history", &name);
        measurements.push(p50.target(Target::AtMost(query.p50)));
        measurements.push(p99.target(Target::AtMost(5.0)));
    }
    callers.end().await?;
    Ok(measurements)
}

/// The queries for a history with so many short threads. `middle` is the time of the message in the middle.
fn queries(threads: u64, middle: Timestamp) -> Vec<Query> {
    let found = r#""message_id":""#;
    let none_found = r#""messages":[]"#;
    let query = |what, rpc, request: &str, expect, numbers| Query {
        what,
        rpc,
        request: request.to_owned(),
        expect,
        numbers,
        p50: 1.5,
    };
    let search = |what, request: &str, expect, numbers| query(what, "message_search", request, expect, numbers);
    let since = format!(r#"{{"from":"{middle}","kind":"request","limit":50}}"#);
    vec![
        query(
            "a thread's page",
            "thread_messages",
            r#"{"thread_id":"thread_{n}","limit":50}"#,
            found,
            threads,
        ),
        query(
            "the page of a long thread",
            "thread_messages",
            r#"{"thread_id":"thread_long","limit":50}"#,
            found,
            1,
        ),
        search("search: newest", r#"{"limit":50}"#, found, 1),
        search(
            "search: sender",
            r#"{"from_account_id":"acct_{n}","limit":50}"#,
            found,
            ACCOUNTS,
        ),
        search(
            "search: sender and receiver, no match",
            r#"{"from_account_id":"acct_{n}","to_account_id":"acct_{n}","limit":50}"#,
            none_found,
            ACCOUNTS,
        ),
        search("search: kind since a time", &since, found, 1),
        search(
            "search: thread and kind",
            r#"{"thread_id":"thread_{n}","kind":"request","limit":50}"#,
            found,
            threads,
        ),
        Query {
            p50: 3.0,
            ..search(
                "search: long thread and kind, no match",
                r#"{"thread_id":"thread_long","kind":"error","limit":50}"#,
                none_found,
                1,
            )
        },
        query(
            "threads: newest",
            "thread_list",
            r#"{"limit":50}"#,
            r#""thread_id":""#,
            1,
        ),
    ]
}

/// Fills the history: a tenth of the messages are in one long thread, the others in many short ones; one message in ten is a
/// request, and one in a thousand of those in short threads is an error.
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
