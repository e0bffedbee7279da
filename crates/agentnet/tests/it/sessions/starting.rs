//! Starts that succeed at once, and starts that cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentnet::{AgentBuilder, AgentNode, SendError, StartError};
use agentnet_testkit::{NatsServer, RawClient, eventually_true};
use futures::StreamExt;

use crate::net::{DEADLINE, agent};
use crate::realm::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_be_says_why() {
    async fn failure(agent: AgentBuilder) -> StartError {
        let started = tokio::time::timeout(DEADLINE, agent.start())
            .await
            .expect("no start hangs");
        started.expect_err("it cannot start")
    }
    let nats = NatsServer::builder().token("s3cret").start().await.unwrap();
    let address = nats.url_without_token();

    let error = failure(agent(&nats.url(), "a")).await;
    assert_eq!(
        error.to_string(),
        "Registry register failed: No registry answers registry.register. Is it running?"
    );
    for url in [address.clone(), address.replace("nats://", "nats://wr0ng@")] {
        let error = failure(agent(&url, "a")).await;
        assert!(matches!(error, StartError::Connect(_)));
        let text = error.to_string();
        assert!(text.contains("refused the credentials: check the token"), "{text}");
        assert!(!text.contains("wr0ng"), "the token is not shown: {text}");
    }
    let refusing = RawClient::connect(&nats.url()).await.unwrap();
    let mut requests = refusing.subscribe("registry.register").await.unwrap();
    crate::net::settle(&refusing).await;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            // A call whose answer is none is made again.
            let answer = match crate::net::parse(&request.payload)["agent_id"].as_str().unwrap() {
                "a0" => r#"{"error":"agent_id is required"}"#,
                "a1" => "[]",
                _ => r#"{"account_id":"a"}"#,
            };
            let answer = answer.into();
            refusing.publish(request.reply.unwrap(), answer).await.unwrap();
        }
    });
    for (number, why) in [
        "agent_id is required",
        "the registry's reply to registry.register cannot be read: the body must be a JSON object",
        "the registry's reply to registry.register cannot be read: `session_tag` is missing",
    ]
    .iter()
    .enumerate()
    {
        let error = failure(agent(&nats.url(), &format!("a{number}"))).await;
        assert_eq!(error.to_string(), format!("Registry register failed: {why}"));
    }
    drop(nats);
    let error = failure(agent(&address, "a")).await;
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("Cannot connect to NATS at {address}. Is it running?")),
        "{text}"
    );
    for (url, said) in [("http://127.0.0.1:1", "http"), ("nats://", "nats://"), ("", "")] {
        let error = failure(agent(url, "a")).await;
        assert!(matches!(error, StartError::Config(_)), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    let started = tokio::time::timeout(DEADLINE, agent(&url, "a").start())
        .await
        .expect("no start hangs");
    let error = started.expect_err("nobody answers").to_string();
    assert!(
        error.starts_with(&format!("Cannot connect to NATS at {url}. Is it running?")),
        "{error}"
    );
    silent.abort();
}

/// The server ends the connection of who names a subject of more than 4,096 bytes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_for_a_subject_does_not_break_the_connection() {
    let realm = Realm::start().await;
    let long = "a".repeat(5000);
    let handled = Handled::default();
    let receiver = echo(realm.agent("long"), "long", &handled).start().await.unwrap();
    let sender = realm.agent("sender").start().await.unwrap();
    for error in [
        sender.send_to_account(&long, "hi").await.unwrap_err(),
        sender.send_to_capability(&long, "hi").await.unwrap_err(),
    ] {
        assert!(matches!(error, SendError::Unroutable(_)), "{error}");
        let text = error.to_string();
        assert!(text.len() < 400 && text.contains("at most 1024 bytes"), "{text}");
    }
    sender
        .send_to_account(receiver.account_id().unwrap(), "hi")
        .retry_attempts(1)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_started_can_be_reached_at_once() {
    let realm = Realm::start().await;
    for number in 0..20 {
        let handled = Handled::default();
        let node: AgentNode = echo(realm.agent(&format!("n{number}")), "node", &handled)
            .start()
            .await
            .unwrap();
        // By another connection, which the server may serve before the node's.
        let inbox = format!("account.{}.receipts", node.account_id().unwrap());
        assert!(crate::net::has_subscriber(&realm.raw, &inbox).await);
        node.close().await;
        eventually_true(DEADLINE, "its connection is gone", async || {
            !crate::net::has_subscriber(&realm.raw, &inbox).await
        })
        .await
        .unwrap();
    }
}

/// Messages arrive from the subscription on, which is before the start has ended.
#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_run_early_find_their_node_running() {
    let realm = Realm::start().await;
    let (handled, too_early) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (handled.clone(), too_early.clone());
    let node = realm
        .agent("early")
        .limits(crate::net::generous)
        .on_message(move |_, context| {
            let (handled, too_early) = counters.clone();
            async move {
                handled.fetch_add(1, Ordering::Relaxed);
                if context.node().account_id().is_none() {
                    too_early.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        });
    let node = node.start().await.unwrap();
    let account = node.account_id().unwrap();
    let sender = realm.agent("sender").start().await.unwrap();
    let flood = tokio::spawn(async move {
        loop {
            let _ = sender.send_to_account(&account, "now").without_ack().await;
            tokio::task::yield_now().await;
        }
    });
    let mut starts = 0;
    eventually_true(DEADLINE, "messages come to twenty new sessions", async || {
        node.close().await;
        let before = handled.load(Ordering::Relaxed);
        node.start().await.unwrap();
        eventually_true(DEADLINE, "a message comes", async || {
            handled.load(Ordering::Relaxed) > before
        })
        .await
        .unwrap();
        starts += 1;
        starts == 20
    })
    .await
    .unwrap();
    flood.abort();
    assert_eq!(
        too_early.load(Ordering::Relaxed),
        0,
        "messages whose handler could not reply"
    );
}
