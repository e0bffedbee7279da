//! Sends and requests: every outcome of PROTOCOL.md sections 11.3 to 11.5, against a receiver that the test plays itself, and
//! against a node; and payloads that arrive exactly as they were written.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod net;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentnet::{AgentNode, RawJson, RequestError, ResolveError, SendError};
use agentnet_testkit::{Capture, Captured, RawClient};
use futures::StreamExt;
use futures::future::join_all;
use net::{DEADLINE, Net, generous, now, parse};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const INBOX: &str = "account.acct_peer.inbox";
/// The shortest wait for a receipt.
const SHORT: Duration = Duration::from_millis(200);

/// The node `alice`, and a receiver `acct_peer` that answers every message with the receipts that a function says.
struct Bench {
    net: Net,
    node: AgentNode,
    wire: Capture,
    receiver: JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

impl Bench {
    /// `receipts` gets the number of the publish (from 1) and the message.
    async fn start(receipts: impl Fn(usize, &Value) -> Vec<Value> + Send + 'static) -> Self {
        let net = Net::start().await;
        let wire = net.capture(">").await;
        let client = RawClient::connect(&net.nats.url()).await.unwrap();
        let mut messages = client.subscribe(INBOX).await.unwrap();
        net::settle(&client).await;
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

    fn published(&self) -> Vec<Captured> {
        let all = self.wire.messages();
        all.into_iter().filter(|seen| seen.subject == INBOX).collect()
    }
}

fn receipt(message: &Value, status: &str) -> Value {
    json!({ "message_id": message["message_id"], "status": status, "event_at": now() })
}

fn rejected(message: &Value, code: &str, detail: &str) -> Value {
    let mut receipt = receipt(message, "rejected");
    receipt["code"] = json!(code);
    receipt["detail"] = json!(detail);
    receipt
}

#[tokio::test]
async fn accepted_or_processed_is_delivered() {
    for status in ["accepted", "processed", " ACCEPTED ", "Processed"] {
        let bench = Bench::start(move |_, message| {
            // The first receipt decides; what comes later is ignored.
            vec![
                receipt(message, status),
                rejected(message, "timeout", "handler timed out"),
            ]
        })
        .await;
        let sent = bench
            .node
            .send_to_account("acct_peer", "hi")
            .thread("t1")
            .await
            .unwrap();
        let published = bench.published();
        assert_eq!(published.len(), 1);
        assert_eq!(published[0].reply, None);
        let message = parse(&published[0].payload);
        assert_eq!(message["message_id"], sent.message_id.as_str());
        assert_eq!(
            (message["thread_id"].as_str(), sent.thread_id.as_str()),
            (Some("t1"), "t1")
        );
        assert_eq!(message["trace_id"], sent.trace_id.as_str());
        let metrics = bench.node.metrics_snapshot();
        assert_eq!((metrics.retry_count, metrics.receipt_timeout_count), (0, 0));
        assert_eq!(metrics.send_account.count, 1);
    }
}

#[tokio::test]
async fn a_rejection_fails_at_once() {
    let bench = Bench::start(|number, message| match number {
        1 => vec![rejected(message, "busy", "agent backlog is full")],
        2 => vec![receipt(message, "rejected")],
        _ => vec![rejected(
            message,
            " Duplicate ",
            "message_id has already been processed",
        )],
    })
    .await;
    let error = bench.node.send_to_account("acct_peer", "hi").await.unwrap_err();
    assert_eq!(error.to_string(), "delivery_rejected busy: agent backlog is full");
    assert!(matches!(error, SendError::Rejected { .. }));
    assert_eq!(bench.published().len(), 1, "no retry");
    let error = bench.node.send_to_account("acct_peer", "hi").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "delivery_rejected rejected: delivery rejected by recipient"
    );
    bench
        .node
        .send_to_account("acct_peer", "hi")
        .await
        .expect("a duplicate has been delivered before");
    assert_eq!(bench.published().len(), 3);
    assert_eq!(bench.node.metrics_snapshot().send_account.count, 1);
}

#[tokio::test]
async fn a_lost_receipt_is_made_good_by_the_retry() {
    let bench = Bench::start(|number, message| match number {
        1 => vec![],
        _ => vec![rejected(message, "duplicate", "message_id has already been processed")],
    })
    .await;
    let sent = bench
        .node
        .send_to_account("acct_peer", "hi")
        .receipt_timeout(SHORT)
        .await
        .unwrap();
    let published = bench.published();
    assert_eq!(published.len(), 2);
    assert_eq!(published[0].payload, published[1].payload);
    assert_eq!(parse(&published[0].payload)["message_id"], sent.message_id.as_str());
    let metrics = bench.node.metrics_snapshot();
    assert_eq!((metrics.retry_count, metrics.receipt_timeout_count), (1, 1));
}

#[tokio::test]
async fn an_unusable_receipt_leads_to_the_next_attempt() {
    let bench = Bench::start(|number, message| match number {
        1 | 3 => vec![receipt(message, "perhaps")],
        2 => vec![receipt(message, "accepted")],
        _ => vec![receipt(message, "")],
    })
    .await;
    bench.node.send_to_account("acct_peer", "hi").await.unwrap();
    assert_eq!(bench.published().len(), 2);
    let error = bench
        .node
        .send_to_account("acct_peer", "hi")
        .retry_attempts(0)
        .await
        .unwrap_err();
    let id = parse(&bench.published()[2].payload)["message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        error.to_string(),
        format!("delivery_ack_unusable status=perhaps message_id={id}")
    );
    let error = bench.node.send_to_account("acct_peer", "hi").await.unwrap_err();
    let id = parse(&bench.published()[3].payload)["message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        error.to_string(),
        format!("delivery_ack_unusable status=unknown message_id={id}")
    );
    assert_eq!(bench.published().len(), 6, "three attempts");
}

#[tokio::test]
async fn no_receipt_times_out_after_the_retries() {
    let bench = Bench::start(|_, message| {
        // None of these is this message's receipt.
        let other = json!({ "message_id": "other", "status": "accepted", "event_at": now() });
        let nameless = json!({ "status": "accepted", "of": message["message_id"] });
        vec![other, nameless, json!("accepted"), json!(7)]
    })
    .await;
    let started = Instant::now();
    let error = bench
        .node
        .send_to_account("acct_peer", "hi")
        .receipt_timeout(SHORT)
        .await
        .unwrap_err();
    // Three waits and two pauses: what is shorter did not wait.
    assert!(started.elapsed() >= SHORT * 3 + Duration::from_millis(300));
    let published = bench.published();
    assert_eq!(published.len(), 3);
    assert!(
        published.iter().all(|seen| seen.payload == published[0].payload),
        "the same bytes each time"
    );
    let id = parse(&published[0].payload)["message_id"].as_str().unwrap().to_owned();
    assert_eq!(
        error.to_string(),
        format!("delivery_ack_timeout message_id={id} attempts=3")
    );
    let metrics = bench.node.metrics_snapshot();
    assert_eq!(
        (
            metrics.retry_count,
            metrics.receipt_timeout_count,
            metrics.send_account.count
        ),
        (2, 3, 0)
    );

    let error = bench
        .node
        .send_to_account("acct_peer", "hi")
        .retry_attempts(0)
        .receipt_timeout(SHORT)
        .await;
    assert!(error.unwrap_err().to_string().ends_with("attempts=1"));
    assert_eq!(bench.published().len(), 4);
}

#[tokio::test]
async fn without_ack_returns_after_the_publish() {
    let bench = Bench::start(|_, _| vec![]).await;
    let sent = bench
        .node
        .send_to_account("acct_peer", json!({ "a": 1 }))
        .without_ack()
        .await
        .unwrap();
    let seen = bench
        .wire
        .wait_for(|seen| seen.subject == INBOX, DEADLINE)
        .await
        .unwrap();
    assert_eq!(parse(&seen.payload)["message_id"], sent.message_id.as_str());
    let metrics = bench.node.metrics_snapshot();
    assert_eq!((metrics.retry_count, metrics.receipt_timeout_count), (0, 0));
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_before_anything_is_published() {
    let net = Net::start().await;
    let node = net
        .agent("alice")
        .limits(|limits| limits.max_payload_bytes = 1_000)
        .build()
        .unwrap();
    let text = |result: Result<agentnet::Sent, SendError>| result.unwrap_err().to_string();
    let not_running = "the node is not running: start it first";
    assert_eq!(text(node.send("acct_peer", "hi").await), not_running);
    assert_eq!(
        node.request("acct_peer", "hi").await.unwrap_err().to_string(),
        not_running
    );
    node.start().await.unwrap();
    let wire = net.capture(">").await;

    let error = node.send("acct_peer", "x".repeat(1_000)).await.unwrap_err();
    assert!(
        matches!(
            error,
            SendError::TooLarge {
                size: 1_001..,
                limit: 1_000
            }
        ),
        "{error}"
    );
    // The size is that of the wire: a character outside ASCII counts six or twelve bytes.
    let error = node.request("acct_peer", "é".repeat(120)).await.unwrap_err();
    assert!(
        matches!(error, RequestError::Send(SendError::TooLarge { size: 1_001.., .. })),
        "{error}"
    );
    for target in ["a b", "a.b", "a*", ">", ""] {
        for result in [
            node.send_to_account(target, "hi").await,
            node.send_to_capability(target, "hi").await,
        ] {
            assert!(matches!(result, Err(SendError::Unroutable(_))), "{target}: {result:?}");
        }
    }
    let routing = "Routing target must be account:<account_id>, acct_..., username:<name>, or @name.";
    let error = text(node.send("capability:chat", "hi").await);
    assert_eq!(
        error,
        format!("{routing} Use send_to_capability() for capability routing.")
    );
    let error = node.request("capability:chat", "hi").await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{routing} Use request_capability() for capability routing.")
    );
    net.settle().await;
    assert!(
        !wire
            .messages()
            .iter()
            .any(|seen| seen.subject.contains("inbox") || seen.subject.starts_with("agent."))
    );
    node.close().await;
    assert_eq!(text(node.send("acct_peer", "hi").await), not_running);
}

#[tokio::test]
async fn an_unknown_username_fails_at_once_and_the_list_is_not_asked() {
    let bench = Bench::start(|_, message| vec![receipt(message, "accepted")]).await;
    bench.net.registry.list("ghost", "acct_ghost");
    let error = bench.node.send(" @Ghost ", "hi").await.unwrap_err();
    assert_eq!(error.to_string(), "No account found for username 'ghost'");
    assert!(matches!(error, SendError::Resolve(ResolveError::NotFound(_))));
    let error = bench.node.request_username("ghost", "hi").await.unwrap_err();
    assert_eq!(error.to_string(), "No account found for username 'ghost'");
    let registry = &bench.net.registry;
    assert_eq!((registry.calls("resolve_account"), registry.calls("list")), (2, 0));
}

#[tokio::test]
async fn a_registry_that_does_not_resolve_is_asked_for_its_list() {
    let bench = Bench::start(|_, message| vec![receipt(message, "accepted")]).await;
    bench.net.registry.silence("resolve_account");
    bench.net.registry.list("Peer", "acct_peer");
    bench.node.send("@peer", "hi").await.unwrap();
    assert_eq!(bench.published().len(), 1);
    assert_eq!(bench.net.registry.calls("list"), 1);
    let error = bench.node.send("@nobody", "hi").await.unwrap_err();
    assert_eq!(error.to_string(), "No account found for username 'nobody'");
    bench.net.registry.silence("list");
    let error = bench.node.send("@nobody", "hi").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Registry did not respond to registry.list within 2 s"
    );
}

