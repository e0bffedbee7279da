//! A database that is down: at start, and in the middle.

use std::sync::Arc;
use std::time::Duration;

use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_testkit::{eventually, eventually_true};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::observed::{Line, Observed};
use crate::support::{Backend, DEADLINE, Network, message};

const NEED_THE_DATABASE: [(&str, &str); 9] = [
    ("register", "failed resolving account identity"),
    ("resolve_account", "resolve_failed"),
    ("resolve_key", "resolve_failed"),
    ("search", "search_failed"),
    ("profile", "profile_failed"),
    ("thread_status", "thread_status_failed"),
    ("thread_list", "thread_list_failed"),
    ("thread_messages", "thread_messages_failed"),
    ("message_search", "message_search_failed"),
];

/// Settings for agents that never say hello and stay online for longer than a test takes.
fn retrying(net: &Network) -> RegistryConfig {
    RegistryConfig {
        agent_ttl: Duration::from_secs(3600),
        ..net.config()
    }
}

async fn start(net: &Network, line: Line) -> (RegistryHandle, Arc<Observed>) {
    let store = Observed::new(net.store().await, line);
    let registry = Registry::start(retrying(net), store.clone());
    let registry = tokio::time::timeout(DEADLINE, registry).await.unwrap().unwrap();
    (registry, store)
}

fn anything() -> Value {
    json!({"agent_id": "z", "username": "x", "account_id": "y", "thread_id": "t"})
}

