//! Server or registry go away while messages wait.

use agentnet_testkit::eventually;
use serde_json::json;

use crate::mailbox::network::*;
use crate::mailbox::scripted::DAY;
use crate::net::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_takes_what_was_queued_while_it_had_no_connection() {
    let mut network = Network::start().await;
    let notes = Notes::default();
    let bob = network.noting("bob", &notes).start().await.unwrap();
    let alice = network.agent("alice").start().await.unwrap();
    network.nats.kill9();
    network.nats.restart().await.unwrap();
    // Its session is online for the registry; whether it or the mailbox gets a message depends on who connects first.
    let texts: Vec<String> = (0..10).map(|number| format!("message {number}")).collect();
    for text in &texts {
        eventually(DEADLINE, async || {
            let send = alice
                .send("@bob", json!({ "text": text }))
                .mailbox(DAY)
                .idempotency_key(text);
            send.await.map(drop).map_err(|error| error.to_string())
        })
        .await
        .unwrap();
    }
    notes.until(&texts).await;
    let mut handled = notes.0.lock().unwrap().clone();
    handled.sort();
    assert_eq!(handled, texts, "each once");
    for node in [alice, bob] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_outlast_a_registry() {
    let mut network = Network::start().await;
    network.offline("bob").await;
    let alice = network.agent("alice").start().await.unwrap();
    let texts = ["before", "after"].map(str::to_owned);
    let sent = alice
        .send("@bob", json!({ "text": "before" }))
        .mailbox(DAY)
        .await
        .unwrap();
    assert!(sent.is_queued(), "{sent:?}");
    network.stop_registry().await;
    network.start_registry().await;
    let sent = alice
        .send("@bob", json!({ "text": "after" }))
        .mailbox(DAY)
        .await
        .unwrap();
    assert!(sent.is_queued(), "behind the first: {sent:?}");
    let notes = Notes::default();
    let bob = network.noting("bob", &notes).start().await.unwrap();
    assert_eq!(notes.until(&texts).await, texts);
    until_empty(&bob).await;
    for node in [alice, bob] {
        node.close().await;
    }
}
