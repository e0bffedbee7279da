//! A registry whose mailbox answers by a script, and a receiver that the test plays itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::{AgentNode, MailboxSend, MailboxSent, SendError};
use agentnet_testkit::{RawClient, eventually};
use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::net::{DEADLINE, Net, has_subscriber, now, parse, settle};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(crate) const INBOX: &str = "account.acct_peer.inbox";

/// The node `alice`, and everything that she publishes to `acct_peer` or puts into its mailbox.
pub(crate) struct Sending {
    pub(crate) net: Net,
    pub(crate) node: AgentNode,
    inbox: Subscriber,
    puts: Subscriber,
}

impl Sending {
    /// Her receipts are waited for as long as for everything that must happen.
    pub(crate) async fn start() -> Self {
        Self::with_receipt_timeout(DEADLINE).await
    }

    pub(crate) async fn with_receipt_timeout(timeout: Duration) -> Self {
        let net = Net::start().await;
        net.registry.silence("mailbox_put");
        let inbox = net.raw.subscribe(INBOX).await.unwrap();
        let puts = net.raw.subscribe("registry.mailbox_put").await.unwrap();
        net.settle().await;
        let alice = net.agent("alice").limits(|limits| limits.receipt_timeout = timeout);
        let node = alice.start().await.unwrap();
        Self { net, node, inbox, puts }
    }

    pub(crate) fn message(&self) -> MailboxSend {
        self.node.send_to_account("acct_peer", "hi").mailbox(DAY)
    }

    /// The next message that comes to the peer.
    pub(crate) async fn received(&mut self) -> Value {
        parse(&next(&mut self.inbox).await.payload)
    }

    /// Gives a receipt for a message to her.
    pub(crate) async fn receipt(&self, message: &Value, from: &str, members: Value) {
        let mut receipt = json!({
            "message_id": message["message_id"], "event_at": now(), "from_account_id": from, "to_account_id": "acct_alice",
        });
        for (name, value) in members.as_object().unwrap() {
            receipt[name] = value.clone();
        }
        self.net.publish("account.acct_alice.receipts", &receipt).await;
    }

    /// The next message that is put into the mailbox.
    pub(crate) async fn put(&mut self) -> Put {
        let message = next(&mut self.puts).await;
        Put {
            request: parse(&message.payload),
            reply: message.reply.unwrap().to_string(),
        }
    }

    pub(crate) async fn answer(&self, put: &Put, reply: Value) {
        self.net.publish(&put.reply, &reply).await;
    }

    /// Keeps a message.
    pub(crate) async fn keep(&self, put: &Put) {
        self.answer(put, kept(&put.request["envelope"]["message_id"])).await;
    }
}

/// A request to keep a message.
pub(crate) struct Put {
    pub(crate) request: Value,
    reply: String,
}

pub(crate) fn kept(message_id: &Value) -> Value {
    json!({
        "message_id": message_id, "state": "queued", "position": 0, "queued_at": now(),
        "expires_at": "2030-01-02T03:04:05Z", "generated_at": now(),
    })
}

pub(crate) fn spawn(send: MailboxSend) -> JoinHandle<Result<MailboxSent, SendError>> {
    tokio::spawn(send.into_future())
}

/// What a send has come to.
pub(crate) async fn end(sending: JoinHandle<Result<MailboxSent, SendError>>) -> Result<MailboxSent, SendError> {
    tokio::time::timeout(DEADLINE, sending).await.expect("it ends").unwrap()
}

async fn next(subscriber: &mut Subscriber) -> Message {
    tokio::time::timeout(DEADLINE, subscriber.next())
        .await
        .expect("it comes")
        .unwrap()
}

