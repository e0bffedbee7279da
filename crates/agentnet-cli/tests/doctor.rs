//! `agentnet doctor` on networks that are well, and on some that are not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use agentnet_testkit::{NatsServer, RawClient, TestDatabase};
use async_nats::jetstream::{self, stream};
use harness::{Ran, Up, agentnet, line};
use serde_json::Value;

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
        ran.stderr.contains("error: ") && ran.stderr.contains("failed"),
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
    assert_eq!(verdicts, [vec!["pass"; 10], vec!["10"]].concat(), "{text}");
    assert!(
        text.ends_with("10 passed, 0 warnings, 0 failed, 0 not checked\n"),
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
    // Nobody there.
    let report = failed(&line("nats://token@127.0.0.1:1", "doctor --json").await);
    assert_eq!(found(&report, "connection").0, "fail");
    assert_eq!(
        found(&report, "registry"),
        ("skip".into(), "not checked: there is no connection".into())
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
