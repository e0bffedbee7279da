//! Server or registry go away and come back.

use std::time::Duration;

use agentnet_testkit::{Capture, RawClient, eventually_true};
use serde_json::json;

use crate::net::{DEADLINE, agent, generous};
use crate::realm::*;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_back_after_the_server_was_killed() {
    let mut realm = Realm::start().await;
    let handled = Handled::default();
    let receiver = echo(realm.agent("receiver"), "receiver", &handled)
        .capabilities(["chat"])
        .start()
        .await
        .unwrap();
    let quick = |limits: &mut agentnet::Limits| {
        generous(limits);
        limits.receipt_timeout = Duration::from_secs(2);
        limits.send_retry_attempts = 10;
    };
    let sender = agent(&realm.nats.url(), "sender").limits(quick).start().await.unwrap();
    sender.send("@receiver", "before").await.unwrap();

    let pending = tokio::spawn({
        realm.nats.kill9();
        sender.send("@receiver", "during the outage").into_future()
    });
    realm.crash_server().await;
    tokio::time::timeout(DEADLINE, pending)
        .await
        .unwrap()
        .unwrap()
        .expect("within its attempts");
    realm.until_hello(&[&receiver, &sender]).await;
    // Everything is subscribed again: inbox, capability, receipts, replies.
    sender.send("@receiver", "after").await.unwrap();
    sender.send_to_capability("chat", "after").await.unwrap();
    let reply = sender
        .request("@receiver", json!("after"))
        .timeout(DEADLINE)
        .await
        .unwrap();
    assert_eq!(reply.json::<String>().unwrap(), "after");
    eventually_true(DEADLINE, "all are handled", async || handled.count() == 5)
        .await
        .unwrap();
    assert_eq!(handled.twice(), Vec::<String>::new(), "a repeated send is handled once");
    realm.until_sessions("receiver", 1).await;
    // After a reconnection closing is clean too.
    tokio::time::timeout(DEADLINE, receiver.close()).await.unwrap();
    realm.until_sessions("receiver", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hello_after_a_reconnection_comes_at_once() {
    // The scripted registry tells nodes to say hello every twelve seconds.
    let mut net = crate::net::Net::start().await;
    let hellos = net.capture("registry.hello").await;
    let node = net.agent("patient").start().await.unwrap();
    hellos.wait_for(|_| true, DEADLINE).await.unwrap();
    assert_eq!(hellos.messages().len(), 1, "one at start");
    net.nats.kill9();
    net.nats.restart().await.unwrap();
    let raw = RawClient::connect(&net.nats.url()).await.unwrap();
    let hellos = Capture::subscribe(&raw, "registry.hello").await.unwrap();
    let inbox = format!("account.{}.receipts", node.account_id().unwrap());
    eventually_true(DEADLINE, "the node is back", async || {
        crate::net::somebody_listens(&raw, &inbox).await
    })
    .await
    .unwrap();
    let again = hellos.wait_for(|_| true, Duration::from_secs(8)).await;
    assert!(again.is_ok(), "before the next heartbeat would be due");
}

#[tokio::test(flavor = "multi_thread")]
async fn close_without_a_server_ends() {
    let mut realm = Realm::start().await;
    let handled = Handled::default();
    let node = echo(realm.agent("alone"), "alone", &handled).start().await.unwrap();
    realm.nats.kill9();
    tokio::time::timeout(DEADLINE, node.close())
        .await
        .expect("close needs no server");
    assert!(node.session_tag().is_none());
    let error = tokio::time::timeout(DEADLINE, node.start()).await.unwrap().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Cannot connect to NATS at nats://127.0.0.1:"),
        "{error}"
    );
    realm.nats.restart().await.unwrap();
    eventually_true(DEADLINE, "it starts again", async || node.start().await.is_ok())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_registry_learns_the_session_from_the_next_hello() {
    let mut realm = Realm::start().await;
    let node = realm.agent("steady").capabilities(["chat"]).start().await.unwrap();
    let session = node.session_tag().unwrap();
    realm.registry.take().unwrap().shutdown().await;
    realm.start_registry().await;
    realm.until_sessions("steady", 1).await;
    assert_eq!(node.resolve_username("steady").await.ok(), node.account_id());
    // With another store the registry knows nothing at all.
    realm.registry.take().unwrap().shutdown().await;
    (realm.store, realm.database) = new_store().await;
    realm.start_registry().await;
    realm.until_sessions("steady", 1).await;
    assert_eq!(realm.sessions("steady").await, [session]);
}