/// The mailbox of `acct_bob`, which gives every message once.
pub(crate) struct Mailbox {
    state: Arc<Mutex<State>>,
    answering: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Value>,
    leased: usize,
    requests: usize,
    /// Whether the inbox had a subscriber when the first messages were leased.
    was_subscribed: Option<bool>,
    acks: Vec<Value>,
    /// The ids of the requests for messages, one for each time that it changed.
    lease_ids: Vec<String>,
    /// Replies with messages that do not arrive.
    lost_replies: usize,
    /// What a lost reply has given, by the id of its request.
    lost: HashMap<String, Value>,
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

impl Mailbox {
    pub(crate) async fn start(net: &Net) -> Self {
        for rpc in ["mailbox_lease", "mailbox_ack", "mailbox_extend"] {
            net.registry.silence(rpc);
        }
        let client = RawClient::connect(&net.nats.url()).await.unwrap();
        let mut requests = client.subscribe("registry.*").await.unwrap();
        settle(&client).await;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let answering = tokio::spawn(async move {
            while let Some(message) = requests.next().await {
                let Some(reply) = message.reply else { continue };
                let is_lease = message.subject.as_str() == "registry.mailbox_lease";
                if is_lease && shared.lock().unwrap().was_subscribed.is_none() {
                    let was_subscribed = has_subscriber(&client, "account.acct_bob.inbox").await;
                    shared.lock().unwrap().was_subscribed = Some(was_subscribed);
                }
                let answer = shared
                    .lock()
                    .unwrap()
                    .answer(&message.subject, &parse(&message.payload));
                if let Some(answer) = answer {
                    client.publish(reply, answer.to_string().into()).await.unwrap();
                }
            }
        });
        Self { state, answering }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn add(&self, messages: impl IntoIterator<Item = Value>) {
        self.state().waiting.extend(messages);
    }

    pub(crate) fn requests(&self) -> usize {
        self.state().requests
    }

    /// How many messages were leased.
    pub(crate) fn leased(&self) -> usize {
        self.state().leased
    }

    /// Loses the next reply that gives messages.
    pub(crate) fn lose_reply(&self) {
        self.state().lost_replies += 1;
    }

    /// The ids of the requests for messages, each once for all requests in a row.
    pub(crate) fn lease_ids(&self) -> Vec<String> {
        self.state().lease_ids.clone()
    }

    pub(crate) fn was_subscribed(&self) -> Option<bool> {
        self.state().was_subscribed
    }

    /// The acknowledgements by message id, once there are so many: outcome, code, delay.
    pub(crate) async fn acks(&self, count: usize) -> Vec<(String, String, Value, Value)> {
        eventually(DEADLINE, async || {
            let acks = &self.state().acks;
            match acks.len() >= count {
                true => Ok(acks.iter().map(told).collect()),
                false => Err(format!("{acks:?}")),
            }
        })
        .await
        .unwrap()
    }
}

/// The lease of a message is named after it.
fn told(ack: &Value) -> (String, String, Value, Value) {
    let text = |name: &str| ack[name].as_str().unwrap().to_owned();
    let id = text("lease").strip_prefix("lease-").unwrap().to_owned();
    (id, text("outcome"), ack["code"].clone(), ack["delay_ms"].clone())
}

impl State {
    fn answer(&mut self, subject: &str, request: &Value) -> Option<Value> {
        let rpc = subject.strip_prefix("registry.")?;
        if !["mailbox_lease", "mailbox_ack", "mailbox_extend"].contains(&rpc) {
            return None;
        }
        assert_eq!(request["account_id"], "acct_bob", "{request}");
        assert!(
            request["session_tag"].as_str().unwrap().starts_with("registry_"),
            "{request}"
        );
        match rpc {
            "mailbox_lease" => {
                self.requests += 1;
                let lease_id = request["lease_id"].as_str().unwrap().to_owned();
                if self.lease_ids.last() != Some(&lease_id) {
                    self.lease_ids.push(lease_id.clone());
                }
                if let Some(reply) = self.lost.remove(&lease_id) {
                    return Some(reply);
                }
                let max = usize::try_from(request["max"].as_u64().unwrap()).unwrap();
                let count = max.min(self.waiting.len());
                let messages: Vec<Value> = self.waiting.drain(..count).map(|envelope| {
                    self.leased += 1;
                    let id = envelope["message_id"].as_str().unwrap_or_default().to_owned();
                    json!({ "lease": format!("lease-{id}"), "seq": self.leased, "attempt": 1, "queued_at": now(), "envelope": envelope })
                }).collect();
                let is_lost = self.lost_replies > 0 && !messages.is_empty();
                let reply = json!({ "messages": messages, "remaining": self.waiting.len(), "generated_at": now() });
                if is_lost {
                    self.lost_replies -= 1;
                    self.lost.insert(lease_id, reply);
                    return None;
                }
                Some(reply)
            }
            "mailbox_ack" => {
                let acks = request["acks"].as_array().unwrap();
                self.acks.extend(acks.iter().cloned());
                Some(json!({ "acked": acks.len(), "lost": [], "generated_at": now() }))
            }
            _ => {
                Some(json!({ "acked": request["leases"].as_array().unwrap().len(), "lost": [], "generated_at": now() }))
            }
        }
    }
}

/// A message to `acct_bob` that has waited.
pub(crate) fn waiting(id: &str, from: &str, mailbox: Value) -> Value {
    json!({
        "message_id": id, "from_agent": from, "to_agent": "acct_bob", "payload": { "text": id }, "sent_at": now(),
        "kind": "direct", "schema_version": "1.1", "from_session_tag": "s", "from_account_id": format!("acct_{from}"),
        "to_account_id": "acct_bob", "ttl_ms": 60_000, "trace_id": id, "thread_id": format!("thread_{id}"),
        "mailbox": mailbox,
    })
}
