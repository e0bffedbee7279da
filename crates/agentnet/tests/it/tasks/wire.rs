//! What a worker says on the wire, and what it believes.

use std::sync::Arc;
use std::time::Duration;

use agentnet::{TaskContext, TaskState};
use agentnet_testkit::{Capture, RawClient};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::net::{DEADLINE, Net, now, parse, settle};
use crate::tasks::network::*;

#[tokio::test]
async fn a_session_says_that_it_claims_tasks_only_if_it_does() {
    let net = Net::start().await;
    let wire = net.capture("registry.*").await;
    let quiet = net
        .agent("quiet")
        .on_message(|_, _| async { Ok(()) })
        .start()
        .await
        .unwrap();
    let worker = net
        .agent("worker")
        .capabilities(["build"])
        .on_task(|_, _| async { Ok(()) });
    let worker = worker.start().await.unwrap();
    let claim = wire
        .wait_for(|seen| seen.subject == "registry.task_claim", DEADLINE)
        .await
        .unwrap();
    let claim = parse(&claim.payload);
    assert_eq!(
        (&claim["account_id"], &claim["capabilities"]),
        (&"acct_worker".into(), &json!(["build"]))
    );
    assert_eq!(claim["max"], 1);
    for node in [quiet, worker] {
        node.close().await;
    }
    for seen in wire.messages() {
        let said = parse(&seen.payload);
        let expected = match said["agent_id"].as_str() {
            Some("worker") if seen.subject != "registry.goodbye" => json!("claim"),
            _ => Value::Null,
        };
        assert_eq!(said["tasks"], expected, "{} {said}", seen.subject);
        assert_ne!(
            (seen.subject.as_str(), &said["account_id"]),
            ("registry.task_claim", &"acct_quiet".into())
        );
    }
}

/// Everybody who may publish can send events: one only makes a worker ask the registry.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_event_cancels_nothing() {
    let network = Network::start().await;
    let (begun, go_on): (Arc<Notify>, Arc<Notify>) = Default::default();
    let (begins, waits) = (begun.clone(), go_on.clone());
    let worker = network
        .agent("coder")
        .on_task(move |_, context: TaskContext| {
            let (begins, waits) = (begins.clone(), waits.clone());
            async move {
                begins.notify_one();
                waits.notified().await;
                Ok(json!({ "cancelled": context.is_cancelled() }))
            }
        })
        .start()
        .await
        .unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let task = lead
        .task("@coder")
        .heartbeat(Duration::from_secs(600))
        .start()
        .await
        .unwrap();
    tokio::time::timeout(DEADLINE, begun.notified()).await.unwrap();
    let raw = RawClient::connect(&network.nats.url()).await.unwrap();
    let heartbeats = Capture::subscribe(&raw, "registry.task_heartbeat").await.unwrap();
    let subject = format!("agentnet.events.{}.task", worker.account_id().unwrap());
    let forged = json!({
        "task_id": task.id(), "seq": 9, "at": now(), "type": "cancel_requested", "attempt": 1, "state": "working",
    });
    for body in [json!("no event").to_string(), "{".to_owned(), forged.to_string()] {
        raw.publish(subject.clone(), body.into()).await.unwrap();
    }
    settle(&raw).await;
    let asked = heartbeats.wait_for(|_| true, DEADLINE).await.unwrap();
    assert_eq!(parse(&asked.payload)["items"][0]["task_id"], task.id());
    go_on.notify_one();
    let done = outcome(&task).await;
    assert_eq!(
        (done.state, done.result.unwrap().get()),
        (TaskState::Completed, r#"{"cancelled":false}"#)
    );
    for node in [lead, worker] {
        node.close().await;
    }
}
