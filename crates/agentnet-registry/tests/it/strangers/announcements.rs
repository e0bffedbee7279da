//! Announcements of registries, genuine and forged.

use super::*;

/// Says hello until the store has the name of this session's agent.
async fn renamed_in_store(net: &Network, session: &Value, name: &str) {
    let tag = session["session_tag"].as_str().unwrap();
    let store = net.store().await;
    eventually(DEADLINE, async || {
        let hello = json!({"agent_id": "alice_agent", "name": name, "session_tag": tag,
                           "account_id": session["account_id"], "username": "alice"});
        net.publish("registry.hello", hello).await;
        match store.session(tag).await.unwrap() {
            Some(stored) if stored.name == name => Ok(()),
            stored => Err(format!("{stored:?}")),
        }
    })
    .await
    .unwrap();
    store.close().await;
}

#[tokio::test]
async fn invented_registries_keep_nothing_from_the_store() {
    let net = Network::new(true).await;
    let registry = net.registry().await;
    let session = net.register("alice").await;
    let forge = async || {
        for number in 1..=300_u64 {
            let beat = json!({"registry": "evil", "number": format!("{:016x}", number << 40), "beat": 1,
                              "mac": "0".repeat(32)});
            net.publish("agentnet.registry.announce", beat).await;
        }
    };
    forge().await;
    eventually_true(DEADLINE, "they are seen", async || {
        forge().await;
        !health_of(&net, "registry").await.registries.is_empty()
    })
    .await
    .unwrap();
    let seen = health_of(&net, "registry").await.registries;
    assert!(seen.len() <= 16 && seen.iter().all(|peer| !peer.verified), "{seen:?}");
    for round in 0..5 {
        forge().await;
        renamed_in_store(&net, &session, &format!("Alice {round}")).await;
    }
    registry.shutdown().await;
}

/// What this counter of the registry's metrics page says.
async fn counted(registry: &RegistryHandle, name: &str) -> u64 {
    let text = metrics_page(registry).await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_forged_announcements_keeps_no_request_waiting(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    const DROPPED: &str = "agentnet_registry_announcements_dropped_total";
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        metrics_addr: Some("127.0.0.1:0".parse().unwrap()),
        ..named(&net, "one")
    };
    let one = net.registry_with(config).await;
    assert_eq!(counted(&one, DROPPED).await, 0);
    let mac = "0".repeat(32);
    let forge = async |round: u64| {
        for number in 0..1000 {
            let number = format!("{:016x}", (round << 32) + number);
            let forged = match round % 3 {
                0 => json!({"registry": "evil", "number": number, "beat": 1, "mac": mac}),
                1 => json!({"session_tag": number, "number": number, "mac": mac}),
                _ => json!({"nonce": number, "number": number, "mac": mac}),
            };
            net.client
                .publish("agentnet.registry.announce", forged.to_string().into())
                .await
                .unwrap();
        }
    };
    for round in 0..20 {
        forge(round).await;
        let reply = net.ask("list", json!({})).await;
        assert_eq!(reply["agents"], json!([]), "{reply}");
        let reply = net.ask("resolve_account", json!({"username": "nobody"})).await;
        assert_eq!(reply, json!({"error": "not_found"}));
    }
    let dropped = counted(&one, DROPPED).await;
    assert!(dropped > 0, "{dropped}");
    let too_long = json!({"session_tag": "s", "padding": "x".repeat(5000)});
    net.publish("agentnet.registry.announce", too_long).await;
    eventually_true(DEADLINE, "it is not read", async || {
        counted(&one, DROPPED).await > dropped
    })
    .await
    .unwrap();

    // While it goes on, one that shares the database is heard, and so is what it tells.
    let two = net.registry_with(named(&net, "two")).await;
    eventually(DEADLINE, async || {
        forge(0).await;
        let registries = health_of(&net, "one").await.registries;
        match registries.iter().any(|peer| peer.server_id == "two" && peer.verified) {
            true => Ok(()),
            false => Err(format!("{registries:?}")),
        }
    })
    .await
    .unwrap();
    two.shutdown().await;
    one.shutdown().await;
}

#[rstest]
#[tokio::test]
async fn registries_on_one_database_know_each_other(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let one = net.registry_with(named(&net, "one")).await;
    let two = net.registry_with(named(&net, "two")).await;
    let twin = net.registry_with(named(&net, "two")).await;
    let health = eventually(DEADLINE, async || {
        let health = health_of(&net, "one").await;
        let known = health.registries.iter().filter(|peer| peer.verified).count();
        if known == 2 {
            Ok(health)
        } else {
            Err(format!("{health:?}"))
        }
    })
    .await
    .unwrap();
    assert!(health.registries.iter().all(|peer| peer.server_id == "two"));
    assert_eq!(health.same_server_id().count() + health.other_databases().count(), 0);
    assert_eq!(health.database.as_deref().map(str::len), Some(32));
    eventually_true(DEADLINE, "a server id of two registries is reported", async || {
        let health = health_of(&net, "two").await;
        health.same_server_id().count() == 1 && health.same_server_id().all(|peer| peer.verified)
    })
    .await
    .unwrap();
    // Who stops is gone, from the database too.
    twin.shutdown().await;
    two.shutdown().await;
    eventually_true(DEADLINE, "the first is alone", async || {
        health_of(&net, "one").await.registries.is_empty()
    })
    .await
    .unwrap();
    let store = net.store().await;
    let rows = store
        .registries(agentnet_protocol::Timestamp::from_micros(0))
        .await
        .unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    store.close().await;
    one.shutdown().await;
}

#[tokio::test]
async fn another_database_on_the_same_network_is_told() {
    let net = Network::new(true).await;
    let one = net.registry_with(named(&net, "one")).await;
    let two = agentnet_registry::Registry::start_with_store_url(named(&net, "two"))
        .await
        .unwrap();
    for (own, other) in [("one", "two"), ("two", "one")] {
        eventually(DEADLINE, async || {
            let health = health_of(&net, own).await;
            let others: Vec<_> = health.other_databases().map(|peer| peer.server_id.clone()).collect();
            if others == [other] {
                Ok(())
            } else {
                Err(format!("{health:?}"))
            }
        })
        .await
        .unwrap();
    }
    two.shutdown().await;
    one.shutdown().await;
}