#[tokio::test]
async fn resolved_usernames_are_remembered_until_a_delivery_fails() {
    let bench = Bench::start(|number, message| match number {
        4 => vec![rejected(message, "busy", "agent backlog is full")],
        _ => vec![receipt(message, "accepted")],
    })
    .await;
    let registry = &bench.net.registry;
    registry.know("peer", "acct_peer");
    let cache = || bench.node.metrics_snapshot().username_cache;
    for target in ["@peer", "peer", "username:@PEER"] {
        bench.node.send(target, "hi").await.unwrap();
    }
    assert_eq!((cache().size, cache().hits, cache().misses), (1, 2, 1));
    assert_eq!(cache().ttl_seconds, 60.0);
    assert_eq!(registry.calls("resolve_account"), 1);

    bench.node.send("@peer", "hi").await.unwrap_err();
    assert_eq!((cache().size, cache().hits, cache().misses), (0, 3, 1));
    // Meanwhile the name has gone to another account.
    registry.know("peer", "acct_moved");
    assert_eq!(bench.node.resolve_username("@peer").await.unwrap(), "acct_moved");
    assert_eq!((cache().size, cache().hits, cache().misses), (1, 3, 2));
    // A request to nobody is a delivery failure too. (Without the passive subscriber, which would count as somebody.)
    let url = bench.net.nats.url();
    let node = net::agent(&url, "carol").start().await.unwrap();
    registry.know("gone", "acct_gone");
    node.resolve_username("gone").await.unwrap();
    assert_eq!(node.metrics_snapshot().username_cache.size, 1);
    node.request("gone", "hi").timeout(SHORT).await.unwrap_err();
    assert_eq!(node.metrics_snapshot().username_cache.size, 0);
}

