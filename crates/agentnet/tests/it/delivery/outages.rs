//! What senders and callers notice of a server or a registry that goes away.

use std::future::IntoFuture;
use std::time::Duration;

use agentnet::protocol::rpc::ListRequest;
use agentnet::{RegistryClient, RequestError, SendError};
use agentnet_testkit::{Capture, NatsServer, RawClient, eventually_true};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;

use crate::delivery::harness::*;
use crate::net::{DEADLINE, parse, settle};

const REGISTRY_TIMEOUT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn without_a_connection_nothing_is_sent_and_the_error_says_why() {
    let mut harness = Harness::start(|_, _| vec![]).await;
    harness.net.nats.kill9();
    let lost = SendError::Connection("the connection to NATS is lost and not yet back".into());
    let send = async |text: &str| {
        let send = harness.node.send_to_account("acct_peer", text).retry_attempts(1);
        send.receipt_timeout(SHORT_TIMEOUT).await
    };
    // The first send may be quicker than the news.
    eventually_true(DEADLINE, "the connection is lost", async || {
        send("early").await == Err(lost.clone())
    })
    .await
    .unwrap();
    let before = harness.node.metrics_snapshot();
    assert_eq!(send("lost").await, Err(lost.clone()));
    let after = harness.node.metrics_snapshot();
    assert_eq!(after.retry_count, before.retry_count + 1);
    assert_eq!(
        after.receipt_timeout_count, before.receipt_timeout_count,
        "no receipt was due"
    );
    let request = harness
        .node
        .request_account("acct_peer", "lost")
        .timeout(SHORT_TIMEOUT)
        .await;
    assert_eq!(request.unwrap_err(), RequestError::Send(lost));

    harness.net.nats.restart().await.unwrap();
    let raw = RawClient::connect(&harness.net.nats.url()).await.unwrap();
    let mut inbox = raw.subscribe(INBOX).await.unwrap();
    settle(&raw).await;
    let sending = harness.node.send_to_account("acct_peer", "sent").without_ack();
    tokio::time::timeout(DEADLINE, sending.into_future())
        .await
        .unwrap()
        .unwrap();
    loop {
        let message = tokio::time::timeout(DEADLINE, inbox.next()).await.unwrap().unwrap();
        match parse(&message.payload)["payload"].as_str().unwrap() {
            "early" => {}
            "sent" => break,
            other => panic!("{other} comes later, though its sender was told that it was not sent"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_during_an_outage_is_answered_or_fails_once_the_server_is_back() {
    let mut harness = Harness::start(|_, _| vec![]).await;
    harness.net.nats.kill9();
    eventually_true(DEADLINE, "the connection is lost", async || {
        let request = harness
            .node
            .request_account("acct_peer", "early")
            .timeout(SHORT_TIMEOUT)
            .await;
        matches!(request, Err(RequestError::Send(SendError::Connection(_))))
    })
    .await
    .unwrap();
    let request = harness.node.request_account("acct_peer", "asked").timeout(DEADLINE * 2);
    let asking = tokio::spawn(request.into_future());
    harness.net.nats.restart().await.unwrap();
    let raw = RawClient::connect(&harness.net.nats.url()).await.unwrap();
    let mut inbox = raw.subscribe(INBOX).await.unwrap();
    tokio::spawn(async move {
        while let Some(message) = inbox.next().await {
            let reply = json!({ "message_id": "r1", "from_agent": "peer", "payload": { "text": "yes" } });
            let to = message.reply.unwrap();
            raw.publish(to, reply.to_string().into()).await.unwrap();
        }
    });
    match tokio::time::timeout(DEADLINE * 3, asking).await.unwrap().unwrap() {
        Ok(reply) => assert_eq!(reply.text().as_deref(), Some("yes")),
        // The node was back before its peer.
        Err(RequestError::NoResponders { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_from_before_a_crash_puts_the_message_into_the_history_again() {
    let mut harness = Harness::start(|_, _| vec![]).await;
    let send = harness
        .node
        .send_to_account("acct_peer", "hi")
        .receipt_timeout(DEADLINE);
    let sending = tokio::spawn(send.into_future());
    let published = harness
        .wire
        .wait_for(|seen| seen.subject == INBOX, DEADLINE)
        .await
        .unwrap();
    harness.net.nats.kill9();
    harness.net.nats.restart().await.unwrap();
    let raw = RawClient::connect(&harness.net.nats.url()).await.unwrap();
    let replies = Capture::subscribe(&raw, "_INBOX.*.nobody").await.unwrap();
    let inboxes = Capture::subscribe(&raw, INBOX).await.unwrap();
    let receipt = Bytes::from(receipt(&parse(&published.payload), "accepted").to_string());
    eventually_true(DEADLINE, "the node is back and hears its receipt", async || {
        raw.publish("account.acct_alice.receipts", receipt.clone())
            .await
            .unwrap();
        sending.is_finished()
    })
    .await
    .unwrap();
    tokio::time::timeout(DEADLINE, sending).await.unwrap().unwrap().unwrap();
    let again = replies.wait_for(|_| true, DEADLINE).await.unwrap();
    assert_eq!(again.payload, published.payload);
    assert!(inboxes.messages().is_empty(), "nobody gets it twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_connection_says_so() {
    let mut nats = NatsServer::builder().start().await.unwrap();
    let client = RegistryClient::connect(&nats.url())
        .await
        .unwrap()
        .with_timeout(REGISTRY_TIMEOUT);
    nats.kill9();
    let error = client.call(&ListRequest::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "registry.list could not be sent: the connection to NATS is lost and not yet back"
    );
}
