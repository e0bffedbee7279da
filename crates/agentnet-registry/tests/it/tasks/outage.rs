//! A database that is down for a while, and a registry that stops with messages at hand.

use std::time::Duration;

use agentnet_registry::{Registry, RegistryConfig};
use agentnet_testkit::eventually;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::observed::{Line, Observed};
use crate::support::{Backend, DEADLINE, Network};
use crate::tasks::client::{Session, ask, config, id, kinds, refused, status, until_state};

fn message(id: &str, from: &str, to: &str, payload: Value) -> Value {
    json!({"message_id": id, "from_agent": "a", "from_account_id": from, "to_agent": to, "to_account_id": to,
           "kind": "direct", "thread_id": "talk", "payload": payload, "sent_at": agentnet_protocol::Timestamp::from(std::time::SystemTime::now()).to_string()})
}

/// Requests fail at once meanwhile; messages about tasks and ends of leases are made up for.
#[rstest]
#[case(Line::Refused)]
#[case(Line::Silent)]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_loses_no_task(
    #[case] line: Line,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let store = Observed::new(net.store().await, Line::Up);
    let config = RegistryConfig {
        agent_ttl: Duration::from_secs(3600),
        ..config(&net)
    };
    let _registry = Registry::start(config, store.clone()).await.unwrap();
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    for task_id in ["held", "waiting"] {
        let members = json!({"task_id": task_id, "to": bob.account_id, "heartbeat_ms": 60_000});
        alice.create(&net, members).await;
    }
    let held = bob.claim(&net, json!({"task_id": "held"})).await.remove(0);
    alice
        .create(
            &net,
            json!({"task_id": "lost", "to": bob.account_id, "heartbeat_ms": 1_000}),
        )
        .await;
    let lost = bob.claim(&net, json!({"task_id": "lost"})).await.remove(0);
    bob.beat(&net, &lost, json!({})).await;

    store.set(line);
    let down = async || {
        let reply = net.ask("task_status", json!({"task_id": "held"})).await;
        match reply["error"] == "task_status_failed" {
            true => Ok(()),
            false => Err(reply),
        }
    };
    eventually(DEADLINE, down).await.unwrap();
    let list = ask(&net, "task_list", json!({})).await;
    assert_eq!(list, json!({"error": "task_list_failed"}));
    for (rpc, members) in [
        ("task_create", json!({"to": "capability:x"})),
        ("task_claim", json!({"wait_ms": 20_000})),
        ("task_cancel", json!({"task_id": "held"})),
        ("task_events", json!({"task_id": "held"})),
    ] {
        refused(&ask(&net, rpc, bob.request(members)).await, "task_failed");
    }
    let finish = json!({"state": "completed", "result": 1});
    refused(&bob.finish(&net, &held, finish.clone()).await, "task_failed");
    let (a, b) = (alice.account_id.as_str(), bob.account_id.as_str());
    let assign = json!({"type": "task.assign", "task_id": "told", "text": "x"});
    let done = json!({"type": "task.result", "task_id": "told", "text": "done"});
    net.publish(&format!("account.{b}.inbox"), message("m1", a, b, assign))
        .await;
    net.publish(&format!("account.{a}.inbox"), message("m2", b, a, done))
        .await;

    store.set(Line::Up);
    assert_eq!(until_state(&net, "told", "completed").await["text"], "done");
    assert_eq!(until_state(&net, "lost", "failed").await["code"], "worker_lost");
    assert_eq!(bob.finish(&net, &held, finish).await["state"], "completed");
    assert_eq!(kinds(&net, "held").await, ["created", "claimed", "finished"]);
    assert_eq!(id(&bob.claim_one(&net, json!({})).await), "waiting");
}

/// What is published while a registry stops, or while none runs, counts with the next one, and once.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn messages_outlive_their_registry(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const TASKS: usize = 30;
    let net = Network::on(backend, true).await;
    let one = net.registry_with(config(&net)).await;
    let send = async |number: usize| {
        let task_id = format!("t{number}");
        let assign = json!({"type": "task.assign", "task_id": task_id, "text": "x"});
        let progress = json!({"type": "task.progress", "task_id": task_id, "text": "going"});
        let done = json!({"type": "task.result", "task_id": task_id, "text": "done"});
        for (part, from, to, payload) in [
            ("a", "acct_a", "acct_b", assign),
            ("p", "acct_b", "acct_a", progress),
            ("r", "acct_b", "acct_a", done),
        ] {
            let message = message(&format!("m{number}{part}"), from, to, payload);
            net.publish(&format!("account.{to}.inbox"), message).await;
        }
    };
    let flood = async {
        for number in 0..TASKS {
            send(number).await;
        }
    };
    // Dropping a registry ends it in the middle of its work.
    let kill = async {
        eventually(DEADLINE, async || {
            let reply = net.ask("task_status", json!({"task_id": "t3"})).await;
            if reply.get("error").is_none() {
                Ok(())
            } else {
                Err(reply)
            }
        })
        .await
        .unwrap();
        drop(one);
    };
    futures::join!(flood, kill);
    let _two = net.registry_with(config(&net)).await;
    for number in 0..TASKS {
        let task_id = format!("t{number}");
        let done = async || {
            let reply = ask(&net, "task_status", json!({"task_id": task_id})).await;
            if reply["task"]["state"] == "completed" {
                Ok(())
            } else {
                Err(reply)
            }
        };
        eventually(DEADLINE, done).await.unwrap();
        let kinds = kinds(&net, &task_id).await;
        // What the ended registry had comes again after ten seconds: a progress may then find its task at the end.
        let in_order = kinds == ["created", "progress", "finished"];
        assert!(
            in_order || kinds == ["created", "finished", "ignored"],
            "{task_id}: {kinds:?}"
        );
    }
    assert_eq!(status(&net, "t0").await["text"], "done");
}

/// A registry that ended had the assignment, and the next one reads the result first.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_comes_before_its_assignment_waits_for_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = net.registry_with(config(&net)).await;
    let done = json!({"type": "task.result", "task_id": "t", "text": "done"});
    net.publish("account.acct_a.inbox", message("m2", "acct_b", "acct_a", done))
        .await;
    let stored = async || {
        let reply = ask(&net, "thread_messages", json!({"thread_id": "talk"})).await;
        match reply["messages"].as_array().is_some_and(|messages| messages.len() == 1) {
            true => Ok(()),
            false => Err(reply),
        }
    };
    eventually(DEADLINE, stored).await.unwrap();

    let assign = json!({"type": "task.assign", "task_id": "t", "text": "x"});
    net.publish("account.acct_b.inbox", message("m1", "acct_a", "acct_b", assign))
        .await;
    assert_eq!(until_state(&net, "t", "completed").await["text"], "done");
    assert_eq!(kinds(&net, "t").await, ["created", "finished"]);
}