#[tokio::test]
async fn without_a_cache_every_send_resolves() {
    let net = Net::start().await;
    net.registry.know("peer", "acct_peer");
    let node = net
        .agent("alice")
        .limits(|limits| limits.resolve_cache_ttl = Duration::ZERO)
        .start()
        .await
        .unwrap();
    for _ in 0..3 {
        node.resolve_username("peer").await.unwrap();
    }
    assert_eq!(net.registry.calls("resolve_account"), 3);
    let metrics = node.metrics_snapshot();
    assert_eq!((metrics.username_cache.size, metrics.username_cache.misses), (0, 3));
    assert_eq!(metrics.resolve_username.count, 3);
    // A time that no clock can express is for ever.
    let node = net
        .agent("bob")
        .limits(|limits| limits.resolve_cache_ttl = Duration::MAX)
        .start()
        .await
        .unwrap();
    for _ in 0..3 {
        node.resolve_username("peer").await.unwrap();
    }
    assert_eq!(net.registry.calls("resolve_account"), 4);
}

#[tokio::test]
async fn requests_get_their_reply() {
    let net = Net::start().await;
    let _bob = net
        .agent("bob")
        .capabilities(["sum"])
        .limits(|limits| limits.work_timeout = SHORT)
        .on_message(|message, context| async move {
            match message.text().as_deref() {
                Some("fail") => Err("told to fail".into()),
                Some("hang") => std::future::pending().await,
                Some("silent") => Ok(()),
                _ => {
                    let answer = context.reply(json!({ "echo": message.payload() })).await?;
                    assert_eq!(answer.trace_id, message.trace_or_message_id().to_string());
                    Ok(())
                }
            }
        })
        .start()
        .await
        .unwrap();
    let alice = net.agent("alice").start().await.unwrap();
    for request in [
        alice.request("@bob", json!({ "n": 1 })),
        alice.request("acct_bob", json!({ "n": 1 })),
        alice.request_account("acct_bob", json!({ "n": 1 })),
        alice.request_username("bob", json!({ "n": 1 })),
        alice.request_capability("sum", json!({ "n": 1 })),
    ] {
        let reply = request.thread("t").trace("tr").await.unwrap();
        assert_eq!(reply.json::<Value>().unwrap(), json!({ "echo": { "n": 1 } }));
        assert_eq!((&*reply.kind, reply.error_code()), ("reply", None));
        assert_eq!(
            (reply.thread_id.as_deref(), reply.trace_id.as_deref()),
            (Some("t"), Some("tr"))
        );
        assert_eq!(reply.from_account_id.as_deref(), Some("acct_bob"));
        assert!(!reply.wants_reply());
    }
    assert_eq!(alice.metrics_snapshot().request_account.count, 4);

    let reply = alice.request("@bob", "fail").await.unwrap();
    assert_eq!(
        (&*reply.kind, reply.error_code().as_deref()),
        ("error", Some("handler_error"))
    );
    assert_eq!(reply.json::<Value>().unwrap()["detail"], "handler raised an exception");
    let reply = alice.request("@bob", "hang").await.unwrap();
    assert_eq!(reply.error_code().as_deref(), Some("timeout"));

    let error = alice.request("@bob", "silent").timeout(SHORT).await.unwrap_err();
    assert!(matches!(error, RequestError::Timeout { timeout: SHORT, .. }), "{error}");
    assert!(error.to_string().ends_with("within 0.2 s"), "{error}");
    // An answer to a message that wants none.
    let error = alice.reply(&reply, "thanks").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Cannot reply: incoming message has no reply_to subject."
    );
}

