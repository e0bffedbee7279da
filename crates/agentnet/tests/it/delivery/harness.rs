//! The node `alice`, and a receiver that the test plays itself.

use std::time::Duration;

use agentnet::AgentNode;
use agentnet_testkit::{Capture, Captured, RawClient};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::net::{DEADLINE, Net, now, parse};

pub(crate) const INBOX: &str = "account.acct_peer.inbox";

/// A receipt timeout for a receipt that never comes.
pub(crate) const SHORT_TIMEOUT: Duration = Duration::from_millis(200);

/// A receipt timeout for a test in which the first receipt is lost and the second must arrive.
pub(crate) const RETRY_TIMEOUT: Duration = Duration::from_secs(3);

/// The node `alice`, and a receiver `acct_peer` that answers every message with the receipts that a function says. `alice`
/// waits for receipts as long as for everything that must happen.
pub(crate) struct Harness {
    pub(crate) net: Net,
    pub(crate) node: AgentNode,
    pub(crate) wire: Capture,
    pub(crate) receiver: JoinHandle<()>,
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

impl Harness {
    /// `receipts` gets the number of the publish (from 1) and the message.
    pub(crate) async fn start(receipts: impl Fn(usize, &Value) -> Vec<Value> + Send + 'static) -> Self {
        let net = Net::start().await;
        let wire = net.capture(">").await;
        let client = RawClient::connect(&net.nats.url()).await.unwrap();
        let mut messages = client.subscribe(INBOX).await.unwrap();
        crate::net::settle(&client).await;
        let receiver = tokio::spawn(async move {
            let mut number = 0;
            while let Some(message) = messages.next().await {
                number += 1;
                for receipt in receipts(number, &parse(&message.payload)) {
                    let body = receipt.to_string().into();
                    client.publish("account.acct_alice.receipts", body).await.unwrap();
                }
            }
        });
        let alice = net.agent("alice").limits(|limits| limits.receipt_timeout = DEADLINE);
        let node = alice.start().await.unwrap();
        Self {
            net,
            node,
            wire,
            receiver,
        }
    }

    /// What `alice` has published to the peer so far, all of it, which must be so many messages.
    pub(crate) async fn published(&self, count: usize) -> Vec<Captured> {
        // On her connection this comes behind all that she has published.
        let fence = self.node.send_to_capability("fence", "").without_ack().await.unwrap();
        let is_fence = |seen: &Captured| {
            seen.subject == "agent.capability.fence" && parse(&seen.payload)["message_id"] == fence.message_id.as_str()
        };
        self.wire.wait_for(is_fence, DEADLINE).await.unwrap();
        let all = self.wire.messages();
        let published: Vec<_> = all.into_iter().filter(|seen| seen.subject == INBOX).collect();
        assert_eq!(published.len(), count);
        published
    }
}

pub(crate) fn receipt(message: &Value, status: &str) -> Value {
    json!({ "message_id": message["message_id"], "status": status, "event_at": now() })
}

pub(crate) fn rejected(message: &Value, code: &str, detail: &str) -> Value {
    let mut receipt = receipt(message, "rejected");
    receipt["code"] = json!(code);
    receipt["detail"] = json!(detail);
    receipt
}
