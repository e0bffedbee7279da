//! What registries say of themselves and of each other: names, databases, clocks, health, signing.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_registries_of_one_name_and_a_paused_consumer_are_told() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let _first = registry(&nats, "sqlite::memory:", "--server-id twin").await;
    line(&nats.url(), "doctor").await.ok();
    line(&nats.url(), "registry --health --server-id twin").await.ok();
    let _second = registry(&nats, "sqlite::memory:", "--server-id twin").await;
    let told = async || {
        let told = line(&nats.url(), "registry --health --server-id twin").await;
        match told.code == Some(1) && told.stderr.contains("another registry has the server id twin too") {
            true => Ok(()),
            false => Err(format!("{told:?}")),
        }
    };
    eventually(WAIT_TIMEOUT, told).await.unwrap();
    let context = jetstream::new(RawClient::connect(&nats.url()).await.unwrap());
    let stream = context.get_stream("AGENTNET_HISTORY").await.unwrap();
    let until = SystemTime::now() + Duration::from_secs(3600);
    stream.pause_consumer("agentnet-registry", until.into()).await.unwrap();
    let report = until_found(&nats.url(), "registry", "fail").await;
    let (_, seen) = found(&report, "registry");
    assert!(seen.contains("2 registries have the server id twin"), "{seen}");
    let (verdict, seen) = found(&report, "jetstream");
    assert!(verdict == "fail" && seen.contains("paused"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_registries_on_two_databases_are_told() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let databases = (
        TestDatabase::start().await.unwrap(),
        TestDatabase::start().await.unwrap(),
    );
    let _one = registry(&nats, &databases.0.url(), "--server-id one").await;
    let mut twin = registry(&nats, &databases.0.url(), "--server-id twin").await;
    let report = until_found(&nats.url(), "store", "pass").await;
    assert_eq!(report["healthy"], true, "replicas share one: {report}");
    twin.signal(Signal::TERM);
    assert_eq!(twin.ended().await.code(), Some(0), "{}", twin.stderr());

    let _two = registry(&nats, &databases.1.url(), "--server-id two").await;
    let report = until_found(&nats.url(), "store", "fail").await;
    let (_, seen) = found(&report, "store");
    assert!(
        seen.contains("one") && seen.contains("two") && seen.contains("different databases"),
        "{seen}"
    );
    let advice = report["checks"].as_array().unwrap().iter().find_map(|check| {
        let advice = check["advice"].as_str()?;
        (check["check"] == "store").then_some(advice)
    });
    assert!(advice.is_some_and(|advice| advice.contains("DATABASE_URL")), "{report}");
    eventually(WAIT_TIMEOUT, async || {
        let told = line(&nats.url(), "registry --health --server-id one").await;
        if told.code == Some(1) && told.stderr.contains("one and two use different databases") {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    })
    .await
    .unwrap();
}

/// A registry whose clock is this much ahead, as far as `doctor` asks it.
async fn registry_ahead(nats: &NatsServer, seconds: i64) -> tokio::task::JoinHandle<()> {
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let mut questions = client.subscribe("registry.*").await.unwrap();
    client.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let now = Timestamp::from(SystemTime::now());
            let theirs = Timestamp::from_micros(now.micros_since(Timestamp::from_micros(0)) + seconds * 1_000_000);
            let answer = match question.subject.as_str() {
                "registry.metrics" => {
                    json!({ "server_id": "other", "latency_ms": {}, "handlers": {}, "generated_at": theirs.to_string() })
                }
                _ => json!({ "agents": [], "generated_at": theirs.to_string() }),
            };
            let reply = question.reply.unwrap();
            client.publish(reply, answer.to_string().into()).await.unwrap();
        }
    })
}

#[tokio::test]
async fn clocks_that_differ_are_told() {
    for (seconds, verdict, way) in [(0, "pass", "agree"), (-60, "warn", "behind"), (600, "fail", "ahead")] {
        let nats = NatsServer::builder().start().await.unwrap();
        let registry = registry_ahead(&nats, seconds).await;
        let ran = line(&nats.url(), "doctor --json").await;
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let (judged, seen) = found(&report, "clock");
        assert!(judged == verdict && seen.contains(way), "{seconds}: {judged} {seen}");
        assert_eq!(ran.code, Some(i32::from(verdict == "fail")), "{ran:?}");
        registry.abort();
    }
}