#[tokio::test]
async fn a_request_to_nobody_fails_at_once() {
    let net = Net::start().await;
    let alice = net.agent("alice").start().await.unwrap();
    for request in [
        alice.request("acct_nobody", "hi").timeout(Duration::MAX),
        alice
            .request_capability("nothing", "hi")
            .timeout(Duration::from_secs(3600)),
    ] {
        let error = tokio::time::timeout(DEADLINE, request.into_future())
            .await
            .expect("at once")
            .unwrap_err();
        assert!(matches!(error, RequestError::NoResponders { .. }), "{error}");
    }
    assert_eq!(
        alice.request("acct_nobody", "hi").await.unwrap_err().to_string(),
        "no responders: nobody listens on account.acct_nobody.inbox"
    );
}

#[tokio::test]
async fn a_reply_that_is_no_message_is_an_error() {
    let net = Net::start().await;
    let client = net.raw.clone();
    let mut requests = client.subscribe(INBOX).await.unwrap();
    net.settle().await;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            client.publish(request.reply.unwrap(), "[1, 2]".into()).await.unwrap();
        }
    });
    let alice = net.agent("alice").start().await.unwrap();
    let error = alice.request("acct_peer", "hi").await.unwrap_err();
    assert!(matches!(error, RequestError::Invalid { .. }));
    assert!(
        error
            .to_string()
            .ends_with("cannot be read: the body must be a JSON object"),
        "{error}"
    );
}

