//! Several registries on one database.

use std::time::Duration;

use agentnet_registry::RegistryConfig;
use rstest::rstest;
use serde_json::json;

use crate::support::{Backend, Network};
use crate::tasks::client::{Session, ask, config, id, kinds, until_state};

fn second(net: &Network) -> RegistryConfig {
    RegistryConfig {
        server_id: "second".to_owned(),
        ..config(net)
    }
}

/// A request that waits at one registry gets the task that another one stores, whichever gets which.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn registries_wake_each_other(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const TASKS: usize = 20;
    let net = Network::on(backend, true).await;
    let _one = net.registry_with(config(&net)).await;
    let _two = net.registry_with(second(&net)).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    net.until_online(&["alice_agent", "bob_agent"]).await;
    for number in 0..TASKS {
        let task_id = format!("t{number}");
        let events = json!({"task_id": task_id, "after": 2, "wait_ms": 20_000});
        let create = alice.create(&net, json!({"task_id": task_id, "to": "capability:build"}));
        let (claimed, _) = futures::join!(bob.claim_one(&net, json!({"capabilities": ["build"]})), create);
        assert_eq!(id(&claimed), task_id);
        let finish = bob.finish(&net, &claimed, json!({"state": "completed"}));
        let (seen, _) = futures::join!(ask(&net, "task_events", events), finish);
        assert_eq!(seen["events"][0]["type"], "finished", "{seen}");
    }
}

/// A registry that stops takes nothing along: another one goes on with its tasks.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn tasks_outlive_their_registry(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let one = net.registry_with(config(&net)).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    for task_id in ["held", "first", "second"] {
        alice
            .create(&net, json!({"task_id": task_id, "to": bob.account_id}))
            .await;
    }
    let held = bob.claim(&net, json!({"task_id": "held"})).await.remove(0);
    one.shutdown().await;
    let _two = net.registry_with(second(&net)).await;
    assert_eq!(bob.beat(&net, &held, json!({})).await["ok"], true);
    let waiting = bob.claim(&net, json!({"max": 10})).await;
    assert_eq!(waiting.iter().map(id).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(
        bob.finish(&net, &held, json!({"state": "completed"})).await["state"],
        "completed"
    );
    assert_eq!(kinds(&net, "held").await, ["created", "claimed", "finished"]);
}

/// Wake-ups without cause, and without sense, change nothing.
#[rstest]
#[tokio::test]
async fn foreign_wake_ups_change_nothing(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = net
        .registry_with(RegistryConfig {
            gc_interval: Duration::from_millis(100),
            ..net.config()
        })
        .await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    let flood = async {
        for body in [
            "{bad".to_owned(),
            "[]".to_owned(),
            json!({"task_id": 7}).to_string(),
            json!({"task_id": "x".repeat(100_000)}).to_string(),
            json!({"task_id": "t", "account_id": bob.account_id}).to_string(),
            json!({"task_id": "t", "capability": "build", "from": "other"}).to_string(),
        ] {
            for _ in 0..50 {
                net.publish("agentnet.registry.tasks", body.clone()).await;
            }
        }
        alice
            .create(&net, json!({"task_id": "t", "to": "capability:build"}))
            .await;
    };
    let (claimed, ()) = futures::join!(bob.claim_one(&net, json!({"capabilities": ["build"]})), flood);
    assert_eq!(id(&claimed), "t");
    until_state(&net, "t", "working").await;
}
