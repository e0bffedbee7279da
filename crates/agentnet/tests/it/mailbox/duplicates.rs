//! A message of the mailbox that the session handles already, since it was published too (section 21.4).

use std::sync::Arc;

use agentnet::AgentNode;
use agentnet_testkit::{Capture, Captured, eventually_true};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::mailbox::returning::{by_id, failing};
use crate::mailbox::scripted::*;
use crate::net::{DEADLINE, Net, parse};

/// The node `bob`, which handles `first`, published by `alice`, and waits for the gate.
struct Handling {
    net: Net,
    mailbox: Mailbox,
    bob: AgentNode,
    gate: Arc<Semaphore>,
    receipts: Capture,
}

/// A message of `alice` that counts as delivered when it is processed.
fn processed(id: &str) -> Value {
    let mut message = waiting(id, "alice", json!({ "ack": "processed" }));
    message["idempotency_key"] = json!("once");
    message
}

impl Handling {
    async fn start(failing_id: &'static str) -> Self {
        let net = Net::start().await;
        let mailbox = Mailbox::start(&net).await;
        let receipts = net.capture("account.*.receipts").await;
        let gate = Arc::new(Semaphore::new(0));
        let bob = failing(net.agent("bob"), failing_id, &gate).start().await.unwrap();
        net.publish("account.acct_bob.inbox", &processed("first")).await;
        let handling = Self {
            net,
            mailbox,
            bob,
            gate,
            receipts,
        };
        handling.receipt("first", "accepted").await;
        handling
    }

    async fn receipt(&self, id: &str, status: &str) -> Value {
        let is_it = |seen: &Captured| {
            let receipt = parse(&seen.payload);
            receipt["message_id"] == id && receipt["status"] == status
        };
        parse(&self.receipts.wait_for(is_it, DEADLINE).await.unwrap().payload)
    }

    /// Leaves a message in the mailbox, and returns when the session has it. Its lease has not ended then.
    async fn lease(&self, message: Value) {
        let leased = self.mailbox.leased() + 2;
        self.mailbox
            .add([message, waiting(&format!("fence{leased}"), "carol", json!(true))]);
        self.event().await;
        eventually_true(DEADLINE, "it is leased", async || self.mailbox.leased() == leased)
            .await
            .unwrap();
        // That of the other sender is accepted.
        let acks = self.mailbox.acks(leased / 2).await;
        assert!(acks.iter().all(|ack| ack.0.starts_with("fence")), "{acks:?}");
    }

    async fn event(&self) {
        self.net
            .publish(
                "agentnet.events.acct_bob.mailbox",
                &json!({
                    "event": "queued", "message_id": "m", "from_account_id": "acct_alice", "at": "", "attempt": 0,
                }),
            )
            .await;
    }

    /// The acknowledgements, without those of the other sender.
    async fn acks(&self, count: usize) -> Vec<Value> {
        let mut acks = by_id(self.mailbox.acks(count + self.mailbox.leased() / 2).await);
        acks.retain(|ack| !ack[0].as_str().unwrap().starts_with("fence"));
        acks
    }

    async fn end(self) {
        self.gate.add_permits(100);
        self.bob.close().await;
    }
}

#[tokio::test]
async fn a_message_whose_published_copy_fails_is_not_lost() {
    let handling = Handling::start("first").await;
    handling.lease(processed("first")).await;
    // Another message with the key of this one, which was not tried.
    handling.lease(processed("other")).await;
    handling.gate.add_permits(1);
    assert_eq!(
        handling.acks(2).await,
        [
            json!(["first", "retry", "handler_error", 5000]),
            // Behind the first in the same session.
            json!(["other", "retry", "out_of_order", 5000]),
        ]
    );
    handling.end().await;
}

#[tokio::test]
async fn a_message_whose_published_copy_is_processed_is_delivered() {
    let handling = Handling::start("none").await;
    handling.lease(processed("first")).await;
    handling.gate.add_permits(1);
    assert_eq!(handling.acks(1).await, [json!(["first", "done", null, null])]);
    handling.receipt("first", "processed").await;
    // Also when it comes later.
    handling.mailbox.add([processed("first")]);
    handling.event().await;
    let later = handling.mailbox.acks(3).await;
    assert_eq!((later[2].0.as_str(), later[2].1.as_str()), ("first", "done"));
    handling.end().await;
}

#[tokio::test]
async fn a_message_with_the_key_of_one_that_is_handled_ends_as_that_one_does() {
    let handling = Handling::start("none").await;
    handling.lease(processed("other")).await;
    handling.gate.add_permits(1);
    assert_eq!(handling.acks(1).await, [json!(["other", "done", null, null])]);
    assert_eq!(handling.receipt("other", "rejected").await["code"], "duplicate");
    handling.end().await;

    let handling = Handling::start("first").await;
    handling.lease(processed("other")).await;
    handling.gate.add_permits(1);
    assert_eq!(handling.acks(1).await, [json!(["other", "retry", "busy", 1000])]);
    handling.end().await;
}
