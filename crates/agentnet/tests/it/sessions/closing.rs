//! Closing, dropping and starting again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use agentnet::StartError;
use agentnet_testkit::{Captured, eventually_true};
use serde_json::json;

use crate::net::{DEADLINE, parse};
use crate::realm::*;

#[tokio::test(flavor = "multi_thread")]
async fn close_finishes_what_was_accepted() {
    let realm = Realm::start().await;
    let finished = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (counter, handler_gate) = (finished.clone(), gate.clone());
    let worker = realm
        .agent("worker")
        .limits(|limits| limits.max_concurrency = 2)
        .on_message(move |_, _| {
            let (counter, gate) = (counter.clone(), handler_gate.clone());
            async move {
                gate.acquire().await?.forget();
                counter.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let sender = realm.agent("sender").start().await.unwrap();
    for number in 0..20 {
        sender.send("@worker", json!(number)).await.unwrap();
    }
    let session = worker.session_tag().unwrap();
    let goodbye = realm.capture("registry.goodbye").await;
    let closing = tokio::spawn({
        let worker = worker.clone();
        async move { worker.close().await }
    });
    // It has left its inbox while it still works.
    let inbox = format!("account.{}.inbox", worker.account_id().unwrap());
    let left = |seen: &Captured| parse(&seen.payload)["session_tag"] == session.as_str();
    assert!(!goodbye.messages().iter().any(left));
    gate.add_permits(20);
    closing.await.unwrap();
    assert_eq!(finished.load(Ordering::SeqCst), 20);
    let seen = goodbye.wait_for(left, DEADLINE).await.unwrap();
    let goodbye = parse(&seen.payload);
    assert_eq!(crate::net::keys(&goodbye), ["agent_id", "session_tag", "seen_at"]);
    assert_eq!(goodbye["agent_id"], "worker");
    realm.until_sessions("worker", 0).await;
    assert_eq!(worker.metrics_snapshot().processed_count, 20);
    assert_eq!((worker.session_tag(), worker.account_id()), (None, None));
    assert!(
        inbox.contains(&worker.metrics_snapshot().account_id.unwrap()),
        "the last identity is kept"
    );
    worker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_handler_does_not_hold_close_up_and_its_senders_are_told() {
    let realm = Realm::start().await;
    let stuck = Arc::new(AtomicBool::new(false));
    let flag = stuck.clone();
    let worker = realm
        .agent("worker")
        .limits(|limits| {
            limits.max_concurrency = 1;
            limits.drain_timeout = Duration::from_millis(200);
        })
        .on_message(move |_, _| {
            flag.store(true, Ordering::SeqCst);
            std::future::pending()
        })
        .start()
        .await
        .unwrap();
    let sender = realm.agent("sender").start().await.unwrap();
    let requests: Vec<_> = (0..3)
        .map(|number| tokio::spawn(sender.request("@worker", json!(number)).timeout(DEADLINE).into_future()))
        .collect();
    eventually_true(DEADLINE, "one is stuck, two wait", async || {
        stuck.load(Ordering::SeqCst) && worker.metrics_snapshot().pending_count == 2
    })
    .await
    .unwrap();
    let receipts = realm
        .capture(&format!("account.{}.receipts", sender.account_id().unwrap()))
        .await;
    tokio::time::timeout(DEADLINE, worker.close())
        .await
        .expect("close is not held up");
    for request in requests {
        let reply = tokio::time::timeout(DEADLINE, request).await.unwrap().unwrap().unwrap();
        assert_eq!(
            (&*reply.kind, reply.error_code().as_deref()),
            ("error", Some("shutting_down"))
        );
    }
    let refused = |seen: &[Captured]| {
        let codes = seen.iter().map(|seen| parse(&seen.payload)["code"].clone());
        codes.filter(|code| code == "shutting_down").count() == 3
    };
    receipts.wait_until(refused, DEADLINE).await.unwrap();
    assert_eq!(worker.metrics_snapshot().dropped_count, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_node_starts_again() {
    let realm = Realm::start().await;
    let handled = Handled::default();
    let node = echo(realm.agent("again"), "again", &handled).start().await.unwrap();
    assert!(matches!(node.start().await, Err(StartError::Running)));
    let (account, session) = (node.account_id(), node.session_tag());
    let sender = realm.agent("sender").start().await.unwrap();
    for round in 1..=3 {
        assert_eq!(node.account_id(), account, "the account stays");
        sender.request("@again", json!(round)).await.unwrap();
        node.send("@sender", "unheard").without_ack().await.unwrap();
        node.close().await;
        realm.until_sessions("again", 0).await;
        node.start().await.unwrap();
        assert_ne!(node.session_tag(), session, "the session does not");
        realm.until_sessions("again", 1).await;
    }
    assert_eq!(handled.count(), 3);
    assert_eq!(node.metrics_snapshot().processed_count, 3, "counters go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_ends_everything() {
    let realm = Realm::start().await;
    let alive = Arc::new(());
    let held = alive.clone();
    let node = realm
        .agent("dropped")
        .on_message(move |_, _| {
            let held = held.clone();
            async move {
                drop(held);
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let inbox = format!("account.{}.receipts", node.account_id().unwrap());
    let clone = node.clone();
    drop(node);
    assert!(
        crate::net::has_subscriber(&realm.raw, &inbox).await,
        "another handle keeps it alive"
    );
    drop(clone);
    eventually_true(DEADLINE, "its tasks and its handler are gone", async || {
        Arc::strong_count(&alive) == 1
    })
    .await
    .unwrap();
    eventually_true(DEADLINE, "its connection is gone", async || {
        !crate::net::has_subscriber(&realm.raw, &inbox).await
    })
    .await
    .unwrap();
}
