//! A node driven over raw NATS through every row of the receiver's table (PROTOCOL.md section 12 with section 0.7): receipts,
//! error replies, codes, details and counters, compared member by member.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod net;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::{AgentBuilder, AgentNode, Context, HandlerResult, Limits, Message, MetricsSnapshot};
use agentnet_testkit::{Capture, Captured, eventually_true};
use bytes::Bytes;
use net::{DEADLINE, Net, from_now, is_recent, keys, now, parse};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

const INBOX: &str = "account.acct_bob.inbox";

/// A node `bob` and a peer `acct_peer` that speaks raw NATS.
struct Bench {
    net: Net,
    node: AgentNode,
    wire: Capture,
    /// Lets handlers of `"do": "wait"` go on.
    gate: Arc<Semaphore>,
    handled: Arc<Mutex<Vec<Message>>>,
}

impl Bench {
    async fn start(limits: impl FnOnce(&mut Limits)) -> Self {
        Self::with(|agent| agent.limits(limits)).await
    }

    async fn with(change: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Self {
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
    async fn post(&self, label: &str, message: &Value) {
        self.post_bytes(INBOX, label, message.to_string().into()).await;
    }

    async fn post_bytes(&self, subject: &str, label: &str, body: Bytes) {
        let reply = reply_subject(label);
        self.net
            .raw
            .publish_with_reply(subject.to_owned(), reply, body)
            .await
            .unwrap();
    }

    async fn reply(&self, label: &str) -> Value {
        let subject = reply_subject(label);
        parse(&self.wait(|seen| seen.subject == subject).await.payload)
    }

    async fn wait(&self, wanted: impl FnMut(&Captured) -> bool) -> Captured {
        self.wire.wait_for(wanted, DEADLINE).await.unwrap()
    }

    /// The receipts of a message so far, oldest first.
    fn receipts(&self, message_id: &str) -> Vec<Value> {
        let all = self.wire.messages();
        let receipts = all.iter().filter(|seen| seen.subject == "account.acct_peer.receipts");
        receipts
            .map(|seen| parse(&seen.payload))
            .filter(|receipt| receipt["message_id"] == message_id)
            .collect()
    }

    /// Waits for a receipt and checks every member of it.
    async fn expect_receipt(&self, message: &Value, status: &str, refusal: Option<(&str, &str)>) {
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
    async fn expect_refusal(&self, label: &str, message: &Value, code: &str, detail: &str) {
        self.expect_receipt(message, "rejected", Some((code, detail))).await;
        check_error_reply(&self.node, message, &self.reply(label).await, code, detail);
    }

    /// Posts a message that is refused on intake: no receipt but the refusal.
    async fn refused(&self, label: &str, message: &Value, code: &str, detail: &str) {
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

    async fn processed(&self, message: &Value) {
        self.expect_receipt(message, "accepted", None).await;
        self.expect_receipt(message, "processed", None).await;
    }

    async fn when(&self, what: &str, condition: impl Fn(&MetricsSnapshot) -> bool) {
        eventually_true(DEADLINE, what, async || condition(&self.node.metrics_snapshot()))
            .await
            .unwrap();
    }

    fn handled(&self, message_id: &str) -> Vec<Message> {
        let handled = self.handled.lock().unwrap();
        handled
            .iter()
            .filter(|message| *message.message_id == *message_id)
            .cloned()
            .collect()
    }
}

fn reply_subject(label: &str) -> String {
    format!("_INBOX.peer.{}", label.replace(' ', "_"))
}

async fn handle(
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
fn message(id: &str, what: &str) -> Value {
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
fn with(mut message: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => message.as_object_mut().unwrap().remove(name),
            value => message.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    message
}

/// Trace id, else message id; `None` where both are empty.
fn trace(message: &Value) -> Option<&str> {
    let text = |member: &str| message[member].as_str().filter(|text| !text.is_empty());
    text("trace_id").or(text("message_id"))
}

fn thread(message: &Value) -> String {
    match message["thread_id"].as_str().filter(|text| !text.is_empty()) {
        Some(thread) => thread.to_owned(),
        None => format!("thread_{}", trace(message).unwrap_or_default().to_lowercase()),
    }
}

/// Every member of section 5.2, in order.
fn check_receipt(node: &AgentNode, message: &Value, receipt: &Value, status: &str, refusal: Option<(&str, &str)>) {
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
fn check_error_reply(node: &AgentNode, message: &Value, reply: &Value, code: &str, detail: &str) {
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

#[tokio::test]
async fn row_1_oversized() {
    let bench = Bench::start(|limits| limits.max_payload_bytes = 2_000).await;
    let large = with(message("big", ""), json!({ "payload": "x".repeat(3_000) }));
    let size = large.to_string().len();
    let detail = format!("message of {size} bytes exceeds the receiver's limit of 2000 bytes");
    bench.refused("big", &large, "payload_too_large", &detail).await;

    // What cannot be read has nobody to send a receipt to.
    bench.post_bytes(INBOX, "garbage", Bytes::from(vec![b'{'; 2_001])).await;
    let detail = "message of 2001 bytes exceeds the receiver's limit of 2000 bytes";
    let reply = bench.reply("garbage").await;
    check_error_reply(&bench.node, &json!({}), &reply, "payload_too_large", detail);

    // Exactly the limit is taken.
    let fill = 2_000 - with(message("full", ""), json!({ "payload": "" })).to_string().len();
    let full = with(message("full", ""), json!({ "payload": "x".repeat(fill) }));
    assert_eq!(full.to_string().len(), 2_000);
    bench.post("full", &full).await;
    bench.processed(&full).await;

    let metrics = bench.node.metrics_snapshot();
    assert_eq!((metrics.payload_rejected_count, metrics.dropped_count), (2, 2));
    assert_eq!(metrics.processed_count, 1);
}

#[tokio::test]
async fn row_2_undecodable() {
    let bench = Bench::start(|_| {}).await;
    let infinite = message("infinite", "").to_string().replace("30000", "1e400");
    assert!(infinite.contains("1e400"));
    let rows: [(&str, Vec<u8>, &str); 7] = [
        ("truncated", br#"{"message_id": "#.to_vec(), ""),
        ("array", b"[1]".to_vec(), "the body must be a JSON object"),
        ("text", br#""hello""#.to_vec(), "the body must be a JSON object"),
        ("latin1", b"{\"a\": \"\xe9\"}".to_vec(), ""),
        ("trailing", b"{} {}".to_vec(), ""),
        ("deep", [b"[".repeat(100_000)].concat(), ""),
        ("infinite", infinite.into_bytes(), ""),
    ];
    let count = rows.len() as u64;
    for (label, body, detail) in rows {
        bench.post_bytes(INBOX, label, body.into()).await;
        let reply = bench.reply(label).await;
        let said = reply["payload"]["detail"].as_str().unwrap().to_owned();
        assert!(!said.is_empty() && said.starts_with(detail), "{label}: {said}");
        check_error_reply(&bench.node, &json!({}), &reply, "message_invalid", &said);
    }
    // An empty body is an empty message: it fails a later check.
    bench.post_bytes(INBOX, "empty", Bytes::new()).await;
    let reply = bench.reply("empty").await;
    check_error_reply(
        &bench.node,
        &json!({}),
        &reply,
        "missing_ttl",
        "message ttl invalid or expired",
    );

    let metrics = bench.node.metrics_snapshot();
    assert_eq!((metrics.payload_rejected_count, metrics.expired_count), (count, 1));
    assert_eq!(metrics.dropped_count, count + 1);
    let receipts = |seen: &Captured| seen.subject.ends_with(".receipts");
    assert!(
        !bench.wire.messages().iter().any(receipts),
        "nobody to send a receipt to"
    );
}

#[tokio::test]
async fn row_3_schema() {
    let bench = Bench::start(|_| {}).await;
    let detail = "message schema_version is not supported";
    for (number, version) in ["v1", "x.1", "."].iter().enumerate() {
        let id = format!("invalid{number}");
        let message = with(message(&id, ""), json!({ "schema_version": version }));
        bench.refused(&id, &message, "schema_version_invalid", detail).await;
    }
    for (number, version) in ["2", "2.0", "0.9", "-1"].iter().enumerate() {
        let id = format!("unsupported{number}");
        let message = with(message(&id, ""), json!({ "schema_version": version }));
        bench.refused(&id, &message, "unsupported_schema_version", detail).await;
    }
    for (number, version) in [json!(" 1.7 "), json!(1), json!(null), json!("  ")].iter().enumerate() {
        let id = format!("supported{number}");
        let message = with(message(&id, ""), json!({ "schema_version": version }));
        bench.post(&id, &message).await;
        bench.processed(&message).await;
    }
    let metrics = bench.node.metrics_snapshot();
    assert_eq!((metrics.payload_rejected_count, metrics.dropped_count), (7, 7));
}

#[tokio::test]
async fn row_5_shutting_down() {
    let bench = Bench::start(|limits| {
        limits.max_concurrency = 1;
        limits.drain_timeout = Duration::from_millis(100);
    })
    .await;
    let (stuck, waiting) = (message("stuck", "hang"), message("waiting", ""));
    bench.post("stuck", &stuck).await;
    bench.post("waiting", &waiting).await;
    bench
        .when("one in hand, one waiting", |m| {
            (m.inflight_count, m.pending_count) == (1, 1)
        })
        .await;

    // The node leaves its queue group at once; what it had accepted by then it cannot finish in the drain time.
    let session = bench.node.session_tag().unwrap();
    let closing = {
        let node = bench.node.clone();
        tokio::spawn(async move { node.close().await })
    };
    let detail = "agent is shutting down";
    let mut late = Vec::new();
    let mut every = tokio::time::interval(Duration::from_millis(5));
    while !closing.is_finished() {
        every.tick().await;
        let id = format!("late{}", late.len());
        late.push(message(&id, ""));
        bench.post(&id, late.last().unwrap()).await;
    }
    closing.await.unwrap();
    bench.wait(|seen| seen.subject == "registry.goodbye").await;
    let refusals = |id: &str| -> Vec<Value> {
        let receipts = bench.receipts(id);
        receipts
            .iter()
            .for_each(|receipt| assert_eq!(receipt["from_session_tag"], session.as_str()));
        receipts
            .iter()
            .map(|receipt| json!([receipt["status"], receipt["code"], receipt["detail"]]))
            .collect()
    };
    let refused = json!(["rejected", "shutting_down", detail]);
    let accepted = json!(["accepted", null, null]);
    assert_eq!(
        refusals("stuck"),
        [accepted.clone(), refused.clone()],
        "given up in its handler"
    );
    assert_eq!(
        refusals("waiting"),
        [accepted.clone(), refused.clone()],
        "never handled"
    );
    let late: Vec<_> = late
        .iter()
        .map(|message| refusals(message["message_id"].as_str().unwrap()))
        .collect();
    for receipts in &late {
        let told = [vec![], vec![refused.clone()], vec![accepted.clone(), refused.clone()]];
        assert!(told.contains(receipts), "{receipts:?}");
    }
    let mut gone = late.iter().skip_while(|receipts| !receipts.is_empty());
    assert!(
        gone.all(Vec::is_empty),
        "none was lost before the node had left: {late:?}"
    );
    let reply = bench.reply("stuck").await;
    assert_eq!(reply["payload"]["error"], "shutting_down");
    assert_eq!(bench.reply("waiting").await["payload"]["detail"], detail);
    assert!(bench.handled("waiting").is_empty());
    assert_eq!(bench.node.metrics_snapshot().processed_count, 0);
}

#[tokio::test]
async fn row_6_and_the_worker_service_degraded() {
    let bench = Bench::start(|limits| {
        limits.max_concurrency = 1;
        limits.circuit_breaker_failures = 5;
        limits.circuit_breaker_reset = Duration::from_secs(1);
    })
    .await;
    let handler_error = ("handler_error", "handler raised an exception");
    // A success in between starts the count again.
    for number in 0..4 {
        let failing = message(&format!("early{number}"), "fail");
        bench.post("early", &failing).await;
        bench.expect_receipt(&failing, "rejected", Some(handler_error)).await;
    }
    let well = message("well", "");
    bench.post("well", &well).await;
    bench.processed(&well).await;
    for number in 0..4 {
        let failing = message(&format!("again{number}"), "fail");
        bench.post("again", &failing).await;
        bench.expect_receipt(&failing, "rejected", Some(handler_error)).await;
    }
    assert!(!bench.node.metrics_snapshot().circuit_open);

    // Accepted while the circuit was closed, but opened before their turn.
    let (fifth, queued) = (message("fifth", "wait and fail"), message("queued", ""));
    bench.post("fifth", &fifth).await;
    bench.post("queued", &queued).await;
    bench.expect_receipt(&queued, "accepted", None).await;
    bench.gate.add_permits(1);
    bench
        .expect_refusal("fifth", &fifth, handler_error.0, handler_error.1)
        .await;
    bench
        .expect_refusal("queued", &queued, "service_degraded", "circuit breaker open")
        .await;
    assert!(bench.handled("queued").is_empty(), "its handler was not run");

    let metrics = bench.node.metrics_snapshot();
    assert!(metrics.circuit_open);
    assert_eq!((metrics.error_count, metrics.processed_count), (9, 1));
    let refused = message("refused", "");
    bench
        .refused("refused", &refused, "service_degraded", "circuit breaker open")
        .await;
    // The order: schema before the circuit, the circuit before the time to live.
    let schema = with(message("schema", ""), json!({ "schema_version": "2.0" }));
    let detail = "message schema_version is not supported";
    bench
        .refused("schema", &schema, "unsupported_schema_version", detail)
        .await;
    let expired = with(message("expired", ""), json!({ "expires_at": from_now(-60_000) }));
    bench
        .refused("expired", &expired, "service_degraded", "circuit breaker open")
        .await;
    assert_eq!(
        bench.node.metrics_snapshot().dropped_count,
        4,
        "handler errors are counted as such"
    );

    // It closes by itself, and the message that was refused meanwhile is taken: its id was not burned.
    bench.when("the circuit closes", |metrics| !metrics.circuit_open).await;
    bench.post("refused again", &refused).await;
    bench.processed(&refused).await;
}

#[tokio::test]
async fn row_7_time_to_live() {
    let bench = Bench::start(|_| {}).await;
    let detail = "message ttl invalid or expired";
    let no_ttl = json!({ "ttl_ms": null, "expires_at": null });
    let missing = [
        no_ttl.clone(),
        with(no_ttl, json!({ "sent_at": "yesterday", "ttl_ms": 30_000 })),
        json!({ "ttl_ms": "soon", "expires_at": "tomorrow" }),
    ];
    for (number, change) in missing.iter().enumerate() {
        let id = format!("missing{number}");
        bench
            .refused(&id, &with(message(&id, ""), change.clone()), "missing_ttl", detail)
            .await;
    }
    let expired = [
        json!({ "expires_at": from_now(-1) }),
        json!({ "sent_at": from_now(-30_001), "expires_at": null }),
        json!({ "sent_at": from_now(-30_001) }),
        json!({ "ttl_ms": 0 }),
        json!({ "ttl_ms": -5 }),
    ];
    for (number, change) in expired.iter().enumerate() {
        let id = format!("expired{number}");
        bench
            .refused(&id, &with(message(&id, ""), change.clone()), "expired", detail)
            .await;
    }
    let alive = [
        json!({ "ttl_ms": null }),
        json!({ "expires_at": null }),
        json!({ "expires_at": "nonsense" }),
        json!({ "sent_at": from_now(3_600_000), "expires_at": null }),
        json!({ "ttl_ms": 1e30, "expires_at": null }),
    ];
    for (number, change) in alive.iter().enumerate() {
        let id = format!("alive{number}");
        let message = with(message(&id, ""), change.clone());
        bench.post(&id, &message).await;
        bench.processed(&message).await;
    }
    let metrics = bench.node.metrics_snapshot();
    assert_eq!((metrics.expired_count, metrics.dropped_count), (8, 8));
}

#[tokio::test]
async fn row_7_with_clock_skew() {
    let bench = Bench::start(|limits| limits.clock_skew_ms = 60_000).await;
    let behind = with(
        message("behind", ""),
        json!({ "sent_at": from_now(-80_000), "expires_at": null }),
    );
    bench.post("behind", &behind).await;
    bench.processed(&behind).await;
    let older = with(
        message("older", ""),
        json!({ "sent_at": from_now(-90_001), "expires_at": null }),
    );
    let detail = "message ttl invalid or expired";
    bench.refused("older", &older, "expired", detail).await;
}

#[tokio::test]
async fn row_8_rate() {
    let bench = Bench::start(|limits| {
        limits.rate_limit_per_sender_per_sec = 0.1;
        limits.rate_limit_burst = 2;
    })
    .await;
    for id in ["a", "b"] {
        bench.post(id, &message(id, "")).await;
        bench.processed(&message(id, "")).await;
    }
    bench
        .refused("c", &message("c", ""), "rate_limited", "sender rate exceeded")
        .await;
    // Before the duplicates: a repeated message costs a token too.
    bench
        .refused("d", &message("a", ""), "rate_limited", "sender rate exceeded")
        .await;
    // By session, so that another session of the account is not held up.
    let other = with(message("e", ""), json!({ "from_session_tag": "session_other" }));
    bench.post("e", &other).await;
    bench.processed(&other).await;
    // Without a session by account.
    let account = with(message("f", ""), json!({ "from_session_tag": null }));
    bench.post("f", &account).await;
    bench.processed(&account).await;
    let metrics = bench.node.metrics_snapshot();
    assert_eq!(
        (
            metrics.rate_limited_count,
            metrics.dropped_count,
            metrics.duplicate_count
        ),
        (2, 2, 0)
    );
}

#[tokio::test]
async fn rows_9_and_10_duplicates() {
    let bench = Bench::start(|_| {}).await;
    let first = with(message("one", ""), json!({ "idempotency_key": " key " }));
    bench.post("first", &first).await;
    bench.processed(&first).await;
    let detail = "message_id has already been processed";
    bench.refused("same id", &message("one", ""), "duplicate", detail).await;
    let detail = "idempotency_key has already been processed";
    let key = with(message("two", ""), json!({ "idempotency_key": "key" }));
    bench.refused("same_key", &key, "duplicate", detail).await;
    // A refused duplicate does not burn its own id; another sender's key is another key; blank keys are none.
    let taken = [
        message("two", ""),
        with(message("three", ""), json!({ "idempotency_key": "  " })),
        with(message("four", ""), json!({ "idempotency_key": "  " })),
        with(message("five", ""), json!({ "idempotency_key": "KEY" })),
    ];
    for message in &taken {
        bench.post("taken", message).await;
        bench.processed(message).await;
    }
    let stranger = json!({ "idempotency_key": "key", "from_account_id": "acct_stranger" });
    bench.post("stranger", &with(message("six", ""), stranger)).await;
    bench
        .when("the stranger's is handled", |metrics| metrics.processed_count == 6)
        .await;
    // Without an id nothing can be told apart.
    for label in ["x", "y"] {
        bench.post(label, &message("", "")).await;
    }
    bench
        .when("both without id are handled", |metrics| metrics.processed_count == 8)
        .await;
    let metrics = bench.node.metrics_snapshot();
    assert_eq!((metrics.duplicate_count, metrics.dropped_count), (2, 2));
}

#[tokio::test]
async fn row_11_busy_burns_neither_id_nor_key() {
    let bench = Bench::start(|limits| {
        limits.max_concurrency = 1;
        limits.max_pending = 1;
    })
    .await;
    let (running, pending) = (message("running", "wait"), message("pending", ""));
    bench.post("running", &running).await;
    bench.when("one runs", |metrics| metrics.inflight_count == 1).await;
    bench.post("pending", &pending).await;
    bench.expect_receipt(&pending, "accepted", None).await;
    assert_eq!(bench.node.metrics_snapshot().pending_count, 1);

    let busy = with(message("busy", ""), json!({ "idempotency_key": "once" }));
    bench.refused("busy", &busy, "busy", "agent backlog is full").await;
    bench.refused("busy2", &busy, "busy", "agent backlog is full").await;
    let metrics = bench.node.metrics_snapshot();
    assert_eq!(
        (metrics.busy_count, metrics.duplicate_count, metrics.dropped_count),
        (2, 0, 2)
    );
    // Duplicates are told apart from busy even now: the checks come before the slot.
    let detail = "message_id has already been processed";
    bench.refused("pending2", &pending, "duplicate", detail).await;

    bench.gate.add_permits(1);
    bench.processed(&pending).await;
    bench.post("retry", &busy).await;
    bench.processed(&busy).await;
    bench.refused("busy3", &busy, "duplicate", detail).await;
    let again = with(message("other", ""), json!({ "idempotency_key": "once" }));
    bench
        .refused(
            "busy4",
            &again,
            "duplicate",
            "idempotency_key has already been processed",
        )
        .await;
    assert_eq!(bench.handled("busy").len(), 1);
}

#[tokio::test]
async fn the_first_failing_check_wins() {
    let bench = Bench::start(|limits| {
        limits.max_concurrency = 1;
        limits.max_pending = 1;
        limits.rate_limit_per_sender_per_sec = 0.1;
        limits.rate_limit_burst = 1;
        limits.max_payload_bytes = 5_000;
    })
    .await;
    // Each sender session has one message.
    let session = |message: Value, tag: &str| with(message, json!({ "from_session_tag": tag }));
    let known = with(message("known", "wait"), json!({ "idempotency_key": "k" }));
    bench.post("known", &session(known.clone(), "s1")).await;
    bench.when("one runs", |metrics| metrics.inflight_count == 1).await;
    let filler = session(message("filler", ""), "s2");
    bench.post("filler", &filler).await;
    bench.expect_receipt(&filler, "accepted", None).await;

    let mut worse = session(message("new", ""), "s3");
    bench.refused("11", &worse, "busy", "agent backlog is full").await;
    worse = session(with(worse, json!({ "idempotency_key": "k" })), "s4");
    bench
        .refused("10", &worse, "duplicate", "idempotency_key has already been processed")
        .await;
    worse = session(
        with(worse, json!({ "message_id": "known", "trace_id": "Trace-known" })),
        "s5",
    );
    bench
        .refused("9", &worse, "duplicate", "message_id has already been processed")
        .await;
    bench.refused("8", &worse, "rate_limited", "sender rate exceeded").await;
    worse = with(worse, json!({ "expires_at": from_now(-60_000) }));
    bench
        .refused("7b", &worse, "expired", "message ttl invalid or expired")
        .await;
    worse = with(worse, json!({ "expires_at": null, "ttl_ms": null }));
    bench
        .refused("7", &worse, "missing_ttl", "message ttl invalid or expired")
        .await;
    let schema = "message schema_version is not supported";
    worse = with(worse, json!({ "schema_version": "3" }));
    bench.refused("3b", &worse, "unsupported_schema_version", schema).await;
    worse = with(worse, json!({ "schema_version": "three" }));
    bench.refused("3", &worse, "schema_version_invalid", schema).await;
    worse = with(worse, json!({ "payload": "x".repeat(5_000) }));
    let detail = format!(
        "message of {} bytes exceeds the receiver's limit of 5000 bytes",
        worse.to_string().len()
    );
    bench.refused("1", &worse, "payload_too_large", &detail).await;
    assert_eq!(bench.node.metrics_snapshot().dropped_count, 9);
    bench.gate.add_permits(1);
    bench.processed(&filler).await;
}

#[tokio::test]
async fn worker_outcomes() {
    let bench = Bench::start(|limits| limits.work_timeout = Duration::from_millis(200)).await;
    let failed = ("handler_error", "handler raised an exception");
    for (what, (code, detail)) in [
        ("fail", failed),
        ("panic", failed),
        ("reply and fail", failed),
        ("hang", ("timeout", "handler timed out")),
    ] {
        let message = message(what, what);
        bench.post(what, &message).await;
        bench.expect_receipt(&message, "accepted", None).await;
        bench.expect_receipt(&message, "rejected", Some((code, detail))).await;
        let subject = reply_subject(what);
        let is_error = |seen: &Captured| seen.subject == subject && parse(&seen.payload)["kind"] == "error";
        let reply = parse(&bench.wait(is_error).await.payload);
        check_error_reply(&bench.node, &message, &reply, code, detail);
    }
    let replies = bench.wire.messages();
    let replies = replies
        .iter()
        .filter(|seen| seen.subject == reply_subject("reply and fail"));
    let kinds: Vec<_> = replies.map(|seen| parse(&seen.payload)["kind"].clone()).collect();
    assert_eq!(kinds, ["reply", "error"], "an error reply follows even an answer");

    let ok = message("ok", "reply");
    bench.post("ok", &ok).await;
    bench.processed(&ok).await;
    let reply = bench.reply("ok").await;
    assert_eq!(
        (&reply["kind"], &reply["payload"]),
        (&json!("reply"), &json!("an answer"))
    );
    let statuses: Vec<_> = bench
        .receipts("ok")
        .iter()
        .map(|receipt| receipt["status"].clone())
        .collect();
    assert_eq!(statuses, ["accepted", "processed"]);

    bench.when("all done", |metrics| metrics.inflight_count == 0).await;
    let metrics = bench.node.metrics_snapshot();
    assert_eq!(
        (metrics.processed_count, metrics.error_count, metrics.timeout_count),
        (1, 3, 1)
    );
    assert_eq!((metrics.dropped_count, metrics.pending_count), (0, 0));
    assert!(metrics.avg_handle_ms >= 200.0 / 5.0, "{}", metrics.avg_handle_ms);
    let json = parse(metrics.to_json().as_bytes());
    assert_eq!(json["error_count"], 3);
    assert_eq!(json["account_id"], "acct_bob");
    assert_eq!(json["circuit_open"], false);
}

#[tokio::test]
async fn a_panic_before_the_first_await_is_a_handler_error_too() {
    let net = Net::start().await;
    let wire = net.capture("account.acct_peer.receipts").await;
    let node = net
        .agent("bob")
        .limits(|limits| limits.max_concurrency = 1)
        .on_message(|message, _| {
            assert!(*message.message_id != *"bad", "told to panic");
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    net.publish(INBOX, &message("bad", "")).await;
    net.publish(INBOX, &message("good", "")).await;
    let last = |seen: &Captured| {
        let receipt = parse(&seen.payload);
        receipt["message_id"] == "good" && receipt["status"] == "processed"
    };
    wire.wait_for(last, DEADLINE).await.expect("the only worker lives on");
    assert_eq!(node.metrics_snapshot().error_count, 1);
}

#[tokio::test]
async fn receipts_need_a_sender_and_threads_a_default() {
    let bench = Bench::start(|_| {}).await;
    for (number, account) in [json!(null), json!(""), json!("  "), json!("a.b"), json!("*")]
        .iter()
        .enumerate()
    {
        let id = format!("anonymous{number}");
        let message = with(
            message(&id, ""),
            json!({ "from_account_id": account, "schema_version": "2" }),
        );
        bench.post(&id, &message).await;
        let reply = bench.reply(&id).await;
        let detail = "message schema_version is not supported";
        check_error_reply(&bench.node, &message, &reply, "unsupported_schema_version", detail);
    }
    bench.net.settle().await;
    let receipts = |seen: &Captured| seen.subject.ends_with(".receipts");
    assert!(!bench.wire.messages().iter().any(receipts));

    for (id, change, thread) in [
        ("T1", json!({ "thread_id": null }), "thread_trace-t1"),
        ("T2", json!({ "thread_id": "", "trace_id": null }), "thread_t2"),
        ("T3", json!({ "thread_id": " mine " }), " mine "),
    ] {
        let message = with(message(id, ""), change);
        bench.post(id, &message).await;
        bench.processed(&message).await;
        assert_eq!(bench.handled(id)[0].thread_id.as_deref(), Some(thread));
        assert_eq!(bench.receipts(id)[0]["thread_id"], thread);
    }
}

#[tokio::test]
async fn a_written_reply_to_is_used_only_if_it_is_a_reply_subject() {
    let bench = Bench::start(|_| {}).await;
    for (id, subject) in [("nats", "_INBOX.elsewhere.1"), ("ours", "agentnet.reply.acct_peer.1")] {
        let message = with(message(id, "reply"), json!({ "reply_to": subject }));
        bench.net.publish(INBOX, &message).await;
        let reply = parse(&bench.wait(|seen| seen.subject == subject).await.payload);
        assert_eq!(reply["parent_message_id"], id);
        bench.processed(&message).await;
    }
    // Refusals of every stage go there too.
    let large = with(
        message("large", ""),
        json!({ "reply_to": "_INBOX.large", "payload": "x".repeat(300_000) }),
    );
    bench.net.publish(INBOX, &large).await;
    let reply = parse(&bench.wait(|seen| seen.subject == "_INBOX.large").await.payload);
    assert_eq!(reply["payload"]["error"], "payload_too_large");

    let forbidden = [
        "account.acct_victim.inbox",
        "account.acct_victim.receipts",
        "agent.capability.victim",
        "registry.goodbye",
        "_INBOX.>",
        "_INBOX.*",
        "_INBOX",
        "anything",
        "$SYS.REQ",
        "",
    ];
    let before = bench.wire.messages().len();
    for (number, subject) in forbidden.iter().enumerate() {
        let message = with(message(&format!("f{number}"), "reply"), json!({ "reply_to": subject }));
        bench.net.publish(INBOX, &message).await;
        // The handler cannot reply, which is its failure; with an error reply as little.
        bench
            .expect_receipt(
                &message,
                "rejected",
                Some(("handler_error", "handler raised an exception")),
            )
            .await;
        assert!(!bench.handled(&format!("f{number}"))[0].wants_reply());
        if number % 4 == 3 {
            let well = self::message(&format!("well{number}"), "");
            bench.net.publish(INBOX, &well).await;
            bench.processed(&well).await;
        }
    }
    bench.net.settle().await;
    for seen in &bench.wire.messages()[before..] {
        let expected = seen.subject == INBOX
            || seen.subject == "account.acct_peer.receipts"
            || (seen.subject.starts_with("_INBOX.") && seen.payload.is_empty());
        assert!(expected, "{} {}", seen.subject, seen.text());
    }
    // Other types are no subjects, and the NATS reply subject goes before what is written.
    let number = with(message("number", ""), json!({ "reply_to": 7 }));
    bench.net.publish(INBOX, &number).await;
    bench.processed(&number).await;
    let both = with(message("both", "reply"), json!({ "reply_to": "_INBOX.written" }));
    bench.post("both", &both).await;
    assert_eq!(bench.reply("both").await["payload"], "an answer");
    bench.processed(&both).await;
    assert!(
        !bench
            .wire
            .messages()
            .iter()
            .any(|seen| seen.subject == "_INBOX.written")
    );
}

#[tokio::test]
async fn capabilities_are_routed_where_they_can_be() {
    let bench = Bench::with(|agent| agent.capabilities(["chat", "chat", "a.b", "a b", "*", ">", "", "résumé"])).await;
    for (id, capability) in [("c1", "chat"), ("c2", "résumé")] {
        let message = with(
            message(id, "reply"),
            json!({ "to_agent": format!("capability:{capability}"), "to_account_id": null }),
        );
        let subject = format!("agent.capability.{capability}");
        bench.post_bytes(&subject, id, message.to_string().into()).await;
        bench.processed(&message).await;
        assert_eq!(bench.reply(id).await["payload"], "an answer");
        assert_eq!(bench.handled(id).len(), 1, "subscribed once");
    }
    // The guards are the same as for the inbox, and share what they remember.
    let again = message("c1", "");
    bench
        .refused("c1 again", &again, "duplicate", "message_id has already been processed")
        .await;

    let hello = parse(&bench.wait(|seen| seen.subject == "registry.hello").await.payload);
    let advertised = json!(["chat", "chat", "a.b", "a b", "*", ">", "", "résumé"]);
    assert_eq!(hello["capabilities"], advertised, "all of them are advertised");
    // The passive subscriber would answer for them: without it, nobody listens there.
    drop(bench.wire);
    eventually_true(DEADLINE, "nobody listens on agent.capability.a.b", async || {
        !net::somebody_listens(&bench.net.raw, "agent.capability.a.b").await
    })
    .await
    .unwrap();
    for subject in ["agent.capability.other", "agent.capability.a", "agent.capability.x.y"] {
        assert!(!net::somebody_listens(&bench.net.raw, subject).await, "{subject}");
    }
    assert!(net::somebody_listens(&bench.net.raw, "agent.capability.chat").await);
}

#[tokio::test]
async fn without_a_handler_nothing_is_taken() {
    let net = Net::start().await;
    let node = net.agent("bob").capabilities(["chat"]).start().await.unwrap();
    for subject in [INBOX, "agent.capability.chat"] {
        assert!(!net::somebody_listens(&net.raw, subject).await, "{subject}");
    }
    assert!(net::somebody_listens(&net.raw, "account.acct_bob.receipts").await);
    node.close().await;
}
