//! Acknowledged sends: what every kind of receipt, and none, leads to.

use std::time::{Duration, Instant};

use agentnet::SendError;
use serde_json::json;

use crate::delivery::harness::*;
use crate::net::{DEADLINE, now, parse};

#[tokio::test]
async fn accepted_or_processed_is_delivered() {
    for status in ["accepted", "processed", " ACCEPTED ", "Processed"] {
        let harness = Harness::start(move |_, message| {
            // The first receipt decides; what comes later is ignored.
            vec![
                receipt(message, status),
                rejected(message, "timeout", "handler timed out"),
            ]
        })
        .await;
        let sent = harness
            .node
            .send_to_account("acct_peer", "hi")
            .thread("t1")
            .await
            .unwrap();
        let published = harness.published(1).await;
        assert_eq!(published[0].reply, None);
        let message = parse(&published[0].payload);
        assert_eq!(message["message_id"], sent.message_id.as_str());
        assert_eq!(
            (message["thread_id"].as_str(), sent.thread_id.as_str()),
            (Some("t1"), "t1")
        );
        assert_eq!(message["trace_id"], sent.trace_id.as_str());
        let metrics = harness.node.metrics_snapshot();
        assert_eq!((metrics.retry_count, metrics.receipt_timeout_count), (0, 0));
        assert_eq!(metrics.send_account.count, 1);
    }
}

#[tokio::test]
async fn a_rejection_fails_at_once() {
    let harness = Harness::start(|number, message| match number {
        1 => vec![rejected(message, "busy", "agent backlog is full")],
        2 => vec![receipt(message, "rejected")],
        _ => vec![rejected(
            message,
            " Duplicate ",
            "message_id has already been processed",
        )],
    })
    .await;
    let error = harness.node.send_to_account("acct_peer", "hi").await.unwrap_err();
    assert_eq!(error.to_string(), "delivery_rejected busy: agent backlog is full");
    assert!(matches!(error, SendError::Rejected { .. }));
    // No retry.
    harness.published(1).await;
    let error = harness.node.send_to_account("acct_peer", "hi").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "delivery_rejected rejected: delivery rejected by recipient"
    );
    harness
        .node
        .send_to_account("acct_peer", "hi")
        .await
        .expect("a duplicate has been delivered before");
    harness.published(3).await;
    assert_eq!(harness.node.metrics_snapshot().send_account.count, 1);
}

#[tokio::test]
async fn a_lost_receipt_is_made_good_by_the_retry() {
    let harness = Harness::start(|number, message| match number {
        1 => vec![],
        _ => vec![rejected(message, "duplicate", "message_id has already been processed")],
    })
    .await;
    let sent = harness
        .node
        .send_to_account("acct_peer", "hi")
        .receipt_timeout(RETRY_TIMEOUT)
        .await
        .unwrap();
    let published = harness.published(2).await;
    assert_eq!(published[0].payload, published[1].payload);
    assert_eq!(parse(&published[0].payload)["message_id"], sent.message_id.as_str());
    let metrics = harness.node.metrics_snapshot();
    assert_eq!((metrics.retry_count, metrics.receipt_timeout_count), (1, 1));
}

#[tokio::test]
async fn an_unusable_receipt_leads_to_the_next_attempt() {
    let harness = Harness::start(|number, message| match number {
        1 | 3 => vec![receipt(message, "perhaps")],
        2 => vec![receipt(message, "accepted")],
        _ => vec![receipt(message, "")],
    })
    .await;
    harness.node.send_to_account("acct_peer", "hi").await.unwrap();
    harness.published(2).await;
    let error = harness
        .node
        .send_to_account("acct_peer", "hi")
        .retry_attempts(0)
        .await
        .unwrap_err();
    let id = parse(&harness.published(3).await[2].payload)["message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        error.to_string(),
        format!("delivery_ack_unusable status=perhaps message_id={id}")
    );
    let error = harness.node.send_to_account("acct_peer", "hi").await.unwrap_err();
    // Three attempts.
    let id = parse(&harness.published(6).await[3].payload)["message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        error.to_string(),
        format!("delivery_ack_unusable status=unknown message_id={id}")
    );
}

#[tokio::test]
async fn no_receipt_times_out_after_the_retries() {
    let harness = Harness::start(|_, message| {
        // None of these is this message's receipt.
        let other = json!({ "message_id": "other", "status": "accepted", "event_at": now() });
        let nameless = json!({ "status": "accepted", "of": message["message_id"] });
        vec![other, nameless, json!("accepted"), json!(7)]
    })
    .await;
    let started = Instant::now();
    let error = harness
        .node
        .send_to_account("acct_peer", "hi")
        .receipt_timeout(SHORT_TIMEOUT)
        .await
        .unwrap_err();
    // Three waits and two pauses: what is shorter did not wait.
    assert!(started.elapsed() >= SHORT_TIMEOUT * 3 + Duration::from_millis(300));
    let published = harness.published(3).await;
    assert!(
        published.iter().all(|seen| seen.payload == published[0].payload),
        "the same bytes each time"
    );
    let id = parse(&published[0].payload)["message_id"].as_str().unwrap().to_owned();
    assert_eq!(
        error.to_string(),
        format!("delivery_ack_timeout message_id={id} attempts=3")
    );
    let metrics = harness.node.metrics_snapshot();
    assert_eq!(
        (
            metrics.retry_count,
            metrics.receipt_timeout_count,
            metrics.send_account.count
        ),
        (2, 3, 0)
    );

    let error = harness
        .node
        .send_to_account("acct_peer", "hi")
        .retry_attempts(0)
        .receipt_timeout(SHORT_TIMEOUT)
        .await;
    assert!(error.unwrap_err().to_string().ends_with("attempts=1"));
    harness.published(4).await;
}

#[tokio::test]
async fn without_ack_returns_after_the_publish() {
    let harness = Harness::start(|_, _| vec![]).await;
    let sent = harness
        .node
        .send_to_account("acct_peer", json!({ "a": 1 }))
        .without_ack()
        .await
        .unwrap();
    let seen = harness
        .wire
        .wait_for(|seen| seen.subject == INBOX, DEADLINE)
        .await
        .unwrap();
    assert_eq!(parse(&seen.payload)["message_id"], sent.message_id.as_str());
    let metrics = harness.node.metrics_snapshot();
    assert_eq!((metrics.retry_count, metrics.receipt_timeout_count), (0, 0));
}
