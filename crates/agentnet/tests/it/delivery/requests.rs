//! Requests and their replies, and many at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::protocol::rpc::{ListRequest, MetricsRequest, ProfileRequest};
use agentnet::{RegistryClient, RegistryError, RequestError, SendError};
use agentnet_testkit::{Captured, NatsServer, RawClient};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::delivery::harness::*;
use crate::net::{DEADLINE, Net, generous, settle};

#[tokio::test]
async fn requests_get_their_reply() {
    let net = Net::start().await;
    let _bob = net
        .agent("bob")
        .capabilities(["sum"])
        .limits(|limits| limits.work_timeout = RETRY_TIMEOUT)
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

    let error = alice
        .request("@bob", "silent")
        .timeout(SHORT_TIMEOUT)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            RequestError::Timeout {
                timeout: SHORT_TIMEOUT,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().ends_with("within 0.2 s"), "{error}");
    // An answer to a message that wants none.
    let error = alice.reply(&reply, "thanks").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Cannot reply: incoming message has no reply_to subject."
    );
}

#[tokio::test]
async fn a_request_lives_as_long_as_its_reply_is_waited_for() {
    let net = Net::start().await;
    let _bob = net
        .agent("bob")
        .on_message(|message, context| async move {
            let ttl_ms = message.ttl_ms.unwrap_or_default().to_string();
            context.reply(json!({ "text": ttl_ms })).await?;
            Ok(())
        })
        .start()
        .await
        .unwrap();
    let alice = net.agent("alice").start().await.unwrap();
    let ask = |seconds| alice.request("@bob", "hi").timeout(Duration::from_secs(seconds));
    for (request, expected) in [
        (ask(5), "30000"),
        (ask(90), "90000"),
        (ask(86_400), "600000"),
        (ask(90).ttl_ms(7_000), "7000"),
    ] {
        assert_eq!(request.await.unwrap().text().as_deref(), Some(expected));
    }
    let stream = alice.request_stream("@bob", "hi").timeout(Duration::from_secs(90));
    assert_eq!(stream.await.unwrap().text().await.unwrap(), "90000");
}

#[tokio::test]
async fn a_request_without_a_subscriber_fails_at_once() {
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

/// What a JetStream stream answers to a message that it stores, and what it answers if it cannot.
const OTHER_ANSWERS: [&str; 3] = [
    r#"{"stream":"BACKUP","seq":7}"#,
    r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"BACKUP","seq":0}"#,
    "[1, 2]",
];

/// Replies with a text that is larger than it may be.
fn large_replies() -> [String; 2] {
    let (name, id) = ("x".repeat(257), "x".repeat(1_025));
    [
        json!({ "message_id": "r0", "from_agent": name, "payload": { "text": "too large" } }),
        json!({ "message_id": "r0", "from_agent": "peer", "thread_id": id, "payload": { "text": "too large" } }),
    ]
    .map(|reply| reply.to_string())
}

#[tokio::test]
async fn what_is_no_message_does_not_pass_for_the_reply() {
    let net = Net::start().await;
    let client = net.raw.clone();
    let mut requests = client.subscribe(INBOX).await.unwrap();
    net.settle().await;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply = request.reply.unwrap();
            for other in OTHER_ANSWERS {
                client.publish(reply.clone(), other.into()).await.unwrap();
            }
            for large in large_replies() {
                client.publish(reply.clone(), large.into()).await.unwrap();
            }
            let answer = json!({ "message_id": "r1", "from_agent": "peer", "payload": { "text": "the answer" } });
            client.publish(reply, answer.to_string().into()).await.unwrap();
        }
    });
    let alice = net.agent("alice").start().await.unwrap();
    let reply = alice.request("acct_peer", "hi").await.unwrap();
    assert_eq!(reply.text().as_deref(), Some("the answer"));
    let refused = u64::try_from(OTHER_ANSWERS.len() + large_replies().len()).unwrap();
    assert_eq!(alice.metrics_snapshot().refused_reply_count, refused);
    let stream = alice.request_stream("acct_peer", "hi").await.unwrap();
    assert_eq!(stream.text().await.unwrap(), "the answer");
}

/// The same for the registry's answers.
#[tokio::test]
async fn only_an_answer_of_the_registry_is_taken_as_one() {
    let nats = NatsServer::builder().start().await.unwrap();
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let mut calls = client.subscribe("registry.*").await.unwrap();
    settle(&client).await;
    let answering = client.clone();
    tokio::spawn(async move {
        while let Some(call) = calls.next().await {
            let reply = call.reply.unwrap();
            for other in OTHER_ANSWERS {
                answering.publish(reply.clone(), other.into()).await.unwrap();
            }
            let answer = match call.subject.as_str() {
                "registry.list" => json!({ "generated_at": "2026-02-21T08:00:00Z", "agents": [{ "agent_id": "a" }] }),
                "registry.profile" => json!({ "error": "not_found" }),
                _ => continue,
            };
            answering.publish(reply, answer.to_string().into()).await.unwrap();
        }
    });
    let registry = RegistryClient::connect(&nats.url()).await.unwrap();
    assert_eq!(registry.list_online().await.unwrap()[0].agent_id, "a");
    let body = registry.call_raw(&ListRequest::default()).await.unwrap();
    assert_eq!(crate::net::parse(&body)["agents"][0]["agent_id"], "a", "{body:?}");
    assert!(
        registry
            .call(&ProfileRequest::default())
            .await
            .unwrap_err()
            .is_not_found()
    );
    // Where nothing else comes, the error says what came.
    let error = registry
        .with_timeout(3 * SHORT_TIMEOUT)
        .call(&MetricsRequest)
        .await
        .unwrap_err();
    assert!(matches!(error, RegistryError::Invalid { .. }), "{error}");
}

#[tokio::test]
async fn where_no_message_comes_the_error_says_what_came() {
    let [large, _] = large_replies();
    for (answer, why) in [
        ("[1, 2]".to_owned(), "the body must be a JSON object"),
        (large, "from_agent has 257 bytes; at most 256 are allowed"),
    ] {
        let net = Net::start().await;
        let client = net.raw.clone();
        let mut requests = client.subscribe(INBOX).await.unwrap();
        net.settle().await;
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let body = answer.clone().into();
                client.publish(request.reply.unwrap(), body).await.unwrap();
            }
        });
        let alice = net.agent("alice").start().await.unwrap();
        let error = alice
            .request("acct_peer", "hi")
            .timeout(Duration::from_secs(2))
            .await
            .unwrap_err();
        assert!(matches!(error, RequestError::Invalid { .. }));
        let text = error.to_string();
        assert!(text.ends_with(&format!("cannot be read: {why}")), "{text}");
    }
}

#[tokio::test]
async fn closing_ends_what_waits() {
    let harness = Harness::start(|_, _| vec![]).await;
    let send = tokio::spawn(
        harness
            .node
            .send_to_account("acct_peer", "hi")
            .receipt_timeout(DEADLINE * 10)
            .into_future(),
    );
    let request = tokio::spawn(
        harness
            .node
            .request_account("acct_peer", "hi")
            .timeout(DEADLINE * 10)
            .into_future(),
    );
    let both = |seen: &[Captured]| seen.iter().filter(|seen| seen.subject == INBOX).count() == 2;
    harness.wire.wait_until(both, DEADLINE).await.unwrap();
    harness.node.close().await;
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
