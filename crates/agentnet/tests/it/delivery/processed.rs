//! Sends that wait until the receiver's handler has finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentnet::{AgentNode, SendError, Until};
use tokio::sync::Notify;

use crate::delivery::harness::*;
use crate::net::{DEADLINE, Net, generous};

#[tokio::test]
async fn the_last_receipt_decides() {
    let accepted_then = |status: &'static str| {
        Harness::start(move |_, message| {
            let last = match status {
                "rejected" => rejected(message, "handler_error", "handler raised an exception"),
                status => receipt(message, status),
            };
            vec![receipt(message, "accepted"), receipt(message, "accepted"), last]
        })
    };
    let harness = accepted_then("processed").await;
    let send = |harness: &Harness| harness.node.send_to_account("acct_peer", "hi").until(Until::Processed);
    send(&harness).await.unwrap();
    harness.published(1).await;

    let harness = accepted_then("rejected").await;
    let error = send(&harness).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not_processed handler_error: handler raised an exception"
    );
    assert!(error.was_accepted());
    // What was accepted is not repeated.
    harness.published(1).await;

    let harness = accepted_then("accepted").await;
    let error = send(&harness).processing_timeout(SHORT_TIMEOUT).await.unwrap_err();
    assert!(matches!(&error, SendError::ProcessingTimeout { timeout, .. } if *timeout == SHORT_TIMEOUT));
    assert!(
        error.to_string().starts_with("processing_timeout message_id="),
        "{error}"
    );

    let harness = Harness::start(|_, message| vec![rejected(message, "busy", "agent backlog is full")]).await;
    let error = send(&harness).await.unwrap_err();
    assert_eq!(error.to_string(), "delivery_rejected busy: agent backlog is full");
    assert!(!error.was_accepted());
}

#[tokio::test]
async fn a_lost_acceptance_does_not_lose_the_end() {
    // The receiver has it already when the retry comes, and finishes later; or finishes before anything else is heard.
    for last in ["processed", "accepted first, then processed"] {
        let harness = Harness::start(move |number, message| match (number, last) {
            (1, _) => vec![],
            (_, "processed") => vec![receipt(message, "processed")],
            _ => vec![
                rejected(message, "duplicate", "message_id has already been processed"),
                receipt(message, "processed"),
            ],
        })
        .await;
        let send = harness
            .node
            .send_to_account("acct_peer", "hi")
            .receipt_timeout(RETRY_TIMEOUT);
        send.until(Until::Processed).await.unwrap();
        harness.published(2).await;
    }
}

/// A receiver that handles an order only when it is let go, and fails so many of them; everything else it handles at once.
async fn receiver(net: &Net, fails: usize, go: &Arc<Notify>) -> AgentNode {
    let (go, orders) = (Arc::clone(go), Arc::new(AtomicUsize::new(0)));
    net.agent("peer")
        .limits(generous)
        .on_message(move |message, _| {
            let (go, orders) = (Arc::clone(&go), Arc::clone(&orders));
            async move {
                if message.text().as_deref() == Some("order") {
                    go.notified().await;
                    if orders.fetch_add(1, Ordering::SeqCst) < fails {
                        return Err("not today".into());
                    }
                }
                Ok(())
            }
        })
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_send_ends_with_the_handler_and_a_failed_one_is_handled_again_when_sent_again() {
    let net = Net::start().await;
    let go = Arc::new(Notify::new());
    let _receiver = receiver(&net, 1, &go).await;
    let alice = net.agent("alice").limits(generous).start().await.unwrap();
    let send = |text: &str| alice.send_to_account("acct_peer", text).until(Until::Processed);
    let order = || send("order").idempotency_key("order_1");
    let mut waiting = tokio::spawn(order().into_future());
    // Others pass it.
    send("other").await.unwrap();
    assert!(!waiting.is_finished(), "accepted is not processed");
    go.notify_one();
    let error = tokio::time::timeout(DEADLINE, &mut waiting).await.unwrap().unwrap();
    assert!(matches!(error, Err(SendError::NotProcessed { .. })), "{error:?}");
    // The failed order is forgotten, and handled again; one that was handled is not.
    go.notify_one();
    order().await.unwrap();
    let error = order().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "delivery_rejected duplicate: idempotency_key has already been processed"
    );
    // Who waits for the acceptance alone takes that for a success.
    order().until(Until::Accepted).await.unwrap();
}

#[tokio::test]
async fn closing_the_sender_ends_its_wait() {
    let net = Net::start().await;
    let _receiver = receiver(&net, 0, &Arc::new(Notify::new())).await;
    let alice = net.agent("alice").limits(generous).start().await.unwrap();
    let send = |text: &str| alice.send_to_account("acct_peer", text).until(Until::Processed);
    let waiting = tokio::spawn(send("order").processing_timeout(Duration::MAX).into_future());
    send("other").await.unwrap();
    alice.close().await;
    let error = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_eq!(error.unwrap_err(), SendError::NotRunning);
}
