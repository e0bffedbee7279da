//! Registration, presence and discovery against a real nats-server.

use std::time::Duration;

use agentnet_registry::{CaptureMode, RegistryConfig};
use agentnet_testkit::{eventually, eventually_true};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Backend, DEADLINE, Network, TOKEN};

#[rstest]
#[tokio::test]
async fn an_agent_comes_and_goes(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    assert_eq!(
        (registry.server_id(), registry.capture_mode()),
        ("registry", CaptureMode::JetStream)
    );
    let line = registry.ready_line();
    assert!(
        line.starts_with("registry ready: server_id=registry nats=nats://***@127.0.0.1:"),
        "{line}"
    );
    assert!(
        line.ends_with(&format!(" store={} capture=jetstream", net.store_name())) && !line.contains(TOKEN),
        "{line}"
    );

    let alice = net.register("alice").await;
    assert!(alice["session_tag"].as_str().unwrap().starts_with("registry_"));
    assert_eq!(alice["reply_prefix"], "agentnet.reply");
    assert_eq!(
        (&alice["heartbeat_interval"], &alice["ttl_seconds"]),
        (&json!(12.0), &json!(40.0))
    );
    net.register("bob").await;
    assert_eq!(net.online().await, ["alice_agent", "bob_agent"]);

    let reply = net.ask("resolve_account", json!({"username": "@Alice!"})).await;
    assert_eq!(reply["account_id"], alice["account_id"]);
    let profile = net.ask("profile", json!({"username": "alice"})).await["profile"].clone();
    let session = &profile["online_sessions"][0];
    assert_eq!(session["connected_at"], alice["registered_at"]);
    assert_eq!(
        (&session["server_id"], &profile["online"]),
        (&json!("registry"), &json!(true))
    );

    // On one connection, what is published before a request is seen by it.
    for round in 0..20 {
        let hello = json!({"agent_id": "x", "name": format!("Round {round}"), "session_tag": alice["session_tag"]});
        net.client
            .publish("registry.hello", hello.to_string().into())
            .await
            .unwrap();
        let list = net.ask("list", json!({})).await;
        assert_eq!(list["agents"][0]["name"], format!("Round {round}"));
        assert_eq!(list["agents"][0]["agent_id"], "alice_agent");
    }
    net.client
        .publish(
            "registry.goodbye",
            json!({"session_tag": alice["session_tag"]}).to_string().into(),
        )
        .await
        .unwrap();
    assert_eq!(net.online().await, ["bob_agent"]);
    registry.shutdown().await;
    assert!(
        net.client.request("registry.list", "".into()).await.is_err(),
        "nobody answers after the stop"
    );
}

#[rstest]
#[tokio::test]
async fn a_restart_keeps_accounts_and_sessions(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    let alice = net.register("alice").await;
    net.register("bob").await;
    registry.shutdown().await;

    let registry = net.registry().await;
    assert_eq!(net.online().await, ["alice_agent", "bob_agent"]);
    let profile = net.ask("profile", json!({"username": "alice"})).await["profile"].clone();
    assert_eq!(profile["account_id"], alice["account_id"]);
    assert_eq!(profile["online_sessions"][0]["connected_at"], alice["registered_at"]);
    let found = net.ask("search", json!({"online_only": true})).await;
    assert_eq!(found["results"].as_array().unwrap().len(), 2);
    let again = net.register("alice").await;
    assert_eq!(again["account_id"], alice["account_id"]);

    // As a crash would: nothing is written any more.
    drop(registry);
    let _registry = net.registry().await;
    assert_eq!(net.online().await.len(), 3);
}

