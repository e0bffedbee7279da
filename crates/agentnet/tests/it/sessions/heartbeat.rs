//! What a hello tells of the agent's work.

use agentnet::RegistryClient;
use agentnet::protocol::AgentInfo;
use agentnet::protocol::rpc::ProfileRequest;
use agentnet_testkit::Captured;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

use crate::net::{DEADLINE, parse};
use crate::realm::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_tells_what_the_agent_counts_and_the_registry_keeps_none_of_it() {
    let realm = Realm::start().await;
    let hellos = realm.capture("registry.hello").await;
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let worker = realm
        .agent("worker")
        .metadata(json!({"team": "ops"}))
        .limits(|limits| limits.max_concurrency = 2)
        .on_message(move |message: agentnet::Message, _| {
            let gate = held.clone();
            async move {
                gate.acquire().await?.forget();
                match message.payload().get() {
                    "false" => Err("it went wrong".into()),
                    _ => Ok(()),
                }
            }
        })
        .start()
        .await
        .unwrap();
    let counters = async |right: &dyn Fn(&Value) -> bool| {
        let told = |seen: &Captured| {
            let hello = parse(&seen.payload);
            hello["username"] == "worker" && right(&hello["counters"])
        };
        parse(&hellos.wait_for(told, DEADLINE).await.unwrap().payload)
    };
    let first = counters(&|_| true).await;
    assert_eq!(
        first["counters"],
        json!({"inflight": 0, "pending": 0, "processed": 0, "errors": 0, "rejected": 0, "retries": 0,
               "circuit_open": false, "avg_handle_ms": 0.0}),
        "the first hello has them"
    );

    let sender = realm.agent("sender").start().await.unwrap();
    for payload in [json!(true), json!(true), json!(true), json!(false), json!(true)] {
        sender.send("@worker", payload).await.unwrap();
    }
    counters(&|told| told["inflight"] == 2 && told["pending"] == 3 && told["processed"] == 0).await;
    gate.add_permits(5);
    let done = counters(&|told| {
        told["processed"] == 4 && told["errors"] == 1 && told["inflight"] == 0 && told["pending"] == 0
    })
    .await;
    assert!(done["counters"]["avg_handle_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(done["metadata"], json!({"team": "ops"}));

    // A registry that read them would show them here.
    let registry = RegistryClient::new(realm.raw.clone());
    let request = ProfileRequest {
        account_id: None,
        username: Some("worker".into()),
    };
    let profile = registry.call(&request).await.unwrap().profile;
    assert_eq!(profile.metadata.get(), r#"{"team":"ops"}"#);
    assert_eq!(profile.online_sessions[0].metadata.get(), r#"{"team":"ops"}"#);
    let listed: Vec<AgentInfo> = registry.list_online().await.unwrap();
    assert!(listed.iter().all(|agent| !agent.encode().contains("counters")));
    worker.close().await;
    sender.close().await;
}
