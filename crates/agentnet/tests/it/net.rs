//! A network for one test: a real nats-server, a registry that answers by a script, and eyes on the wire.
//!
//! The scripted registry answers as the original does (no `reply_prefix`), so that what a node does is seen apart from what
//! our own registry does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use agentnet::protocol::Timestamp;
use agentnet::{AgentBuilder, AgentNode, Limits};
use agentnet_testkit::{Capture, NatsServer, RawClient};
use async_nats::{Client, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// The longest that a test waits for one thing before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server, a plain client of it, and a scripted registry.
pub(crate) struct Net {
    pub(crate) nats: NatsServer,
    pub(crate) raw: Client,
    pub(crate) registry: ScriptedRegistry,
}

impl Net {
    pub(crate) async fn start() -> Self {
        let nats = NatsServer::builder().start().await.unwrap();
        let raw = RawClient::connect(&nats.url()).await.unwrap();
        let registry = ScriptedRegistry::start(&nats.url()).await;
        Self { nats, raw, registry }
    }

    /// A node with account `acct_<id>` and username `<id>`, not yet started.
    pub(crate) fn agent(&self, id: &str) -> AgentBuilder {
        agent(&self.nats.url(), id).account_id(format!("acct_{id}"))
    }

    pub(crate) async fn capture(&self, subject: &str) -> Capture {
        Capture::subscribe(&self.raw, subject).await.unwrap()
    }

    pub(crate) async fn publish(&self, subject: &str, body: &Value) {
        self.raw
            .publish(subject.to_owned(), body.to_string().into())
            .await
            .unwrap();
    }

    /// Returns when the server has done everything that the plain client asked of it.
    pub(crate) async fn settle(&self) {
        settle(&self.raw).await;
    }
}

/// A node with username `<id>`, not yet started.
pub(crate) fn agent(url: &str, id: &str) -> AgentBuilder {
    AgentNode::builder(id).username(id).nats_url(url).ignore_environment()
}

/// Limits that never stand in the way.
pub(crate) fn generous(limits: &mut Limits) {
    limits.max_pending = 100_000;
    limits.max_concurrency = 64;
    limits.rate_limit_per_sender_per_sec = 1e9;
    limits.rate_limit_burst = 1_000_000;
    limits.receipt_timeout = DEADLINE;
}

pub(crate) async fn settle(client: &Client) {
    let inbox = client.new_inbox();
    let mut probe = client.subscribe(inbox.clone()).await.unwrap();
    client.publish(inbox, Bytes::new()).await.unwrap();
    tokio::time::timeout(DEADLINE, probe.next()).await.unwrap().unwrap();
}

pub(crate) fn now() -> String {
    from_now(0)
}

/// The time so many milliseconds from now.
pub(crate) fn from_now(millis: i128) -> String {
    Timestamp::from(SystemTime::now())
        .saturating_add_millis(millis)
        .to_string()
}

/// Whether the text is a timestamp of the last minute.
pub(crate) fn is_recent(text: &str) -> bool {
    let now = Timestamp::from(SystemTime::now());
    Timestamp::parse(text).is_some_and(|then| now.micros_since(then).unsigned_abs() < 60_000_000)
}

pub(crate) fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(body)))
}

/// The member names of an object, in order.
pub(crate) fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap_or_else(|| panic!("no object: {object}"))
        .keys()
        .map(String::as_str)
        .collect()
}

/// Whether a subject has a subscriber. The server refuses a request without subscribers before it handles the connection's
/// next command, so the order of the answers tells, however late they come.
pub(crate) async fn has_subscriber(client: &Client, subject: &str) -> bool {
    let inbox = client.new_inbox();
    let (reply, fence) = (format!("{inbox}.reply"), format!("{inbox}.fence"));
    let mut answers = client.subscribe(format!("{inbox}.*")).await.unwrap();
    client
        .publish_with_reply(subject.to_owned(), reply, Bytes::new())
        .await
        .unwrap();
    client.publish(fence, Bytes::new()).await.unwrap();
    let first = tokio::time::timeout(DEADLINE, answers.next()).await.unwrap().unwrap();
    first.status != Some(StatusCode::NO_RESPONDERS)
}

