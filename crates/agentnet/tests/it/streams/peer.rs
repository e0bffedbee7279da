//! A peer that speaks raw NATS: it hears requests, and the test plays its answers.

use agentnet::AgentNode;
use agentnet::protocol::Timestamp;
use agentnet::protocol::stream::StreamWriter;
use agentnet::{RawJson, json};
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use serde_json::Value;

use crate::net::{DEADLINE, Net, from_now, now, parse};

/// When its streams begin and end.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(0);

/// The peer's inbox: account `acct_peer`.
pub(crate) const INBOX: &str = "account.acct_peer.inbox";

/// A network with a node `alice` and the peer.
pub(crate) struct Harness {
    pub(crate) net: Net,
    pub(crate) alice: AgentNode,
    inbox: Subscriber,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        let net = Net::start().await;
        let inbox = net.raw.subscribe(INBOX).await.unwrap();
        net.settle().await;
        let alice = net.agent("alice").start().await.unwrap();
        Self { net, alice, inbox }
    }

    /// The next request that comes to the peer.
    pub(crate) async fn asked(&mut self) -> Asked {
        let message = tokio::time::timeout(DEADLINE, self.inbox.next())
            .await
            .expect("a request")
            .unwrap();
        Asked {
            client: self.net.raw.clone(),
            reply: message.reply.expect("a reply subject").to_string(),
            request: parse(&message.payload),
        }
    }
}

/// A request that the peer has heard.
pub(crate) struct Asked {
    pub(crate) client: Client,
    pub(crate) reply: String,
    pub(crate) request: Value,
}

impl Asked {
    /// Publishes a message of this kind as the reply.
    pub(crate) async fn answer(&self, kind: &str, payload: &RawJson) {
        let id = format!("{:032x}", rand::random::<u128>());
        let mut message = json!({
            "message_id": id, "from_agent": "peer", "to_agent": self.request["from_account_id"],
            "payload": null, "sent_at": now(), "kind": kind, "schema_version": "1.1",
            "from_account_id": "acct_peer", "ttl_ms": 30_000, "expires_at": from_now(30_000),
            "trace_id": self.request["trace_id"], "thread_id": self.request["thread_id"],
            "parent_message_id": self.request["message_id"],
        });
        message["payload"] = serde_json::from_str(payload.get()).unwrap();
        let body = message.to_string().into();
        self.client.publish(self.reply.clone(), body).await.unwrap();
    }

    pub(crate) async fn frame(&self, payload: &RawJson) {
        self.answer("stream", payload).await;
    }

    pub(crate) async fn frames(&self, payloads: &[RawJson]) {
        for payload in payloads {
            self.frame(payload).await;
        }
    }
}

/// The payloads of a stream `s1` with these texts.
pub(crate) fn payloads(texts: &[&str]) -> Vec<RawJson> {
    let mut writer = StreamWriter::new("s1");
    let mut payloads = vec![writer.start(None, NOW)];
    payloads.extend(texts.iter().map(|text| writer.text(text)));
    payloads.push(writer.end(None, NOW));
    payloads
}