#[rstest]
#[tokio::test]
async fn a_crash_leaves_no_ghosts(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, false).await;
    let config = RegistryConfig {
        agent_ttl: Duration::from_secs(1),
        ..net.config()
    };
    let registry = net.registry_with(config.clone()).await;
    net.register("alice").await;
    drop(registry);
    let store = net.store().await;
    // The store still holds it as online, until its time to live is over and a registry starts.
    let ghosts = store.online_sessions().await.unwrap();
    assert_eq!(ghosts.len(), 1);
    eventually_true(DEADLINE, "its time to live is over", async || {
        let now = agentnet_protocol::Timestamp::from(std::time::SystemTime::now());
        now.micros_since(ghosts[0].last_seen) > 1_000_000
    })
    .await
    .unwrap();
    let _registry = net.registry_with(config).await;
    assert_eq!(net.online().await, Vec::<String>::new());
    // It might still say hello; when it had time to do so, the store is put right too.
    eventually_true(DEADLINE, "the ghost has ended", async || {
        store.online_sessions().await.unwrap().is_empty()
    })
    .await
    .unwrap();
}

#[rstest]
#[tokio::test]
async fn silent_sessions_go_offline_and_come_back(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, false).await;
    let config = RegistryConfig {
        agent_ttl: Duration::from_secs(3),
        gc_interval: Duration::from_millis(100),
        ..net.config()
    };
    let _registry = net.registry_with(config).await;
    let alice = net.register("alice").await;
    let store = net.store().await;
    let tag = alice["session_tag"].as_str().unwrap();
    eventually_true(DEADLINE, "alice is offline in the store", async || {
        !store.session(tag).await.unwrap().unwrap().online
    })
    .await
    .unwrap();
    assert_eq!(net.online().await, Vec::<String>::new());
    let offline = net.ask("search", json!({"query": "alice"})).await["results"][0].clone();
    assert_eq!(
        (&offline["online"], &offline["online_sessions"]),
        (&json!(false), &json!(0))
    );

    let hello =
        json!({"agent_id": "alice_agent", "session_tag": tag, "account_id": alice["account_id"], "username": "alice"});
    net.client
        .publish("registry.hello", hello.to_string().into())
        .await
        .unwrap();
    let profile = net.ask("profile", json!({"username": "alice"})).await["profile"].clone();
    assert_eq!(profile["online"], true);
    assert_eq!(
        profile["online_sessions"][0]["connected_at"], alice["registered_at"],
        "it is the same session"
    );
}

