//! The order of the messages that one node leaves for one account (section 21.2, step 4).

use std::time::Duration;

use agentnet::Until;
use agentnet_testkit::{Capture, eventually_true};
use serde_json::{Value, json};

use crate::mailbox::scripted::*;
use crate::net::{DEADLINE, parse};

const SHORT_TIMEOUT: Duration = Duration::from_millis(200);

/// The requests to keep a message that the node has sent so far, including those of all sends that were polled.
async fn puts(sending: &Sending, wire: &Capture) -> Vec<Value> {
    let number = wire.messages().len();
    sending
        .node
        .send_to_account(format!("acct_fence{number}"), "fence")
        .without_ack()
        .await
        .unwrap();
    let fence = format!("account.acct_fence{number}.inbox");
    wire.wait_for(|seen| seen.subject == fence, DEADLINE).await.unwrap();
    let messages = wire.messages();
    let puts = messages.iter().filter(|seen| seen.subject == "registry.mailbox_put");
    puts.map(|seen| parse(&seen.payload)["envelope"]["payload"]["text"].clone())
        .collect()
}

fn message(sending: &Sending, text: &str) -> agentnet::MailboxSend {
    sending
        .node
        .send_to_account("acct_peer", json!({ "text": text }))
        .mailbox(DAY)
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number:02}")).collect()
}

async fn queue_first(sending: &mut Sending) {
    let first = spawn(message(sending, "first"));
    let received = sending.received().await;
    sending
        .receipt(&received, "acct_registry_a", json!({ "status": "queued" }))
        .await;
    assert!(end(first).await.unwrap().is_queued());
}

#[tokio::test]
async fn concurrent_sends_are_put_one_after_another_in_the_order_of_their_calls() {
    let mut sending = Sending::start().await;
    queue_first(&mut sending).await;
    let wire = sending.net.capture(">").await;
    let texts = texts(20);
    let sends: Vec<_> = texts.iter().map(|text| spawn(message(&sending, text))).collect();
    for (number, text) in texts.iter().enumerate() {
        let put = sending.put().await;
        assert_eq!(put.request["envelope"]["payload"]["text"], text.as_str());
        assert_eq!(puts(&sending, &wire).await, texts[..=number], "the reply is waited for");
        sending.keep(&put).await;
    }
    for send in sends {
        assert!(end(send).await.unwrap().is_queued());
    }
}

/// The first of three finds that nothing waits any more: the others follow it to the inbox.
#[tokio::test]
async fn concurrent_sends_are_published_in_their_order_when_nothing_waits_any_more() {
    let mut sending = Sending::start().await;
    queue_first(&mut sending).await;
    let sends: Vec<_> = texts(3).iter().map(|text| spawn(message(&sending, text))).collect();
    let put = sending.put().await;
    sending
        .answer(&put, json!({ "message_id": "m", "state": "live", "position": null }))
        .await;
    for text in texts(3) {
        let received = sending.received().await;
        assert_eq!(received["payload"]["text"], text.as_str());
        sending
            .receipt(&received, "acct_peer", json!({ "status": "accepted" }))
            .await;
    }
    for send in sends {
        assert!(!end(send).await.unwrap().is_queued());
    }
}

#[tokio::test]
async fn messages_without_a_receipt_are_put_in_the_order_in_which_they_were_published() {
    let mut sending = Sending::with_receipt_timeout(SHORT_TIMEOUT).await;
    let wire = sending.net.capture(">").await;
    let texts = texts(5);
    let sends: Vec<_> = texts.iter().map(|text| spawn(message(&sending, text))).collect();
    eventually_true(DEADLINE, "none has a receipt", async || {
        sending.node.metrics_snapshot().receipt_timeout_count == 5
    })
    .await
    .unwrap();
    // What is sent now stays behind them.
    let last = spawn(message(&sending, "last"));
    for (number, text) in texts.iter().enumerate() {
        let put = sending.put().await;
        assert_eq!(put.request["envelope"]["payload"]["text"], text.as_str());
        assert_eq!(puts(&sending, &wire).await, texts[..=number], "the reply is waited for");
        sending.keep(&put).await;
    }
    let put = sending.put().await;
    assert_eq!(put.request["envelope"]["payload"]["text"], "last");
    assert_eq!(put.request["direct"], true, "it was not published");
    sending.keep(&put).await;
    for send in sends.into_iter().chain([last]) {
        assert!(end(send).await.unwrap().is_queued());
    }
}

#[tokio::test]
async fn what_is_sent_while_a_queued_message_is_waited_for_is_put_behind_it() {
    let mut sending = Sending::start().await;
    let processed = message(&sending, "first")
        .until(Until::Processed)
        .processing_timeout(DEADLINE);
    let first = spawn(processed);
    let received = sending.received().await;
    // The receipts come in this order.
    for (from, status) in [("acct_registry_a", "queued"), ("acct_peer", "seen")] {
        sending.receipt(&received, from, json!({ "status": status })).await;
    }
    sending.net.settle().await;
    // The node has read the receipt when it has the reply to a later request.
    let status = sending.node.mailbox_status().await;
    drop(status);
    let second = spawn(message(&sending, "second"));
    let put = sending.put().await;
    assert_eq!(put.request["direct"], true);
    sending.keep(&put).await;
    assert!(end(second).await.unwrap().is_queued());
    // A send that is dropped leaves its message there.
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let third = spawn(message(&sending, "third"));
    let put = sending.put().await;
    assert_eq!(put.request["direct"], true);
    sending.keep(&put).await;
    assert!(end(third).await.unwrap().is_queued());
}
