//! What becomes of a message that was accepted.

use std::time::Duration;

use agentnet_testkit::Captured;
use serde_json::json;

use crate::guards::harness::*;
use crate::net::{DEADLINE, Net, parse};

#[tokio::test]
async fn worker_outcomes() {
    let harness = Harness::start(|limits| limits.work_timeout = Duration::from_millis(200)).await;
    let failed = ("handler_error", "handler raised an exception");
    for (what, (code, detail)) in [
        ("fail", failed),
        ("panic", failed),
        ("reply and fail", failed),
        ("hang", ("timeout", "handler timed out")),
    ] {
        let message = message(what, what);
        harness.post(what, &message).await;
        harness.expect_receipt(&message, "accepted", None).await;
        harness.expect_receipt(&message, "rejected", Some((code, detail))).await;
        let subject = reply_subject(what);
        let is_error = |seen: &Captured| seen.subject == subject && parse(&seen.payload)["kind"] == "error";
        let reply = parse(&harness.wait(is_error).await.payload);
        check_error_reply(&harness.node, &message, &reply, code, detail);
    }
    let replies = harness.wire.messages();
    let replies = replies
        .iter()
        .filter(|seen| seen.subject == reply_subject("reply and fail"));
    let kinds: Vec<_> = replies.map(|seen| parse(&seen.payload)["kind"].clone()).collect();
    assert_eq!(kinds, ["reply", "error"], "an error reply follows even an answer");

    let ok = message("ok", "reply");
    harness.post("ok", &ok).await;
    harness.processed(&ok).await;
    let reply = harness.reply("ok").await;
    assert_eq!(
        (&reply["kind"], &reply["payload"]),
        (&json!("reply"), &json!("an answer"))
    );
    let statuses: Vec<_> = harness
        .receipts("ok")
        .iter()
        .map(|receipt| receipt["status"].clone())
        .collect();
    assert_eq!(statuses, ["accepted", "processed"]);

    harness.when("all done", |metrics| metrics.inflight_count == 0).await;
    let metrics = harness.node.metrics_snapshot();
    assert_eq!(
        (metrics.processed_count, metrics.error_count, metrics.timeout_count),
        (1, 3, 1)
    );
    assert_eq!((metrics.dropped_count, metrics.pending_count), (0, 0));
    assert!(metrics.avg_handle_ms >= 200.0 / 5.0, "{}", metrics.avg_handle_ms);
    let json = parse(metrics.to_json().as_bytes());
    assert_eq!(json["error_count"], 3);
    assert_eq!(json["account_id"], "acct_bob");
    assert_eq!(json["circuit_open"], false);
}

#[tokio::test]
async fn a_panic_before_the_first_await_is_a_handler_error_too() {
    let net = Net::start().await;
    let wire = net.capture("account.acct_peer.receipts").await;
    let node = net
        .agent("bob")
        .limits(|limits| limits.max_concurrency = 1)
        .on_message(|message, _| {
            assert!(*message.message_id != *"bad", "told to panic");
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    net.publish(INBOX, &message("bad", "")).await;
    net.publish(INBOX, &message("good", "")).await;
    let last = |seen: &Captured| {
        let receipt = parse(&seen.payload);
        receipt["message_id"] == "good" && receipt["status"] == "processed"
    };
    wire.wait_for(last, DEADLINE).await.expect("the only worker lives on");
    assert_eq!(node.metrics_snapshot().error_count, 1);
}

/// The receipt `accepted` of a request may wait for the reply, and stays before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_accepted_then_answered_then_processed() {
    const REQUESTS: usize = 100;
    let harness = Harness::start(|limits| limits.max_concurrency = 16).await;
    for number in 0..REQUESTS {
        let label = format!("r{number}");
        harness.post(&label, &message(&label, "reply")).await;
    }
    let processed =
        |seen: &Captured| seen.subject == "account.acct_peer.receipts" && parse(&seen.payload)["status"] == "processed";
    let all = agentnet_testkit::eventually_true(DEADLINE, "all are processed", async || {
        harness.wire.messages().iter().filter(|seen| processed(seen)).count() == REQUESTS
    });
    all.await.unwrap();
    let seen = harness.wire.messages();
    for number in 0..REQUESTS {
        let label = format!("r{number}");
        let said: Vec<String> = seen
            .iter()
            .filter_map(|seen| {
                let body = || parse(&seen.payload);
                if seen.subject == reply_subject(&label) {
                    return Some("answered".to_owned());
                }
                let is_receipt = seen.subject == "account.acct_peer.receipts" && body()["message_id"] == *label;
                is_receipt.then(|| body()["status"].as_str().unwrap().to_owned())
            })
            .collect();
        assert_eq!(said, ["accepted", "answered", "processed"], "{label}");
    }

    // Nothing is published while its handler waits but the receipt.
    let waits = message("waits", "wait");
    harness.post("waits", &waits).await;
    harness.expect_receipt(&waits, "accepted", None).await;
    harness.gate.add_permits(1);
    harness.expect_receipt(&waits, "processed", None).await;
}
