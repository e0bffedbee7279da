//! What a sender is told of a message that may be kept, and where the message goes (section 21.2).

use std::time::Duration;

use agentnet::{MailboxDelivery, SendError, Until};
use serde_json::json;

use crate::mailbox::scripted::*;
use crate::net::{DEADLINE, Net};

const SHORT_TIMEOUT: Duration = Duration::from_millis(200);

fn detail(delivery: &MailboxDelivery) -> &str {
    match delivery {
        MailboxDelivery::Queued { detail } => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_follows_a_queued_message_is_put_behind_it_until_nothing_waits() {
    let mut sending = Sending::start().await;
    let first = spawn(sending.message());
    let message = sending.received().await;
    assert_eq!(message["mailbox"], true);
    assert_eq!(message["ttl_ms"], 24 * 3600 * 1000);
    let queued = json!({ "status": "queued", "detail": "@peer is offline" });
    sending.receipt(&message, "acct_registry_a", queued).await;
    let sent = end(first).await.unwrap();
    assert_eq!(detail(&sent.delivery), "@peer is offline");
    assert!(sent.is_queued());
    assert_eq!(message["message_id"], sent.sent.message_id.as_str());

    let second = spawn(sending.message());
    let put = sending.put().await;
    assert_eq!(put.request["direct"], true);
    sending.keep(&put).await;
    let sent = end(second).await.unwrap();
    assert_eq!(
        detail(&sent.delivery),
        "earlier messages wait for the receiver; the message is kept until 2030-01-02T03:04:05Z"
    );

    let third = spawn(sending.message());
    let put = sending.put().await;
    sending
        .answer(&put, json!({ "message_id": "m", "state": "live", "position": null }))
        .await;
    // The second one was not published.
    let message = sending.received().await;
    assert_eq!(message["message_id"], put.request["envelope"]["message_id"]);
    sending
        .receipt(&message, "acct_peer", json!({ "status": "accepted" }))
        .await;
    assert_eq!(end(third).await.unwrap().delivery, MailboxDelivery::Delivered);

    let fourth = spawn(sending.message());
    let message = sending.received().await;
    sending
        .receipt(&message, "acct_peer", json!({ "status": "accepted" }))
        .await;
    assert_eq!(end(fourth).await.unwrap().delivery, MailboxDelivery::Delivered);
}

#[tokio::test]
async fn without_a_receipt_the_same_bytes_are_put_into_the_mailbox() {
    let mut sending = Sending::with_receipt_timeout(SHORT_TIMEOUT).await;
    let send = spawn(sending.message().thread("t").idempotency_key("once"));
    let message = sending.received().await;
    // Only registries say this.
    sending
        .receipt(&message, "acct_peer", json!({ "status": "queued" }))
        .await;
    let put = sending.put().await;
    assert_eq!(put.request["envelope"], message);
    assert_eq!(put.request.get("direct"), None);
    sending.keep(&put).await;
    let sent = end(send).await.unwrap();
    assert_eq!(
        detail(&sent.delivery),
        "the receiver did not answer within 0.2 s; the message is kept until 2030-01-02T03:04:05Z"
    );
    assert_eq!(sending.node.metrics_snapshot().receipt_timeout_count, 1);
}

#[tokio::test]
async fn a_receiver_without_time_gets_the_message_later_and_a_refusal_names_the_code() {
    let mut sending = Sending::start().await;
    for code in [
        "busy",
        "rate_limited",
        "shutting_down",
        "service_degraded",
        "recipient_offline",
    ] {
        let send = spawn(sending.message());
        let message = sending.received().await;
        let rejected = json!({ "status": "rejected", "code": code, "detail": "not now" });
        sending.receipt(&message, "acct_peer", rejected).await;
        let put = sending.put().await;
        assert_eq!(put.request.get("direct"), None, "{code}");
        let refused = json!({ "error": "mailbox_full: 1000 messages wait for @peer" });
        sending.answer(&put, refused).await;
        let error = end(send).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "1000 messages wait for @peer (mailbox_full)",
            "{code}"
        );
        let SendError::Mailbox { message_id, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(message["message_id"], message_id.as_str());
    }
    // Whatever will not change later fails, and so does what a registry cannot keep.
    for (from, code, expected) in [
        ("acct_peer", "expired", "delivery_rejected expired: why"),
        ("acct_registry_a", "mailbox_sender_full", "why (mailbox_sender_full)"),
    ] {
        let send = spawn(sending.message());
        let message = sending.received().await;
        let rejected = json!({ "status": "rejected", "code": code, "detail": "why" });
        sending.receipt(&message, from, rejected).await;
        assert_eq!(end(send).await.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn a_late_receipt_wins_over_the_mailbox() {
    let mut sending = Sending::with_receipt_timeout(SHORT_TIMEOUT).await;
    let send = spawn(sending.message());
    let message = sending.received().await;
    let _unanswered = sending.put().await;
    sending
        .receipt(&message, "acct_peer", json!({ "status": "accepted" }))
        .await;
    assert_eq!(end(send).await.unwrap().delivery, MailboxDelivery::Delivered);
    // Nothing waits, as far as the node knows: the next one is published.
    let send = spawn(sending.message());
    let message = sending.received().await;
    sending
        .receipt(&message, "acct_peer", json!({ "status": "processed" }))
        .await;
    assert_eq!(end(send).await.unwrap().delivery, MailboxDelivery::Delivered);
}

#[tokio::test]
async fn a_sender_may_wait_for_the_end_of_the_handling() {
    let mut sending = Sending::start().await;
    let processed = |sending: &Sending| sending.message().until(Until::Processed).processing_timeout(DEADLINE);
    // From the mailbox, after an attempt that failed.
    let send = spawn(processed(&sending));
    let message = sending.received().await;
    assert_eq!(message["mailbox"], json!({ "ack": "processed" }));
    let queued = json!({ "status": "queued", "detail": "it waits" });
    sending.receipt(&message, "acct_registry_a", queued.clone()).await;
    let failed = json!({ "status": "rejected", "code": "handler_error", "detail": "failed" });
    for receipt in [
        json!({ "status": "accepted" }),
        failed,
        json!({ "status": "processed" }),
    ] {
        sending.receipt(&message, "acct_peer", receipt).await;
    }
    assert_eq!(end(send).await.unwrap().delivery, MailboxDelivery::Delivered);

    // It is given up.
    let send = spawn(processed(&sending));
    let message = sending.received().await;
    sending.receipt(&message, "acct_registry_a", queued.clone()).await;
    let dead = json!({ "status": "rejected", "code": "mailbox_dead", "detail": "expired: too late" });
    sending.receipt(&message, "acct_registry_a", dead).await;
    let error = end(send).await.unwrap_err();
    assert_eq!(error.to_string(), "expired: too late (mailbox_dead)");

    // It waits for longer than the sender.
    let send = spawn(processed(&sending).processing_timeout(SHORT_TIMEOUT));
    let message = sending.received().await;
    sending.receipt(&message, "acct_registry_a", queued).await;
    assert_eq!(detail(&end(send).await.unwrap().delivery), "it waits");

    // Accepted live, and given back when the receiver is closed.
    let other = sending.node.send_to_account("acct_other", "hi").mailbox(DAY);
    let mut others = sending.net.raw.subscribe("account.acct_other.inbox").await.unwrap();
    sending.net.settle().await;
    let send = spawn(other.until(Until::Processed).processing_timeout(DEADLINE));
    let message = futures::StreamExt::next(&mut others).await.unwrap();
    let message = crate::net::parse(&message.payload);
    sending
        .receipt(&message, "acct_other", json!({ "status": "accepted" }))
        .await;
    let closed = json!({ "status": "rejected", "code": "shutting_down", "detail": "agent is shutting down" });
    sending.receipt(&message, "acct_other", closed).await;
    let put = sending.put().await;
    assert_eq!(put.request["envelope"], message);
    sending
        .answer(
            &put,
            json!({ "message_id": message["message_id"], "state": "delivered" }),
        )
        .await;
    assert_eq!(end(send).await.unwrap().delivery, MailboxDelivery::Delivered);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_published() {
    let sending = Sending::start().await;
    let wire = sending.net.capture(">").await;
    for send in [
        sending.node.send_to_capability("build", "hi").mailbox(DAY),
        sending.message().kind("request"),
    ] {
        let error = send.await.unwrap_err();
        assert!(error.to_string().ends_with("(mailbox_not_storable)"), "{error}");
    }
    sending.net.settle().await;
    let is_message = |subject: &str| subject == INBOX || subject.starts_with("agent.");
    assert!(!wire.messages().iter().any(|seen| is_message(&seen.subject)));
}

#[tokio::test]
async fn a_send_that_does_not_ask_takes_queued_for_no_receipt() {
    let mut sending = Sending::start().await;
    let plain = sending.node.send_to_account("acct_peer", "hi").retry_attempts(0);
    let send = tokio::spawn(plain.into_future());
    let message = sending.received().await;
    assert_eq!(message.get("mailbox"), None);
    sending
        .receipt(&message, "acct_registry_a", json!({ "status": "queued" }))
        .await;
    let error = tokio::time::timeout(DEADLINE, send)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(
        error.to_string().starts_with("delivery_ack_unusable status=queued"),
        "{error}"
    );
}

#[tokio::test]
async fn a_network_without_a_registry_that_keeps_messages_says_so() {
    let Net { nats, raw, registry } = Net::start().await;
    let agent = crate::net::agent(&nats.url(), "alice").limits(|limits| limits.receipt_timeout = SHORT_TIMEOUT);
    let node = agent.start().await.unwrap();
    drop(registry);
    let error = node.send_to_account("acct_peer", "hi").mailbox(DAY).await.unwrap_err();
    let SendError::Mailbox { code, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(code, "mailbox_unsupported", "{error}");
    drop(raw);
}
