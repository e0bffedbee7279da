//! Server or registry go away and come back.

use std::time::Duration;

use agentnet_testkit::{Capture, NatsServer, RawClient, UNREADABLE_HEADER_BLOCKS, eventually, eventually_true};
use async_nats::jetstream::{self, stream};
use serde_json::json;

use crate::net::{DEADLINE, ScriptedRegistry, agent, generous};
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
    let mut nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let raw = RawClient::connect(&nats.url()).await.unwrap();
    let registry = ScriptedRegistry::start(&nats.url()).await;
    registry.heartbeat_every(DEADLINE * 100);
    let hellos = Capture::subscribe(&raw, "registry.hello").await.unwrap();
    let _node = agent(&nats.url(), "patient").start().await.unwrap();
    hellos.wait_for(|_| true, DEADLINE).await.unwrap();
    assert_eq!(hellos.messages().len(), 1, "one at start");
    // The node may reconnect before any other client, so a stream of the server records its hellos. The server loads its
    // streams before it accepts clients.
    let config = stream::Config {
        name: "HELLOS".to_owned(),
        subjects: vec!["registry.hello".to_owned()],
        ..stream::Config::default()
    };
    let mut heard = jetstream::new(raw).create_stream(config).await.unwrap();
    assert_eq!(heard.info().await.unwrap().state.messages, 0);
    nats.kill9();
    nats.restart().await.unwrap();
    let raw = RawClient::connect(&nats.url()).await.unwrap();
    let mut heard = jetstream::new(raw).get_stream("HELLOS").await.unwrap();
    eventually_true(DEADLINE, "it says hello long before the next is due", async || {
        heard.info().await.is_ok_and(|info| info.state.messages > 0)
    })
    .await
    .unwrap();
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

/// A client sends messages that end a receiver's connection, or its NATS client.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_back_after_a_message_that_the_client_cannot_read() {
    let mut realm = Realm::start().await;
    let handled = Handled::default();
    let receiver = echo(realm.agent("receiver"), "receiver", &handled)
        .start()
        .await
        .unwrap();
    let sender = realm.agent("sender").start().await.unwrap();
    let (account_id, first_session) = (receiver.account_id().unwrap(), receiver.session_tag().unwrap());
    for block in UNREADABLE_HEADER_BLOCKS {
        let subjects = ["inbox", "receipts"].map(|kind| format!("account.{account_id}.{kind}"));
        for subject in &subjects {
            realm
                .nats
                .publish_with_header_block(subject, "", block, b"{}")
                .await
                .unwrap();
        }
        let answered = eventually(DEADLINE, async || {
            let asked = sender
                .request("@receiver", "still there?")
                .timeout(Duration::from_secs(1));
            asked.await.map(drop).map_err(|error| error.to_string())
        });
        let mut answered = std::pin::pin!(answered);
        // The registry also subscribes to inboxes, and the stream delivers the message to it again. Its operator restarts it.
        loop {
            let registry = realm.registry.as_ref().unwrap();
            let failed = tokio::select! {
                outcome = &mut answered => break outcome.unwrap(),
                failed = registry.failed() => failed,
            };
            assert_eq!(failed, agentnet_registry::Failed::Connection);
            realm.registry.take().unwrap().shutdown().await;
            // The same message may end the client of one that is still starting.
            while !realm.try_start_registry().await {}
        }
        assert_eq!(receiver.account_id().as_ref(), Some(&account_id));
    }
    assert_ne!(receiver.session_tag().unwrap(), first_session, "it has joined again");
    receiver.close().await;
    assert_eq!(receiver.session_tag(), None);
}