#[derive(Debug, Default)]
struct Script {
    /// Seconds between two hellos, if nodes are told other than the original tells them.
    heartbeat_interval: Option<f64>,
    /// Account ids by username.
    accounts: BTreeMap<String, String>,
    sessions: usize,
    online: Vec<Value>,
    silent: BTreeSet<&'static str>,
    calls: BTreeMap<String, usize>,
}

/// Answers `registry.*` as the original registry does, as far as a node asks.
#[derive(Debug)]
pub(crate) struct ScriptedRegistry {
    script: Arc<Mutex<Script>>,
    answering: JoinHandle<()>,
}

impl Drop for ScriptedRegistry {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

impl ScriptedRegistry {
    pub(crate) async fn start(url: &str) -> Self {
        let client = RawClient::connect(url).await.unwrap();
        let mut requests = client.subscribe("registry.*").await.unwrap();
        settle(&client).await;
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = script.clone();
        let answering = tokio::spawn(async move {
            while let Some(message) = requests.next().await {
                let rpc = message.subject.strip_prefix("registry.").unwrap_or_default().to_owned();
                let answer = shared.lock().unwrap().answer(&rpc, &parse(&message.payload));
                if let (Some(answer), Some(reply)) = (answer, message.reply) {
                    client.publish(reply, answer.to_string().into()).await.unwrap();
                }
            }
        });
        Self { script, answering }
    }

    /// Makes an account known that no node of the test has.
    pub(crate) fn know(&self, username: &str, account_id: &str) {
        let mut script = self.script.lock().unwrap();
        script.accounts.insert(username.to_owned(), account_id.to_owned());
    }

    /// Shows an account in the list only.
    pub(crate) fn list(&self, username: &str, account_id: &str) {
        let entry = json!({
            "agent_id": username, "name": username, "capabilities": [], "metadata": {},
            "account_id": account_id, "username": username, "session_tag": "registry_x", "last_seen": now(),
        });
        self.script.lock().unwrap().online.push(entry);
    }

    /// Tells the nodes that register from now on to say hello so seldom.
    pub(crate) fn heartbeat_every(&self, interval: Duration) {
        self.script.lock().unwrap().heartbeat_interval = Some(interval.as_secs_f64());
    }

    /// Never answers this call again.
    pub(crate) fn silence(&self, rpc: &'static str) {
        self.script.lock().unwrap().silent.insert(rpc);
    }

    /// How often something was called. A node repeats a call that is not answered in time: how often is for sure only once
    /// something that it called later is answered.
    pub(crate) fn calls(&self, rpc: &str) -> usize {
        self.script.lock().unwrap().calls.get(rpc).copied().unwrap_or_default()
    }
}

impl Script {
    fn answer(&mut self, rpc: &str, request: &Value) -> Option<Value> {
        *self.calls.entry(rpc.to_owned()).or_default() += 1;
        if self.silent.contains(rpc) {
            return None;
        }
        let text = |member: &str| request[member].as_str().filter(|text| !text.is_empty());
        match rpc {
            "register" => {
                let username = text("username").or(text("agent_id"))?.to_owned();
                let next = format!("acct_01k0000000000000000000{:04}", self.accounts.len());
                let known = self.accounts.get(&username).cloned();
                let account_id = text("account_id").map(str::to_owned).or(known).unwrap_or(next);
                self.accounts.insert(username.clone(), account_id.clone());
                self.sessions += 1;
                Some(json!({
                    "account_id": account_id,
                    "username": username,
                    "session_tag": format!("registry_01K0000000000000000000{:04}", self.sessions),
                    "heartbeat_interval": self.heartbeat_interval.unwrap_or(12.0),
                    "ttl_seconds": 40.0,
                    "registered_at": now(),
                }))
            }
            "resolve_account" => Some(
                match text("username").and_then(|name| Some((name, self.accounts.get(name)?))) {
                    Some((username, account_id)) => {
                        json!({ "account_id": account_id, "username": username, "resolved_at": now() })
                    }
                    None => json!({ "error": "not_found" }),
                },
            ),
            "list" => Some(json!({ "generated_at": now(), "agents": self.online })),
            "hello" | "goodbye" => None,
            _ => Some(json!({ "error": "not scripted" })),
        }
    }
}
