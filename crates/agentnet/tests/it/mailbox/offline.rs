//! Messages for agents that are offline, from the sender to the handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentnet::{MailboxDelivery, Until};
use agentnet_testkit::{RawClient, eventually_true};
use rstest::rstest;
use serde_json::json;

use crate::mailbox::network::*;
use crate::mailbox::scripted::DAY;
use crate::net::{DEADLINE, has_subscriber};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_an_agent_that_is_offline(#[values(false, true)] dev_auth: bool) {
    let network = Network::with_dev_auth(dev_auth).await;
    network.offline("bob").await;
    let alice = network.agent("alice").start().await.unwrap();
    let texts: Vec<String> = (0..20).map(|number| format!("message {number:02}")).collect();
    for text in &texts {
        let sent = alice.send("@bob", json!({ "text": text })).mailbox(DAY).await.unwrap();
        let MailboxDelivery::Queued { detail } = &sent.delivery else {
            panic!("{sent:?}");
        };
        assert!(!detail.is_empty());
    }
    let notes = Notes::default();
    let bob = network.noting("bob", &notes).start().await.unwrap();
    assert_eq!(notes.until(&texts).await, texts, "in their order");
    until_empty(&bob).await;
    // Nothing waits any more: what is sent now is delivered at once.
    let sent = alice
        .send("@bob", json!({ "text": "live" }))
        .mailbox(DAY)
        .await
        .unwrap();
    assert_eq!(sent.delivery, MailboxDelivery::Delivered);
    let sent = alice
        .send("@bob", json!({ "text": "handled" }))
        .mailbox(DAY)
        .until(Until::Processed)
        .await
        .unwrap();
    assert_eq!(sent.delivery, MailboxDelivery::Delivered);
    let handled = notes.0.lock().unwrap().clone();
    assert_eq!(handled[handled.len() - 2..], ["live", "handled"]);
    assert_eq!(bob.metrics_snapshot().dropped_count, 0);
    for node in [alice, bob] {
        node.close().await;
    }
}

/// The registry takes an agent for online that ended without a goodbye: no receipt comes.
#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_an_agent_that_has_vanished() {
    let network = Network::start().await;
    let notes = Notes::default();
    let vanished = network.noting("bob", &notes).start().await.unwrap();
    let receipts = format!("account.{}.receipts", vanished.account_id().unwrap());
    drop(vanished);
    let raw = RawClient::connect(&network.nats.url()).await.unwrap();
    eventually_true(DEADLINE, "its connection is gone", async || {
        !has_subscriber(&raw, &receipts).await
    })
    .await
    .unwrap();
    let alice = network.agent("alice").start().await.unwrap();
    let texts = ["one", "two"].map(str::to_owned);
    for text in &texts {
        let send = alice.send("@bob", json!({ "text": text })).mailbox(DAY);
        let sent = send
            .receipt_timeout(std::time::Duration::from_millis(300))
            .await
            .unwrap();
        assert!(sent.is_queued(), "{sent:?}");
    }
    let bob = network.noting("bob", &notes).start().await.unwrap();
    assert_eq!(notes.until(&texts).await, texts);
    until_empty(&bob).await;
    for node in [alice, bob] {
        node.close().await;
    }
}

/// A message whose handling fails is handled again, and its sender waits for the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_stays_in_the_mailbox_until_its_handling_succeeds() {
    let network = Network::start().await;
    network.offline("bob").await;
    let alice = network.agent("alice").start().await.unwrap();
    let send = alice.send("@bob", json!({ "text": "hard" })).mailbox(DAY);
    let sending = tokio::spawn(
        send.until(Until::Processed)
            .processing_timeout(2 * DEADLINE)
            .into_future(),
    );
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = attempts.clone();
    let bob = network
        .agent("bob")
        .on_message(move |_, _| {
            let attempt = counter.fetch_add(1, Ordering::SeqCst);
            async move {
                match attempt {
                    0 => Err("not yet".into()),
                    _ => Ok(()),
                }
            }
        })
        .start()
        .await
        .unwrap();
    let sent = tokio::time::timeout(2 * DEADLINE, sending)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(sent.delivery, MailboxDelivery::Delivered);
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
    until_empty(&bob).await;
    for node in [alice, bob] {
        node.close().await;
    }
}

/// A session that closes gives back what it has not handled; the next one handles it, in order.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_session_goes_on_where_one_was_closed() {
    let network = Network::start().await;
    network.offline("bob").await;
    let alice = network.agent("alice").start().await.unwrap();
    let texts: Vec<String> = (0..5).map(|number| format!("message {number}")).collect();
    for text in &texts {
        let send = alice
            .send("@bob", json!({ "text": text }))
            .mailbox(DAY)
            .until(Until::Processed);
        let sent = send.processing_timeout(std::time::Duration::ZERO).await.unwrap();
        assert!(sent.is_queued(), "{sent:?}");
    }
    let begun = Arc::new(AtomicUsize::new(0));
    let counter = begun.clone();
    let stuck = network
        .agent("bob")
        .limits(|limits| limits.drain_timeout = std::time::Duration::from_millis(200))
        .on_message(move |_, _| {
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        })
        .start()
        .await
        .unwrap();
    eventually_true(DEADLINE, "the first is being handled", async || {
        begun.load(Ordering::SeqCst) == 1
    })
    .await
    .unwrap();
    stuck.close().await;
    assert_eq!(begun.load(Ordering::SeqCst), 1, "one at a time");
    let notes = Notes::default();
    let bob = network.noting("bob", &notes).start().await.unwrap();
    assert_eq!(notes.until(&texts).await, texts);
    until_empty(&bob).await;
    for node in [alice, bob] {
        node.close().await;
    }
}