#[tokio::test]
async fn closing_ends_what_waits() {
    let bench = Bench::start(|_, _| vec![]).await;
    let send = tokio::spawn(
        bench
            .node
            .send_to_account("acct_peer", "hi")
            .receipt_timeout(DEADLINE * 10)
            .into_future(),
    );
    let request = tokio::spawn(
        bench
            .node
            .request_account("acct_peer", "hi")
            .timeout(DEADLINE * 10)
            .into_future(),
    );
    let both = |seen: &[Captured]| seen.iter().filter(|seen| seen.subject == INBOX).count() == 2;
    bench.wire.wait_until(both, DEADLINE).await.unwrap();
    bench.node.close().await;
    let send = tokio::time::timeout(DEADLINE, send).await.unwrap().unwrap();
    assert_eq!(send, Err(SendError::NotRunning));
    let request = tokio::time::timeout(DEADLINE, request).await.unwrap().unwrap();
    assert!(matches!(request, Err(RequestError::Send(SendError::NotRunning))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once_are_all_matched() {
    const COUNT: usize = 1_000;
    let net = Net::start().await;
    let handled = Arc::new(Mutex::new(Vec::new()));
    let seen = handled.clone();
    let _bob = net
        .agent("bob")
        .limits(generous)
        .on_message(move |message, context| {
            seen.lock().unwrap().push(message.message_id.to_string());
            async move {
                if message.wants_reply() {
                    context.reply(message.payload()).await?;
                }
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let alice = net.agent("alice").limits(generous).start().await.unwrap();
    let sends = join_all((0..COUNT).map(|number| alice.send("@bob", json!(number)).into_future()));
    let requests = join_all((0..COUNT).map(|number| {
        let request = alice.request("@bob", json!({ "number": number })).timeout(DEADLINE);
        async move { (number, request.await.unwrap()) }
    }));
    let (sends, requests) = tokio::join!(sends, requests);
    let sent: BTreeSet<String> = sends.into_iter().map(|sent| sent.unwrap().message_id).collect();
    assert_eq!(sent.len(), COUNT);
    for (number, reply) in &requests {
        assert_eq!(
            reply.json::<Value>().unwrap(),
            json!({ "number": number }),
            "the reply to this very request"
        );
    }
    agentnet_testkit::eventually_true(DEADLINE, "all handled", async || {
        handled.lock().unwrap().len() == 2 * COUNT
    })
    .await
    .unwrap();
    let handled = handled.lock().unwrap();
    let distinct: BTreeSet<&String> = handled.iter().collect();
    assert_eq!((handled.len(), distinct.len()), (2 * COUNT, 2 * COUNT));
    assert!(sent.iter().all(|id| distinct.contains(id)));
    assert_eq!(alice.metrics_snapshot().retry_count, 0);
}

#[tokio::test]
async fn payloads_arrive_exactly_as_written() {
    let net = Net::start().await;
    let handled: Arc<Mutex<Vec<RawJson>>> = Arc::default();
    let seen = handled.clone();
    let _bob = net
        .agent("bob")
        .limits(generous)
        .on_message(move |message, context| {
            seen.lock().unwrap().push(message.payload().clone());
            async move {
                context.reply(message.payload()).await?;
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let alice = net.agent("alice").limits(generous).start().await.unwrap();
    // What is written, and what arrives: the same, but that the wire is ASCII.
    let same = [
        "null",
        "true",
        "0",
        "-0",
        "1.50",
        "1e5",
        "1E+05",
        "-0.0",
        "123456789012345678901234567890123456789012345678901234567890",
        "0.1000000000000000055511151231257827021181583404541015625",
        "5e-324",
        "1e400",
        r#"{"z":1,"a":2,"m":{"y":[],"b":{}}}"#,
        r#"{ "spaces" : [ 1 , 2.0 ] }"#,
        r#"{"a":1,"a":2}"#,
        r#""\ud800""#,
        r#""\udc00\ud800 swapped""#,
        r#""\u0000 \u001f \u007f""#,
        r#""\/ \" \\ \b\f\n\r\t""#,
        r#""\u00e9 \ud83d\ude00""#,
        r#"[[[[[[[[]]]]]]]]"#,
        r#""""#,
    ];
    let ascii = [
        (r#""é""#, r#""\u00e9""#),
        (
            r#"{"ключ":"日本語"}"#,
            r#"{"\u043a\u043b\u044e\u0447":"\u65e5\u672c\u8a9e"}"#,
        ),
        (r#""😀""#, r#""\ud83d\ude00""#),
        ("\"\u{7f}\u{2028}\"", r#""\u007f\u2028""#),
    ];
    let cases = same.iter().map(|text| (*text, *text)).chain(ascii);
    for (written, arrives) in cases {
        let payload = RawJson::parse(written).unwrap();
        let reply = alice.request("acct_bob", &payload).await.unwrap();
        let seen = handled.lock().unwrap().pop().unwrap();
        assert_eq!(seen.get(), arrives, "at the handler: {written}");
        assert_eq!(reply.payload().get(), arrives, "and back: {written}");
    }
    // Read as Rust values, they are what was written.
    let reply = alice.request("acct_bob", "é 😀 \0 \u{7f} \u{2028} \"\\").await.unwrap();
    assert_eq!(reply.json::<String>().unwrap(), "é 😀 \0 \u{7f} \u{2028} \"\\");
    assert_eq!(reply.text().as_deref(), Some("é 😀 \0 \u{7f} \u{2028} \"\\"));
}
