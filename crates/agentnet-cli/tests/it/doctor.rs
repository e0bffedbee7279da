//! `agentnet doctor` on networks that are well, and on some that are not.

mod registries;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentnet_protocol::Timestamp;
use agentnet_registry::{Registry, RegistryConfig};
use agentnet_testkit::{NatsServer, Postgres, RawClient, TestDatabase, eventually};
use async_nats::jetstream::{self, stream};
use futures::StreamExt;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Ran, Service, Up, WAIT_TIMEOUT, agentnet, binary, echo, line, run};

/// The verdict of a check, and what was seen.
fn found(report: &Value, check: &str) -> (String, String) {
    let checks = report["checks"].as_array().unwrap();
    let one = checks
        .iter()
        .find(|one| one["check"] == check)
        .unwrap_or_else(|| panic!("no {check} in {report}"));
    let text = |name: &str| one[name].as_str().unwrap().to_owned();
    (text("verdict"), text("seen"))
}

#[track_caller]
fn failed(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains(r#"{"code":"failed","#) && ran.stderr.contains(" failed"),
        "{ran:?}"
    );
    serde_json::from_str(&ran.stdout).unwrap()
}

#[tokio::test]
async fn a_network_that_is_well_passes() {
    let mut up = Up::start().await;
    let text = line(&up.url, "doctor").await.ok();
    let verdicts: Vec<_> = text
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(verdicts, [vec!["pass"; 12], vec!["12"]].concat(), "{text}");
    assert!(
        text.ends_with("12 passed, 0 warnings, 0 failed, 0 not checked\n"),
        "{text}"
    );
    assert!(!text.contains("agentnet_secret_token"), "{text}");
    let report = line(&up.url, "doctor --json").await.json();
    assert_eq!(report["healthy"], true);
    assert!(report["url"].as_str().unwrap().starts_with("nats://***@"), "{report}");
    assert_eq!(
        found(&report, "store"),
        ("pass".into(), format!("the {} store works", TestDatabase::kind()))
    );
    up.stop().await;
}

#[tokio::test]
async fn what_is_missing_is_named_and_the_rest_is_not_guessed() {
    // No server listens.
    let report = failed(&line("nats://token@127.0.0.1:1", "doctor --json").await);
    assert_eq!(found(&report, "connection").0, "fail");
    let verdicts: Vec<_> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| &check["verdict"])
        .collect();
    assert_eq!(verdicts, [vec!["fail"], vec!["skip"; 11]].concat());
    for check in ["token", "sessions"] {
        assert_eq!(
            found(&report, check),
            ("skip".into(), "not checked: there is no connection".into())
        );
    }
    let text = line("nats://token@127.0.0.1:1", "doctor").await;
    assert!(
        text.stdout
            .ends_with("0 passed, 0 warnings, 1 failed, 11 not checked\n"),
        "{text:?}"
    );

    // Another token.
    let nats = NatsServer::builder()
        .token("right")
        .jetstream(true)
        .start()
        .await
        .unwrap();
    let wrong = nats.url().replace("right", "wrong");
    let report = failed(&line(&wrong, "doctor --json").await);
    assert_eq!(
        (found(&report, "connection").0, found(&report, "token").0),
        ("pass".into(), "fail".into())
    );
    assert_eq!(found(&report, "lag").0, "skip");

    // No registry.
    let report = failed(&line(&nats.url(), "doctor --json").await);
    assert_eq!(found(&report, "token").0, "pass");
    assert_eq!(found(&report, "server").0, "pass");
    let (verdict, seen) = found(&report, "jetstream");
    assert!(verdict == "warn" && seen.contains("AGENTNET_HISTORY is not"), "{seen}");
    let (verdict, seen) = found(&report, "registry");
    assert!(
        verdict == "fail" && seen.starts_with("No registry answers registry.metrics"),
        "{seen}"
    );
    assert_eq!(found(&report, "sessions").0, "skip");
    let text = line(&nats.url(), "doctor").await;
    assert!(text.stdout.contains("→ start"), "advice stands below: {text:?}");

    // A stream that answers requests.
    let context = jetstream::new(RawClient::connect(&nats.url()).await.unwrap());
    let config = stream::Config {
        name: "AGENTNET_HISTORY".into(),
        subjects: vec!["account.*.inbox".into()],
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    let report = failed(&line(&nats.url(), "doctor --json").await);
    assert_eq!(found(&report, "jetstream").0, "fail");

    // No JetStream.
    let bare = NatsServer::builder().start().await.unwrap();
    let report = failed(&line(&bare.url(), "doctor --json").await);
    let (verdict, seen) = found(&report, "jetstream");
    assert!(
        verdict == "warn" && seen.starts_with("JetStream does not answer"),
        "{seen}"
    );
    agentnet("http://x", ["doctor"])
        .await
        .fails(2, &["scheme `http` is not supported"]);
}