/// Presence is there, everything else says that it is not; many requests at once do not wait for each other.
async fn only_presence_is_served(net: &Network) {
    eventually(DEADLINE, async || {
        match net.ask("resolve_account", anything()).await["error"].as_str() {
            Some("resolve_failed") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    let replies = futures::future::join_all((0..300).map(|number| async move {
        let (rpc, error) = NEED_THE_DATABASE[number % NEED_THE_DATABASE.len()];
        (rpc, error, net.ask(rpc, anything()).await)
    }))
    .await;
    for (rpc, error, reply) in replies {
        assert_eq!(reply, json!({"error": error}), "{rpc}");
    }
    assert_eq!(net.ask("metrics", json!({})).await["store_enabled"], true);

    let hello = json!({"agent_id": "new", "session_tag": "r_1", "account_id": "acct_new", "username": "new"});
    net.publish("registry.hello", hello).await;
    let agents = net.online().await;
    assert!(agents.contains(&"new".to_owned()), "{agents:?}");
    net.publish("registry.goodbye", json!({"session_tag": "r_1"})).await;
    let agents = net.online().await;
    assert!(!agents.contains(&"new".to_owned()), "{agents:?}");
}

#[rstest]
#[case(Line::Refused)]
#[case(Line::Silent)]
#[tokio::test]
async fn a_registry_starts_without_its_database_and_catches_up(
    #[case] line: Line,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    let (alice, bob) = (net.register("alice").await, net.register("bob").await);
    registry.shutdown().await;

    let (registry, store) = start(&net, line).await;
    only_presence_is_served(&net).await;
    assert_eq!(net.online().await, Vec::<String>::new(), "nobody has said hello yet");
    net.publish("registry.goodbye", json!({"session_tag": bob["session_tag"]}))
        .await;
    for number in 0..300 {
        net.publish("account.acct_b.inbox", message(&format!("m{number}"), "t"))
            .await;
    }
    store.set(Line::Up);
    net.history("t", 200).await;
    eventually(DEADLINE, async || match net.online().await {
        online if online == ["alice_agent"] => Ok(()),
        online => Err(format!("{online:?}")),
    })
    .await
    .unwrap();
    let profile = net.ask("profile", json!({"username": "alice"})).await["profile"].clone();
    assert_eq!(profile["account_id"], alice["account_id"]);
    assert_eq!(profile["online_sessions"][0]["connected_at"], alice["registered_at"]);
    // Profiles are read after the sessions.
    eventually(DEADLINE, async || {
        let found = net.ask("search", json!({"online_only": true})).await;
        match found["results"][0]["username"] == "alice" {
            true => Ok(()),
            false => Err(found.to_string()),
        }
    })
    .await
    .unwrap();
    let truth = net.store().await;
    eventually_true(
        DEADLINE,
        "the store knows of the goodbye, and has all messages",
        async || {
            let online = truth.online_sessions().await.unwrap();
            let thread = truth.thread("t", None).await.unwrap().unwrap();
            online.len() == 1 && thread.message_count == 300
        },
    )
    .await
    .unwrap();
    net.register("carol").await;
    registry.shutdown().await;
}

#[rstest]
#[case(Line::Refused)]
#[case(Line::Silent)]
#[tokio::test]
async fn a_database_that_goes_and_comes_loses_nothing(
    #[case] line: Line,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let (registry, store) = start(&net, Line::Up).await;
    let alice = net.register("alice").await;
    for round in 1..=2 {
        store.set(line);
        only_presence_is_served(&net).await;
        assert_eq!(net.online().await, ["alice_agent"]);
        for number in 0..100 {
            net.publish("account.acct_b.inbox", message(&format!("m{round}_{number}"), "t"))
                .await;
        }
        // Renamed while the store cannot be written.
        let name = format!("Alice {round}");
        let hello = json!({"agent_id": "a", "name": name, "session_tag": alice["session_tag"]});
        net.publish("registry.hello", hello).await;
        store.set(Line::Up);
        net.history("t", 100 * round).await;
        let truth = net.store().await;
        let tag = alice["session_tag"].as_str().unwrap();
        eventually_true(DEADLINE, "the store has what changed", async || {
            truth.session(tag).await.unwrap().unwrap().name == name
        })
        .await
        .unwrap();
    }
    registry.shutdown().await;
}

/// As a message in the middle of a write: it is stored once, and others are not held up for ever.
#[rstest]
#[tokio::test]
async fn a_stop_without_a_database_ends(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let (registry, store) = start(&net, Line::Up).await;
    net.register("alice").await;
    store.set(Line::Refused);
    for number in 0..50 {
        net.publish("account.acct_b.inbox", message(&format!("m{number}"), "t"))
            .await;
    }
    tokio::time::timeout(3 * DEADLINE, registry.shutdown()).await.unwrap();
    let _registry = net.registry().await;
    net.history("t", 50).await;
}

#[rstest]
#[tokio::test]
async fn no_request_is_refused_wrongly_after_an_outage(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let first = net.registry().await;
    let bob = net.register("bob").await;
    net.publish("registry.goodbye", json!({"session_tag": bob["session_tag"]}))
        .await;
    assert!(net.online().await.is_empty());
    first.shutdown().await;

    let store = Observed::new(net.store().await, Line::Refused);
    let config = RegistryConfig {
        agent_ttl: Duration::from_secs(2),
        ..net.config()
    };
    let _registry = Registry::start(config, store.clone()).await.unwrap();
    only_presence_is_served(&net).await;
    let subject = format!("account.{}.inbox", bob["account_id"].as_str().unwrap());
    let replies = agentnet_testkit::Capture::subscribe(&net.client, "_INBOX.early")
        .await
        .unwrap();
    net.client
        .publish_with_reply(
            subject.clone(),
            "_INBOX.early",
            message("early", "t").to_string().into(),
        )
        .await
        .unwrap();
    store.set(Line::Up);
    let reply = eventually(DEADLINE, async || {
        let request = net
            .client
            .request(subject.clone(), message("late", "t").to_string().into());
        tokio::time::timeout(Duration::from_millis(300), request).await
    })
    .await
    .unwrap()
    .unwrap();
    let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
    assert_eq!(reply["payload"]["error"], "recipient_offline");
    assert_eq!(replies.messages(), []);
}

/// The same with a real server that is stopped, killed and started.
#[tokio::test]
async fn postgresql_is_stopped_and_started() {
    let mut net = Network::on(Backend::Postgres, true).await;
    let url = net.database_url();
    let config = RegistryConfig {
        database_url: Some(url),
        ..retrying(&net)
    };
    net.postgres.as_mut().unwrap().stop().await;
    let start = Registry::start_with_store_url(config.clone());
    let registry = tokio::time::timeout(DEADLINE, start).await.unwrap().unwrap();
    only_presence_is_served(&net).await;
    net.publish("account.acct_b.inbox", message("before", "t")).await;
    net.postgres.as_mut().unwrap().start().await.unwrap();
    net.history("t", 1).await;
    let alice = net.register("alice").await;

    for round in 1..=2 {
        let postgres = net.postgres.as_mut().unwrap();
        if round == 1 {
            postgres.stop().await;
        } else {
            postgres.kill9();
        }
        only_presence_is_served(&net).await;
        assert_eq!(net.online().await, ["alice_agent"]);
        for number in 0..50 {
            net.publish("account.acct_b.inbox", message(&format!("m{round}_{number}"), "t"))
                .await;
        }
        net.postgres.as_mut().unwrap().start().await.unwrap();
        net.history("t", 1 + 50 * round).await;
    }
    assert_eq!(net.register("alice").await["account_id"], alice["account_id"]);
    registry.shutdown().await;
    let registry = Registry::start_with_store_url(config).await.unwrap();
    assert_eq!(net.online().await, ["alice_agent", "alice_agent"]);
    registry.shutdown().await;
}