/// A registry with this health reply, which answers the requests of `doctor`.
async fn registry_that_says(nats: &NatsServer, health: Value) -> tokio::task::JoinHandle<()> {
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let questions = client.subscribe("registry.*").await.unwrap();
    let healths = client.subscribe("agentnet.registry.health.other").await.unwrap();
    client.flush().await.unwrap();
    let mut questions = futures::stream::select(questions, healths);
    tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let now = Timestamp::from(SystemTime::now()).to_string();
            let answer = match question.subject.as_str() {
                "registry.metrics" => {
                    json!({ "server_id": "other", "latency_ms": {}, "handlers": {}, "generated_at": now,
                                              "store_backend": "sqlite", "version": "0.1.0",
                                              "capture": { "mode": "core" } })
                }
                "registry.list" => json!({ "agents": [], "generated_at": now }),
                _ => health.clone(),
            };
            let reply = question.reply.unwrap();
            client.publish(reply, answer.to_string().into()).await.unwrap();
        }
    })
}

/// Members of the health reply, and their checks and verdicts. Members that an older version does not send are passes.
#[tokio::test]
async fn what_a_registry_says_of_its_health_is_told() {
    const GIB: u64 = 1 << 30;
    let store =
        |free: u64| json!({ "backend": "sqlite", "problem": null, "free_bytes": free, "total_bytes": 100 * GIB });
    for (member, value, check, verdict, part) in [
        ("nothing", json!(null), "store", "pass", "works"),
        (
            "capture",
            json!({ "mode": "core", "waiting": 0, "dropped": 0 }),
            "lag",
            "pass",
            "wait",
        ),
        (
            "capture",
            json!({ "mode": "core", "waiting": 0, "dropped": 3 }),
            "lag",
            "warn",
            "missing in the history",
        ),
        (
            "capture",
            json!({ "mode": "jetstream", "waiting": 0, "dropped": 3 }),
            "lag",
            "warn",
            "heartbeats or calls",
        ),
        ("store", store(GIB), "store", "pass", "works"),
        (
            "store",
            store(GIB - 1),
            "store",
            "warn",
            "1023 MiB of 102400 MiB are free",
        ),
    ] {
        let nats = NatsServer::builder().start().await.unwrap();
        let mut health = json!({ "server_id": "other", "healthy": true, "store": { "backend": "sqlite", "problem": null },
                                 "capture": { "mode": "core", "waiting": 0 } });
        health[member] = value.clone();
        let registry = registry_that_says(&nats, health).await;
        let ran = line(&nats.url(), "doctor --json").await;
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let (judged, seen) = found(&report, check);
        assert!(
            judged == verdict && seen.contains(part),
            "{member} {value}: {judged} {seen}"
        );
        registry.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_signs_otherwise_than_this_environment_is_told() {
    for (option, theirs) in [("--dev-auth true", true), ("", false)] {
        let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = match theirs {
            true => format!("{option} --dev-auth-key-dir {}", folder.path().display()),
            false => option.to_owned(),
        };
        let _registry = registry(&nats, "sqlite::memory:", &options).await;
        for (ours, verdict, part) in [
            (
                Some("true"),
                if theirs { "pass" } else { "warn" },
                "this environment signs",
            ),
            (
                Some("false"),
                if theirs { "warn" } else { "pass" },
                "refused with auth_required",
            ),
            (None, if theirs { "warn" } else { "pass" }, "refused with auth_required"),
        ] {
            let mut command = binary();
            command.args(["--nats-url", &nats.url(), "doctor", "--json"]);
            command
                .env_remove("DEV_AUTH")
                .envs(ours.map(|value| ("DEV_AUTH", value)));
            let ran = run(command).await;
            let report: Value = serde_json::from_str(&ran.stdout).unwrap();
            let (judged, seen) = found(&report, "registry");
            assert!(judged == verdict, "{theirs} {ours:?}: {judged} {seen}");
            assert_eq!(seen.contains(part), verdict == "warn", "{theirs} {ours:?}: {seen}");
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
    }
    let mut command = binary();
    command.args(["doctor"]).env("DEV_AUTH", "maybe");
    run(command).await.fails(2, &["DEV_AUTH", "neither true nor false"]);
}
