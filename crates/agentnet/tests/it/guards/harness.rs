//! A node under test, a peer that speaks raw NATS to it, and checks of every member of what comes back.

use std::sync::{Arc, Mutex};

use agentnet::{AgentBuilder, AgentNode, Context, HandlerResult, Limits, Message, MetricsSnapshot};
use agentnet_testkit::{Capture, Captured, eventually_true};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::net::{DEADLINE, Net, from_now, is_recent, keys, now, parse};

pub(crate) const INBOX: &str = "account.acct_bob.inbox";

/// A node `bob` and a peer `acct_peer` that speaks raw NATS.
pub(crate) struct Harness {
    pub(crate) net: Net,
    pub(crate) node: AgentNode,
    pub(crate) wire: Capture,
    /// Lets handlers of `"do": "wait"` go on.
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) handled: Arc<Mutex<Vec<Message>>>,
}

impl Harness {
    pub(crate) async fn start(limits: impl FnOnce(&mut Limits)) -> Self {
        Self::with(|agent| agent.limits(limits)).await
    }

    pub(crate) async fn with(change: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Self {
        let net = Net::start().await;
        let wire = net.capture(">").await;
        let gate = Arc::new(Semaphore::new(0));
        let handled = Arc::new(Mutex::new(Vec::new()));
        let agent = net.agent("bob").limits(|limits| {
            limits.rate_limit_burst = 1000;
            limits.clock_skew_ms = 0;
        });
        let (handler_gate, handler_handled) = (gate.clone(), handled.clone());
        let node = change(agent)
            .on_message(move |message, context| handle(message, context, handler_gate.clone(), handler_handled.clone()))
            .start()
            .await
            .unwrap();
        Self {
            net,
            node,
            wire,
            gate,
            handled,
        }
    }

    /// Publishes a message whose error reply, if there is one, goes to `reply_subject(label)`.
    pub(crate) async fn post(&self, label: &str, message: &Value) {
        self.post_bytes(INBOX, label, message.to_string().into()).await;
    }

    pub(crate) async fn post_bytes(&self, subject: &str, label: &str, body: Bytes) {
        let reply = reply_subject(label);
        self.net
            .raw
            .publish_with_reply(subject.to_owned(), reply, body)
            .await
            .unwrap();
    }

    pub(crate) async fn reply(&self, label: &str) -> Value {
        let subject = reply_subject(label);
        parse(&self.wait(|seen| seen.subject == subject).await.payload)
    }

    pub(crate) async fn wait(&self, wanted: impl FnMut(&Captured) -> bool) -> Captured {
        self.wire.wait_for(wanted, DEADLINE).await.unwrap()
    }

    /// The receipts of a message so far, oldest first.
    pub(crate) fn receipts(&self, message_id: &str) -> Vec<Value> {
        let all = self.wire.messages();
        let receipts = all.iter().filter(|seen| seen.subject == "account.acct_peer.receipts");
        receipts
            .map(|seen| parse(&seen.payload))
            .filter(|receipt| receipt["message_id"] == message_id)
            .collect()
    }

    /// Waits for a receipt and checks every member of it.
    pub(crate) async fn expect_receipt(&self, message: &Value, status: &str, refusal: Option<(&str, &str)>) {
        let seen = self
            .wait(|seen| {
                seen.subject == "account.acct_peer.receipts" && {
                    let receipt = parse(&seen.payload);
                    receipt["message_id"] == message["message_id"]
                        && receipt["status"] == status
                        && refusal.is_none_or(|(code, detail)| receipt["code"] == code && receipt["detail"] == detail)
                }
            })
            .await;
        check_receipt(&self.node, message, &parse(&seen.payload), status, refusal);
    }

    /// Expects receipt and error reply of a refusal, and nothing else about this message.
    pub(crate) async fn expect_refusal(&self, label: &str, message: &Value, code: &str, detail: &str) {
        self.expect_receipt(message, "rejected", Some((code, detail))).await;
        check_error_reply(&self.node, message, &self.reply(label).await, code, detail);
    }

    /// Posts a message that is refused on intake: no receipt but the refusal.
    pub(crate) async fn refused(&self, label: &str, message: &Value, code: &str, detail: &str) {
        let id = message["message_id"].as_str().unwrap_or_default().to_owned();
        let before = self.receipts(&id).len();
        self.post(label, message).await;
        self.expect_refusal(label, message, code, detail).await;
        assert_eq!(
            self.receipts(&id).len(),
            before + 1,
            "{label}: one receipt, the refusal"
        );
    }

    pub(crate) async fn processed(&self, message: &Value) {
        self.expect_receipt(message, "accepted", None).await;
        self.expect_receipt(message, "processed", None).await;
    }

    pub(crate) async fn when(&self, what: &str, condition: impl Fn(&MetricsSnapshot) -> bool) {
        eventually_true(DEADLINE, what, async || condition(&self.node.metrics_snapshot()))
            .await
            .unwrap();
    }

    pub(crate) fn handled(&self, message_id: &str) -> Vec<Message> {
        let handled = self.handled.lock().unwrap();
        handled
            .iter()
            .filter(|message| *message.message_id == *message_id)
            .cloned()
            .collect()
    }
}

pub(crate) fn reply_subject(label: &str) -> String {
    format!("_INBOX.peer.{}", label.replace(' ', "_"))
}

pub(crate) async fn handle(
    message: Message,
    context: Context,
    gate: Arc<Semaphore>,
    handled: Arc<Mutex<Vec<Message>>>,
) -> HandlerResult {
    handled.lock().unwrap().push(message.clone());
    let payload: Value = message.json()?;
    match payload["do"].as_str().unwrap_or_default() {
        "fail" => Err("told to fail".into()),
        "panic" => panic!("told to panic"),
        "hang" => std::future::pending().await,
        "wait" => {
            gate.acquire().await?.forget();
            Ok(())
        }
        "wait and fail" => {
            gate.acquire().await?.forget();
            Err("told to fail".into())
        }
        "reply and fail" => {
            context.reply(json!("half an answer")).await?;
            Err("told to fail".into())
        }
        "reply" => {
            context.reply(json!("an answer")).await?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A message that passes every check. `"do"` tells the handler what to do.
pub(crate) fn message(id: &str, what: &str) -> Value {
    json!({
        "message_id": id,
        "from_agent": "peer",
        "to_agent": "acct_bob",
        "payload": { "do": what },
        "sent_at": now(),
        "kind": "request",
        "schema_version": "1.1",
        "from_session_tag": "session_peer",
        "from_account_id": "acct_peer",
        "to_account_id": "acct_bob",
        "ttl_ms": 30_000,
        "expires_at": from_now(30_000),
        "trace_id": format!("Trace-{id}"),
        "thread_id": "thread_t",
        "parent_message_id": "parent_p",
    })
}

/// The same with some members changed; `null` removes one.
pub(crate) fn with(mut message: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => message.as_object_mut().unwrap().remove(name),
            value => message.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    message
}

/// Trace id, else message id; `None` where both are empty.
pub(crate) fn trace(message: &Value) -> Option<&str> {
    let text = |member: &str| message[member].as_str().filter(|text| !text.is_empty());
    text("trace_id").or(text("message_id"))
}

pub(crate) fn thread(message: &Value) -> String {
    match message["thread_id"].as_str().filter(|text| !text.is_empty()) {
        Some(thread) => thread.to_owned(),
        None => format!("thread_{}", trace(message).unwrap_or_default().to_lowercase()),
    }
}

/// Every member of section 5.2, in order.
pub(crate) fn check_receipt(
    node: &AgentNode,
    message: &Value,
    receipt: &Value,
    status: &str,
    refusal: Option<(&str, &str)>,
) {
    let mut expected = json!({ "message_id": message["message_id"], "status": status });
    let members = expected.as_object_mut().unwrap();
    members.insert("event_at".into(), receipt["event_at"].clone());
    members.insert("from_account_id".into(), json!("acct_bob"));
    members.insert("from_session_tag".into(), json!(node.session_tag().unwrap()));
    members.insert("to_account_id".into(), json!("acct_peer"));
    if let Some(trace) = trace(message) {
        members.insert("trace_id".into(), json!(trace));
    }
    members.insert("thread_id".into(), json!(thread(message)));
    if let Some(parent) = message.get("parent_message_id") {
        members.insert("parent_message_id".into(), parent.clone());
    }
    if let Some((code, detail)) = refusal {
        members.insert("code".into(), json!(code));
        members.insert("detail".into(), json!(detail));
    }
    assert_eq!(receipt, &expected);
    assert_eq!(keys(receipt), keys(&expected));
    assert!(is_recent(receipt["event_at"].as_str().unwrap()), "{receipt}");
}

/// Every member of section 5.4, in order.
pub(crate) fn check_error_reply(node: &AgentNode, message: &Value, reply: &Value, code: &str, detail: &str) {
    let text = |member: &str| message[member].as_str().unwrap_or_default();
    let own_id = reply["message_id"].as_str().unwrap();
    assert!(own_id.len() == 32 && own_id != text("message_id"), "{reply}");
    let trace = trace(message);
    let mut expected = json!({
        "message_id": own_id,
        "from_agent": "bob",
        "to_agent": text("from_agent"),
        "payload": {
            "error": code,
            "detail": detail,
            "request_message_id": text("message_id"),
            "trace_id": trace.unwrap_or_default(),
        },
        "sent_at": reply["sent_at"],
        "kind": "error",
        "schema_version": "1.1",
        "from_session_tag": node.session_tag().unwrap(),
        "from_account_id": "acct_bob",
    });
    let members = expected.as_object_mut().unwrap();
    if !text("from_account_id").is_empty() {
        members.insert("to_account_id".into(), message["from_account_id"].clone());
    }
    members.insert("ttl_ms".into(), json!(30_000));
    members.insert("expires_at".into(), reply["expires_at"].clone());
    members.insert("trace_id".into(), json!(trace.unwrap_or(own_id)));
    let given_thread = Some(text("thread_id")).filter(|thread| !thread.is_empty());
    let thread = reply["thread_id"].as_str().unwrap();
    match given_thread
        .map(str::to_owned)
        .or(trace.map(|trace| format!("thread_{}", trace.to_lowercase())))
    {
        Some(expected) => assert_eq!(thread, expected),
        None => assert!(
            thread.starts_with("thread_") && thread.len() > 30,
            "a thread of its own: {thread}"
        ),
    }
    members.insert("thread_id".into(), json!(thread));
    if !text("message_id").is_empty() {
        members.insert("parent_message_id".into(), message["message_id"].clone());
    }
    assert_eq!(reply, &expected);
    assert_eq!(keys(reply), keys(&expected));
    assert_eq!(keys(&reply["payload"]), keys(&expected["payload"]));
    let time = |member: &str| agentnet::protocol::Timestamp::parse(reply[member].as_str().unwrap()).unwrap();
    assert!(is_recent(reply["sent_at"].as_str().unwrap()));
    assert_eq!(time("expires_at").micros_since(time("sent_at")), 30_000_000);
}