#[rstest]
#[tokio::test]
async fn accounts_follow_the_rules(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, false).await;
    let _registry = net.registry().await;
    for (request, error) in [
        (json!({"agent_id": "x", "account_id": "a.b"}), "account_id is invalid"),
        (json!({"agent_id": "x", "account_id": "*"}), "account_id is invalid"),
        (json!({"agent_id": "x", "account_id": " "}), "account_id is invalid"),
        (json!({"name": "x"}), "agent_id is required"),
        (json!([]), "register payload must be an object"),
    ] {
        assert_eq!(
            net.ask("register", request.clone()).await,
            json!({"error": error}),
            "{request}"
        );
    }
    // Two agents whose names cannot be used are two accounts.
    let (one, other) = (
        net.ask("register", json!({"agent_id": "日本"})).await,
        net.ask("register", json!({"agent_id": "韓国"})).await,
    );
    assert_ne!(one["account_id"], other["account_id"]);
    assert_ne!(one["username"], other["username"]);

    let joined = futures::future::join_all((0..20).map(|_| net.register("zed"))).await;
    assert!(
        joined
            .iter()
            .all(|reply| reply["account_id"] == joined[0]["account_id"]),
        "one name is one account"
    );
    assert_eq!(
        net.ask("profile", json!({"username": "zed"})).await["profile"]["online_sessions"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
}

/// A registration signed with the key of this seed.
fn signed(seed: u8, agent_id: &str, username: Option<&str>, nonce: &str) -> Value {
    let key = agentnet_protocol::signature::SigningKey::from_seed(&[seed; 32]);
    let now = std::time::SystemTime::now().into();
    let claims = agentnet_protocol::register_auth::claims(agent_id, "N", username, None, now, nonce);
    let auth: Value = serde_json::from_str(key.auth(&claims).get()).unwrap();
    json!({"agent_id": agent_id, "name": "N", "username": username, "auth": auth})
}

#[rstest]
#[tokio::test]
async fn signed_identity_is_checked_before_anything_changes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, false).await;
    let config = RegistryConfig {
        dev_auth: true,
        ..net.config()
    };
    let registry = net.registry_with(config.clone()).await;
    let reply = net
        .ask("register", json!({"agent_id": "x", "username": "xavier"}))
        .await;
    assert_eq!(reply, json!({"error": "auth_required"}));
    assert_eq!(
        net.ask("resolve_account", json!({"username": "xavier"})).await,
        json!({"error": "not_found"})
    );

    let alice = net.ask("register", signed(1, "a", Some("alice"), "n1")).await;
    assert_eq!(alice["username"], "alice", "{alice}");
    for (request, error) in [
        (signed(1, "a", Some("alice"), "n1"), "auth_nonce_replayed"),
        (signed(2, "evil", Some("alice"), "n2"), "auth_public_key_mismatch"),
    ] {
        assert_eq!(net.ask("register", request).await, json!({"error": error}));
    }
    let profile = net.ask("profile", json!({"username": "alice"})).await["profile"].clone();
    assert_eq!(
        (
            &profile["display_name"],
            profile["online_sessions"].as_array().unwrap().len()
        ),
        (&json!("N"), 1)
    );
    let nameless = net.ask("register", signed(3, "日本", None, "n3")).await;
    assert!(
        nameless["username"].as_str().unwrap().starts_with("agent_"),
        "{nameless}"
    );

    // A tag that was never issued has no session; an issued one keeps its account.
    let account_id = &alice["account_id"];
    let spoof =
        json!({"agent_id": "s", "session_tag": "registry_SPOOFED", "account_id": account_id, "username": "alice"});
    net.publish("registry.hello", spoof).await;
    let hello = json!({"agent_id": "a", "name": "M", "session_tag": alice["session_tag"], "account_id": "acct_other"});
    net.publish("registry.hello", hello).await;
    let list = net.ask("list", json!({})).await;
    let agents: Vec<_> = list["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (&a["name"], &a["account_id"]))
        .collect();
    assert_eq!(
        agents,
        [(&json!("M"), account_id), (&json!("N"), &nameless["account_id"])]
    );

    // Issued tags outlive the registry and a goodbye.
    net.publish("registry.goodbye", json!({"session_tag": alice["session_tag"]}))
        .await;
    assert_eq!(net.online().await, ["日本"]);
    registry.shutdown().await;
    let _registry = net.registry_with(config).await;
    net.publish(
        "registry.hello",
        json!({"agent_id": "a", "name": "M", "session_tag": alice["session_tag"]}),
    )
    .await;
    net.until_online(&["a", "日本"]).await;
    let key = net.ask("resolve_key", json!({"account_id": account_id})).await["public_key"].clone();
    assert_eq!(
        key,
        agentnet_protocol::signature::SigningKey::from_seed(&[1; 32]).public_text()
    );
}

#[rstest]
#[tokio::test]
async fn replicas_see_the_same(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let store = net.store().await;
    let mut replicas = Vec::new();
    for server_id in ["r1", "r2"] {
        let config = RegistryConfig {
            server_id: server_id.into(),
            ..net.config()
        };
        replicas.push(agentnet_registry::Registry::start(config, store.clone()).await.unwrap());
    }
    let mut issued = Vec::new();
    for number in 0..20 {
        issued.push(net.register(&format!("agent{number:02}")).await);
    }
    // Requests are spread over the registries, so each of them must know all sessions.
    eventually(DEADLINE, async || {
        let mut counts = Vec::new();
        for _ in 0..20 {
            counts.push(net.online().await.len());
        }
        if counts.iter().all(|count| *count == 20) {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await
    .unwrap();
    let mut servers = std::collections::BTreeSet::new();
    for _ in 0..40 {
        servers.insert(
            net.ask("metrics", json!({})).await["server_id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(servers.into_iter().collect::<Vec<_>>(), ["r1", "r2"]);

    net.publish("registry.goodbye", json!({"session_tag": issued[0]["session_tag"]}))
        .await;
    replicas.remove(0).shutdown().await;
    for _ in 0..5 {
        assert_eq!(net.online().await.len(), 19);
    }
}
