//! The node `alice`, and a receiver that the test plays itself.

use std::time::Duration;

use agentnet::AgentNode;
use agentnet_testkit::{Capture, Captured, RawClient};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::net::{Net, now, parse};

pub(crate) const INBOX: &str = "account.acct_peer.inbox";

/// The shortest wait for a receipt.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// The node `alice`, and a receiver `acct_peer` that answers every message with the receipts that a function says.
pub(crate) struct Bench {
    pub(crate) net: Net,
    pub(crate) node: AgentNode,
    pub(crate) wire: Capture,
    pub(crate) receiver: JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

impl Bench {
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
        let node = net.agent("alice").start().await.unwrap();
        Self {
            net,
            node,
            wire,
            receiver,
        }
    }

    pub(crate) fn published(&self) -> Vec<Captured> {
        let all = self.wire.messages();
        all.into_iter().filter(|seen| seen.subject == INBOX).collect()
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