/// Runs it until a check has this verdict; the whole report.
async fn until_found(url: &str, check: &str, verdict: &str) -> Value {
    let look = async || {
        let ran = line(url, "doctor --json").await;
        match serde_json::from_str::<Value>(&ran.stdout) {
            Ok(report) if found(&report, check).0 == verdict => {
                assert_eq!(ran.code, Some(i32::from(report["healthy"] == false)), "{ran:?}");
                Ok(report)
            }
            _ => Err(format!("{check} is not {verdict}: {ran:?}")),
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap()
}

/// `agentnet registry` there.
async fn registry(nats: &NatsServer, database: &str, options: &str) -> Service {
    let mut command = binary();
    command
        .args(["--nats-url", &nats.url(), "registry", "--database-url", database])
        .args(options.split_whitespace());
    let mut service = Service::spawn(command);
    assert!(service.next_line().await.starts_with("registry ready:"));
    service
}

/// The registry runs on without its database; messages wait in the stream meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_and_what_waits_for_it_are_told() {
    const MESSAGES: usize = 1_200;
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let mut postgres = Postgres::launch().await.unwrap_or_else(|error| panic!("{error}"));
    let _registry = registry(&nats, &postgres.url(), "").await;
    let report = line(&nats.url(), "doctor --json").await.json();
    assert_eq!(
        found(&report, "store"),
        ("pass".into(), "the postgres store works".into())
    );
    assert_eq!(found(&report, "lag").0, "pass");

    postgres.stop().await;
    let client = RawClient::connect(&nats.url()).await.unwrap();
    for number in 0..MESSAGES {
        let body = format!(r#"{{"message_id":"m{number}","from_agent":"a","to_agent":"b","payload":1}}"#);
        client.publish("account.acct_b.inbox", body.into()).await.unwrap();
    }
    client.flush().await.unwrap();
    until_found(&nats.url(), "lag", "warn").await;
    // It is looked at once a second, and JetStream takes a moment to have them all.
    let all = async || {
        let report = line(&nats.url(), "doctor --json").await;
        let report: Value = serde_json::from_str(&report.stdout).map_err(|error| error.to_string())?;
        match found(&report, "lag") {
            (verdict, seen) if verdict == "warn" && seen.starts_with(&format!("{MESSAGES} messages wait")) => {
                Ok(report)
            }
            other => Err(format!("{other:?}")),
        }
    };
    let report = eventually(WAIT_TIMEOUT, all).await.unwrap();
    let (verdict, seen) = found(&report, "store");
    assert!(
        verdict == "fail" && seen.starts_with("the postgres store does not work: "),
        "{seen}"
    );
    assert_eq!(found(&report, "registry").0, "pass");
    failed(&line(&nats.url(), "doctor --json").await);

    postgres.start().await.unwrap_or_else(|error| panic!("{error}"));
    let report = until_found(&nats.url(), "lag", "pass").await;
    assert_eq!(found(&report, "store").0, "pass");
}

/// As after a failover: everything can be read, so that only what is stored tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_only_reads_is_told() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let postgres = Postgres::launch().await.unwrap_or_else(|error| panic!("{error}"));
    let database = postgres.create_database("agentnet").await.unwrap();
    let _registry = registry(&nats, &database, "").await;
    let restart = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'agentnet'";
    for statement in [
        "ALTER DATABASE agentnet SET default_transaction_read_only = on",
        restart,
    ] {
        postgres.execute(statement).await.unwrap();
    }
    // The connections that ended tell so first.
    let read_only = async || {
        let report = until_found(&nats.url(), "store", "fail").await;
        let (_, seen) = found(&report, "store");
        if seen.contains("read-only") { Ok(()) } else { Err(seen) }
    };
    eventually(WAIT_TIMEOUT, read_only).await.unwrap();
    line(&nats.url(), "registry --health").await.fails(1, &["read-only"]);

    for statement in ["ALTER DATABASE agentnet RESET default_transaction_read_only", restart] {
        postgres.execute(statement).await.unwrap();
    }
    until_found(&nats.url(), "store", "pass").await;
    line(&nats.url(), "registry --health").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_file_is_told() {
    let nats = NatsServer::builder().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("agentnet.db").display());
    let store = agentnet_store::open(&url, &agentnet_store::OpenOptions::default())
        .await
        .unwrap();
    let config = RegistryConfig {
        nats_url: nats.url(),
        ..RegistryConfig::default()
    };
    let _registry = Registry::start(config, Arc::clone(&store)).await.unwrap();
    store.close().await;
    let report = failed(&line(&nats.url(), "doctor --json").await);
    let (verdict, seen) = found(&report, "store");
    assert!(
        verdict == "fail" && seen.starts_with("the sqlite store does not work: "),
        "{seen}"
    );
}

/// An agent that is killed sends no goodbye.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_have_gone_silent_are_named() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let database = TestDatabase::start().await.unwrap();
    let patient = "--agent-ttl-seconds 3600";
    let mut first = registry(&nats, &database.url(), patient).await;
    let mut agent = echo(&nats.url(), "--username parrot").await;
    let _other = echo(&nats.url(), "--username crow").await;
    let report = until_found(&nats.url(), "sessions", "pass").await;
    assert_eq!(found(&report, "sessions").1, "2 online, all seen within 30 s");
    agent.signal(Signal::KILL);
    agent.ended().await;
    first.signal(Signal::TERM);
    assert_eq!(first.ended().await.code(), Some(0), "{}", first.stderr());

    // Instead of waiting: its last hello is a minute old.
    let store = agentnet_store::open(&database.url(), &agentnet_store::OpenOptions::default())
        .await
        .unwrap();
    let mut sessions = store.online_sessions().await.unwrap();
    sessions.retain(|session| session.username.as_deref() == Some("parrot"));
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    for session in &mut sessions {
        session.last_seen = Timestamp::from(SystemTime::now() - Duration::from_secs(60));
    }
    store.upsert_sessions(&sessions).await.unwrap();
    store.close().await;
    let _second = registry(&nats, &database.url(), patient).await;
    let report = until_found(&nats.url(), "sessions", "warn").await;
    assert_eq!(
        found(&report, "sessions").1,
        "1 of 2 sessions are silent for more than 30 s: @parrot"
    );
    assert_eq!(report["healthy"], true, "a warning is no failure");
}

/// An earlier version, or another setting, allowed more.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_above_a_bound_are_named() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let database = TestDatabase::start().await.unwrap();
    let mut first = registry(&nats, &database.url(), "").await;
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let metadata = json!({"blob": "x".repeat(1000)});
    let agent = json!({"agent_id": "a", "username": "alice", "metadata": metadata}).to_string();
    let ask = async || {
        let reply = client.request("registry.register", agent.clone().into()).await.unwrap();
        serde_json::from_slice::<Value>(&reply.payload).unwrap()
    };
    assert_eq!(ask().await["username"], "alice");
    first.signal(Signal::TERM);
    assert_eq!(first.ended().await.code(), Some(0), "{}", first.stderr());

    let _second = registry(&nats, &database.url(), "--max-metadata-bytes 100").await;
    let report = until_found(&nats.url(), "store", "warn").await;
    let (_, seen) = found(&report, "store");
    let problem = "metadata has 1011 bytes; at most 100 are allowed";
    assert!(seen.ends_with(&format!("@alice ({problem})")), "{seen}");
    assert_eq!(ask().await, json!({"error": problem}));
}
