//! What the tests of mailboxes do as senders and receivers.

use std::time::{Duration, SystemTime};

use agentnet_protocol::Timestamp;
use agentnet_registry::{RegistryConfig, RegistryHandle};
use agentnet_testkit::{RawClient, eventually};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::support::heard::Heard;
use crate::support::{DEADLINE, Network};

/// A registry that sweeps often.
pub(crate) async fn registry(net: &Network) -> RegistryHandle {
    net.registry_with(config(net)).await
}

pub(crate) fn config(net: &Network) -> RegistryConfig {
    RegistryConfig {
        gc_interval: Duration::from_millis(100),
        ..net.config()
    }
}

/// A registered session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) account_id: String,
    pub(crate) tag: String,
    agent: Value,
}

impl Session {
    /// A session that takes its messages itself, or not.
    pub(crate) async fn join(net: &Network, username: &str, pulls: bool) -> Self {
        let mut agent = json!({"agent_id": format!("{username}_agent"), "username": username});
        if pulls {
            agent["mailbox"] = json!("pull");
        }
        let reply = net.ask("register", agent.clone()).await;
        assert_eq!(reply.get("error"), None, "{reply}");
        let text = |name: &str| reply[name].as_str().unwrap().to_owned();
        agent["account_id"] = reply["account_id"].clone();
        agent["session_tag"] = reply["session_tag"].clone();
        Self {
            account_id: text("account_id"),
            tag: text("session_tag"),
            agent,
        }
    }

    /// An account without a session.
    pub(crate) async fn absent(net: &Network, username: &str) -> Self {
        let session = Self::join(net, username, true).await;
        session.leave(net).await;
        session
    }

    pub(crate) async fn hello(&self, net: &Network) {
        net.publish("registry.hello", &self.agent).await;
    }

    /// Says goodbye. The registries that are asked afterwards have heard it.
    pub(crate) async fn leave(&self, net: &Network) {
        net.publish("registry.goodbye", json!({"session_tag": self.tag})).await;
        eventually(DEADLINE, async || {
            let reply = net.ask("list", json!({})).await;
            match reply.to_string().contains(&self.tag) {
                true => Err(reply),
                false => Ok(()),
            }
        })
        .await
        .unwrap();
    }

    /// A request of this session.
    pub(crate) fn request(&self, mut members: Value) -> Value {
        members["account_id"] = json!(self.account_id);
        members["session_tag"] = json!(self.tag);
        members
    }

    /// Leases messages; the reply.
    pub(crate) async fn lease(&self, net: &Network, members: Value) -> Value {
        let reply = ask(net, "mailbox_lease", self.request(members)).await;
        assert_eq!(reply.get("error"), None, "{reply}");
        reply
    }

    /// Leases messages until there are some.
    pub(crate) async fn lease_some(&self, net: &Network, members: Value) -> Vec<Value> {
        eventually(DEADLINE, async || {
            let reply = self.lease(net, members.clone()).await;
            let messages = reply["messages"].as_array().unwrap().clone();
            if messages.is_empty() { Err(reply) } else { Ok(messages) }
        })
        .await
        .unwrap()
    }

    /// Ends the lease of a message.
    pub(crate) async fn ack(&self, net: &Network, message: &Value, outcome: Value) -> Value {
        let mut ack = outcome;
        ack["lease"] = message["lease"].clone();
        ask(net, "mailbox_ack", self.request(json!({"acks": [ack]}))).await
    }
}

/// A request with a longer deadline than waiting requests need.
pub(crate) async fn ask(net: &Network, rpc: &str, request: Value) -> Value {
    let request = async_nats::Request::new()
        .payload(request.to_string().into())
        .timeout(Some(2 * DEADLINE));
    let reply = net
        .client
        .send_request(format!("registry.{rpc}"), request)
        .await
        .unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

/// A message that is to be kept for a minute.
pub(crate) fn letter(id: &str, from: &str, to: &str) -> Value {
    let now: Timestamp = SystemTime::now().into();
    json!({"message_id": id, "thread_id": format!("t_{id}"), "from_agent": "a", "from_account_id": from, "to_agent": to,
           "to_account_id": to, "kind": "direct", "payload": {"text": format!("text of {id}")},
           "sent_at": now.to_string(), "ttl_ms": 60_000, "mailbox": true})
}

pub(crate) async fn put(net: &Network, envelope: &Value) -> Value {
    ask(net, "mailbox_put", json!({"envelope": envelope})).await
}

/// Publishes a message to the inbox of its receiver.
pub(crate) async fn send(net: &Network, envelope: &Value) {
    let to = envelope["to_account_id"].as_str().unwrap();
    net.publish(&format!("account.{to}.inbox"), envelope).await;
}

/// Waits until the mailbox has these numbers of messages: that wait, are leased, are dead.
pub(crate) async fn until_counts(net: &Network, account_id: &str, expected: [i64; 3]) {
    eventually(DEADLINE, async || {
        let reply = net.ask("mailbox_status", json!({"account_id": account_id})).await;
        let counts = ["queued", "leased", "dead"].map(|name| reply[name].as_i64().unwrap_or(-1));
        if counts == expected { Ok(()) } else { Err(reply) }
    })
    .await
    .unwrap();
}

/// The messages of a mailbox.
pub(crate) async fn list(net: &Network, account_id: &str, state: &str) -> Vec<Value> {
    let reply = net
        .ask("mailbox_list", json!({"account_id": account_id, "state": state}))
        .await;
    reply["messages"]
        .as_array()
        .unwrap_or_else(|| panic!("{reply}"))
        .clone()
}

/// The ids of leased or listed messages.
pub(crate) fn ids(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| {
            let envelope = message.get("envelope").unwrap_or(message);
            envelope["message_id"].as_str().unwrap()
        })
        .collect()
}

/// What an agent answers to the copies of messages that it gets, in turn: the status and the code of each receipt; nothing
/// where there is none. The last one holds for all further copies.
pub(crate) type Answers = &'static [&'static [(&'static str, &'static str)]];

/// An agent of the Python implementation: it subscribes to its inbox, and knows no mailbox. Its messages, in their order.
pub(crate) async fn agent(net: &Network, session: &Session, answers: Answers) -> Heard {
    let heard = Heard::on(net, &format!("account.{}.inbox", session.account_id)).await;
    let client = RawClient::connect(&net.nats.url()).await.unwrap();
    let mut inbox = client
        .queue_subscribe(
            format!("account.{}.inbox", session.account_id),
            format!("agentnet-account-{}", session.account_id),
        )
        .await
        .unwrap();
    client.flush().await.unwrap();
    // The server has the subscription when it answers.
    client.request("nobody", "".into()).await.unwrap_err();
    let account_id = session.account_id.clone();
    tokio::spawn(async move {
        let mut copies = 0;
        while let Some(message) = inbox.next().await {
            let envelope: Value = serde_json::from_slice(&message.payload).unwrap();
            let answer = answers[copies.min(answers.len() - 1)];
            copies += 1;
            for (status, code) in answer {
                let mut receipt = json!({"message_id": envelope["message_id"], "status": status,
                                         "event_at": "2026-02-21T08:00:00Z", "from_account_id": account_id,
                                         "to_account_id": envelope["from_account_id"]});
                if !code.is_empty() {
                    receipt["code"] = json!(code);
                    receipt["detail"] = json!(format!("because of {code}"));
                }
                let subject = format!("account.{}.receipts", envelope["from_account_id"].as_str().unwrap());
                client.publish(subject, receipt.to_string().into()).await.unwrap();
            }
        }
    });
    heard
}
