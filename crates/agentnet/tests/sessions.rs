//! Sessions, with the real registry: several nodes of one account, closing and starting again, and what happens when server
//! or registry go away (PROTOCOL.md sections 0.7 and 14).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod net;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::{AgentBuilder, AgentNode, RegistryClient, StartError};
use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_store::{OpenOptions, Store};
use agentnet_testkit::{Capture, Captured, NatsServer, RawClient, eventually_true};
use async_nats::Client;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use net::{DEADLINE, agent, generous, parse};
use serde_json::{Value, json};

/// A server and a registry, both real.
struct Realm {
    nats: NatsServer,
    store: Arc<dyn Store>,
    registry: Option<RegistryHandle>,
    raw: Client,
}

impl Realm {
    async fn start() -> Self {
        let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
        let store = agentnet_store::open("sqlite::memory:", &OpenOptions::default())
            .await
            .unwrap();
        let raw = RawClient::connect(&nats.url()).await.unwrap();
        let mut realm = Self {
            nats,
            store,
            registry: None,
            raw,
        };
        realm.start_registry().await;
        realm
    }

    async fn start_registry(&mut self) {
        let config = RegistryConfig {
            nats_url: self.nats.url(),
            heartbeat_interval: Duration::from_secs(1),
            ..RegistryConfig::default()
        };
        self.registry = Some(Registry::start(config, self.store.clone()).await.unwrap());
    }

    fn agent(&self, id: &str) -> AgentBuilder {
        agent(&self.nats.url(), id).limits(generous)
    }

    async fn capture(&self, subject: &str) -> Capture {
        Capture::subscribe(&self.raw, subject).await.unwrap()
    }

    /// Kills the server and starts it again.
    async fn crash_server(&mut self) {
        self.nats.kill9();
        self.nats.restart().await.unwrap();
        self.raw = RawClient::connect(&self.nats.url()).await.unwrap();
    }

    /// Waits until each node says hello (again), by which time it has subscribed everything again.
    async fn until_hello(&self, nodes: &[&AgentNode]) {
        let hello = self.capture("registry.hello").await;
        for node in nodes {
            let tag = node.session_tag().unwrap();
            let said = |seen: &Captured| parse(&seen.payload)["session_tag"] == tag.as_str();
            hello.wait_for(said, DEADLINE).await.unwrap();
        }
    }

    /// The sessions that the registry shows as online for a username.
    async fn sessions(&self, username: &str) -> Vec<String> {
        let registry = RegistryClient::new(self.raw.clone());
        let Ok(list) = registry.call(&agentnet::protocol::rpc::ListRequest::default()).await else {
            return Vec::new();
        };
        let of_name = list
            .agents
            .into_iter()
            .filter(|agent| agent.username.as_deref() == Some(username));
        of_name.filter_map(|agent| agent.session_tag).collect()
    }

    async fn until_sessions(&self, username: &str, count: usize) {
        eventually_true(DEADLINE, &format!("{username} has {count} sessions"), async || {
            self.sessions(username).await.len() == count
        })
        .await
        .unwrap();
    }
}

/// How often which message was handled, by which node.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<BTreeMap<String, Vec<&'static str>>>>);

impl Handled {
    fn note(&self, message_id: &str, by: &'static str) {
        self.0
            .lock()
            .unwrap()
            .entry(message_id.to_owned())
            .or_default()
            .push(by);
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn by(&self, node: &str) -> usize {
        self.0.lock().unwrap().values().filter(|by| by.contains(&node)).count()
    }

    fn twice(&self) -> Vec<String> {
        let handled = self.0.lock().unwrap();
        handled
            .iter()
            .filter(|(_, by)| by.len() > 1)
            .map(|(id, _)| id.clone())
            .collect()
    }
}

/// A node that notes what it handles and echoes requests.
fn echo(agent: AgentBuilder, name: &'static str, handled: &Handled) -> AgentBuilder {
    let handled = handled.clone();
    agent.on_message(move |message, context| {
        let handled = handled.clone();
        async move {
            handled.note(&message.message_id, name);
            if message.wants_reply() {
                context.reply(message.payload()).await?;
            }
            Ok(())
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_of_one_account_share_the_inbox_and_see_their_own_receipts() {
    let realm = Realm::start().await;
    let handled = Handled::default();
    let first = echo(realm.agent("duo"), "first", &handled).start().await.unwrap();
    let second = echo(realm.agent("duo"), "second", &handled).start().await.unwrap();
    assert_eq!(first.account_id(), second.account_id());
    assert_ne!(first.session_tag(), second.session_tag());
    realm.until_sessions("duo", 2).await;

    let other = echo(realm.agent("other"), "other", &Handled::default())
        .start()
        .await
        .unwrap();
    for number in 0..200 {
        other.send("@duo", json!(number)).await.unwrap();
    }
    eventually_true(DEADLINE, "all are handled", async || handled.count() == 200)
        .await
        .unwrap();
    assert_eq!(handled.twice(), Vec::<String>::new());
    assert!(
        handled.by("first") > 0 && handled.by("second") > 0,
        "both get their share"
    );

    // Each gets the receipts and replies of its own messages, though both use one receipts subject.
    for number in 0..50 {
        let (a, b) = tokio::join!(
            first.send("@other", json!(number)).into_future(),
            second.send("@other", json!(number)).into_future()
        );
        a.unwrap();
        b.unwrap();
        let (a, b) = tokio::join!(
            first.request("@other", json!({ "first": number })).into_future(),
            second.request("@other", json!({ "second": number })).into_future()
        );
        assert_eq!(a.unwrap().json::<Value>().unwrap(), json!({ "first": number }));
        assert_eq!(b.unwrap().json::<Value>().unwrap(), json!({ "second": number }));
    }
    for node in [&first, &second] {
        let metrics = node.metrics_snapshot();
        assert_eq!((metrics.retry_count, metrics.receipt_timeout_count), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_one_of_two_while_messages_flow_loses_nothing() {
    close_one_of_two(100, 500, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_one_of_two_with_a_long_queue_loses_nothing() {
    close_one_of_two(2_000, 200, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_one_of_two_after_a_reconnection_loses_nothing() {
    close_one_of_two(100, 500, true).await;
}

/// Sends and requests, so many at a time, and closes one of two receivers when so many are done.
async fn close_one_of_two(at_a_time: usize, close_at: usize, reconnected: bool) {
    const COUNT: usize = 2_000;
    let mut realm = Realm::start().await;
    let handled = Handled::default();
    let leaving = echo(realm.agent("duo"), "leaving", &handled).start().await.unwrap();
    let staying = echo(realm.agent("duo"), "staying", &handled).start().await.unwrap();
    let sender = realm.agent("sender").start().await.unwrap();
    sender.resolve_username("duo").await.unwrap();

    if reconnected {
        realm.crash_server().await;
        realm.until_hello(&[&leaving, &staying, &sender]).await;
    }
    let exchange = |number: usize| {
        let node = sender.clone();
        async move {
            if number.is_multiple_of(2) {
                node.send("@duo", json!(number)).await.unwrap();
            } else {
                let reply = node.request("@duo", json!(number)).timeout(DEADLINE).await.unwrap();
                assert_eq!(reply.json::<usize>().unwrap(), number);
            }
        }
    };
    let mut numbers = 0..COUNT;
    let mut flowing: FuturesUnordered<_> = numbers.by_ref().take(at_a_time).map(exchange).collect();
    let mut close = None;
    let mut done = 0;
    while flowing.next().await.is_some() {
        flowing.extend(numbers.next().map(exchange));
        done += 1;
        if done == close_at {
            let leaving = leaving.clone();
            close = Some(tokio::spawn(async move { leaving.close().await }));
        }
    }
    assert_eq!(done, COUNT);
    tokio::time::timeout(DEADLINE, close.unwrap()).await.unwrap().unwrap();
    eventually_true(DEADLINE, "all are handled", async || handled.count() == COUNT)
        .await
        .unwrap();
    assert_eq!(handled.twice(), Vec::<String>::new(), "each once");
    let shares = (handled.by("leaving"), handled.by("staying"));
    assert!(shares.0 > 0 && shares.1 > 0, "{shares:?}");
    assert_eq!(sender.metrics_snapshot().retry_count, 0, "and none had to be repeated");
    realm.until_sessions("duo", 1).await;
    assert_eq!(realm.sessions("duo").await, [staying.session_tag().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn close_finishes_what_was_accepted() {
    let realm = Realm::start().await;
    let finished = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (counter, handler_gate) = (finished.clone(), gate.clone());
    let worker = realm
        .agent("worker")
        .limits(|limits| limits.max_concurrency = 2)
        .on_message(move |_, _| {
            let (counter, gate) = (counter.clone(), handler_gate.clone());
            async move {
                gate.acquire().await?.forget();
                counter.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let sender = realm.agent("sender").start().await.unwrap();
    for number in 0..20 {
        sender.send("@worker", json!(number)).await.unwrap();
    }
    let session = worker.session_tag().unwrap();
    let goodbye = realm.capture("registry.goodbye").await;
    let closing = tokio::spawn({
        let worker = worker.clone();
        async move { worker.close().await }
    });
    // It has left its inbox while it still works.
    let inbox = format!("account.{}.inbox", worker.account_id().unwrap());
    let left = |seen: &Captured| parse(&seen.payload)["session_tag"] == session.as_str();
    assert!(!goodbye.messages().iter().any(left));
    gate.add_permits(20);
    closing.await.unwrap();
    assert_eq!(finished.load(Ordering::SeqCst), 20);
    let seen = goodbye.wait_for(left, DEADLINE).await.unwrap();
    let goodbye = parse(&seen.payload);
    assert_eq!(net::keys(&goodbye), ["agent_id", "session_tag", "seen_at"]);
    assert_eq!(goodbye["agent_id"], "worker");
    realm.until_sessions("worker", 0).await;
    assert_eq!(worker.metrics_snapshot().processed_count, 20);
    assert_eq!((worker.session_tag(), worker.account_id()), (None, None));
    assert!(
        inbox.contains(&worker.metrics_snapshot().account_id.unwrap()),
        "the last identity is kept"
    );
    worker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_handler_does_not_hold_close_up_and_its_senders_are_told() {
    let realm = Realm::start().await;
    let stuck = Arc::new(AtomicBool::new(false));
    let flag = stuck.clone();
    let worker = realm
        .agent("worker")
        .limits(|limits| {
            limits.max_concurrency = 1;
            limits.drain_timeout = Duration::from_millis(200);
        })
        .on_message(move |_, _| {
            flag.store(true, Ordering::SeqCst);
            std::future::pending()
        })
        .start()
        .await
        .unwrap();
    let sender = realm.agent("sender").start().await.unwrap();
    let requests: Vec<_> = (0..3)
        .map(|number| tokio::spawn(sender.request("@worker", json!(number)).timeout(DEADLINE).into_future()))
        .collect();
    eventually_true(DEADLINE, "one is stuck, two wait", async || {
        stuck.load(Ordering::SeqCst) && worker.metrics_snapshot().pending_count == 2
    })
    .await
    .unwrap();
    let receipts = realm
        .capture(&format!("account.{}.receipts", sender.account_id().unwrap()))
        .await;
    tokio::time::timeout(DEADLINE, worker.close())
        .await
        .expect("close is not held up");
    for request in requests {
        let reply = tokio::time::timeout(DEADLINE, request).await.unwrap().unwrap().unwrap();
        assert_eq!(
            (&*reply.kind, reply.error_code().as_deref()),
            ("error", Some("shutting_down"))
        );
    }
    let refused = |seen: &[Captured]| {
        let codes = seen.iter().map(|seen| parse(&seen.payload)["code"].clone());
        codes.filter(|code| code == "shutting_down").count() == 3
    };
    receipts.wait_until(refused, DEADLINE).await.unwrap();
    assert_eq!(worker.metrics_snapshot().dropped_count, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_node_starts_again() {
    let realm = Realm::start().await;
    let handled = Handled::default();
    let node = echo(realm.agent("again"), "again", &handled).start().await.unwrap();
    assert!(matches!(node.start().await, Err(StartError::Running)));
    let (account, session) = (node.account_id(), node.session_tag());
    let sender = realm.agent("sender").start().await.unwrap();
    for round in 1..=3 {
        assert_eq!(node.account_id(), account, "the account stays");
        sender.request("@again", json!(round)).await.unwrap();
        node.send("@sender", "unheard").without_ack().await.unwrap();
        node.close().await;
        realm.until_sessions("again", 0).await;
        node.start().await.unwrap();
        assert_ne!(node.session_tag(), session, "the session does not");
        realm.until_sessions("again", 1).await;
    }
    assert_eq!(handled.count(), 3);
    assert_eq!(node.metrics_snapshot().processed_count, 3, "counters go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_ends_everything() {
    let realm = Realm::start().await;
    let alive = Arc::new(());
    let held = alive.clone();
    let node = realm
        .agent("dropped")
        .on_message(move |_, _| {
            let held = held.clone();
            async move {
                drop(held);
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let inbox = format!("account.{}.receipts", node.account_id().unwrap());
    let clone = node.clone();
    drop(node);
    assert!(
        net::somebody_listens(&realm.raw, &inbox).await,
        "another handle keeps it alive"
    );
    drop(clone);
    eventually_true(DEADLINE, "its tasks and its handler are gone", async || {
        Arc::strong_count(&alive) == 1
    })
    .await
    .unwrap();
    eventually_true(DEADLINE, "its connection is gone", async || {
        !net::somebody_listens(&realm.raw, &inbox).await
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_back_after_the_server_was_killed() {
    let mut realm = Realm::start().await;
    let handled = Handled::default();
    let receiver = echo(realm.agent("receiver"), "receiver", &handled)
        .capabilities(["chat"])
        .start()
        .await
        .unwrap();
    let quick = |limits: &mut agentnet::Limits| {
        generous(limits);
        limits.receipt_timeout = Duration::from_secs(2);
        limits.send_retry_attempts = 10;
    };
    let sender = agent(&realm.nats.url(), "sender").limits(quick).start().await.unwrap();
    sender.send("@receiver", "before").await.unwrap();

    let pending = tokio::spawn({
        realm.nats.kill9();
        sender.send("@receiver", "during the outage").into_future()
    });
    realm.crash_server().await;
    tokio::time::timeout(DEADLINE, pending)
        .await
        .unwrap()
        .unwrap()
        .expect("within its attempts");
    realm.until_hello(&[&receiver, &sender]).await;
    // Everything is subscribed again: inbox, capability, receipts, replies.
    sender.send("@receiver", "after").await.unwrap();
    sender.send_to_capability("chat", "after").await.unwrap();
    let reply = sender
        .request("@receiver", json!("after"))
        .timeout(DEADLINE)
        .await
        .unwrap();
    assert_eq!(reply.json::<String>().unwrap(), "after");
    eventually_true(DEADLINE, "all are handled", async || handled.count() == 5)
        .await
        .unwrap();
    assert_eq!(handled.twice(), Vec::<String>::new(), "a repeated send is handled once");
    realm.until_sessions("receiver", 1).await;
    // After a reconnection closing is clean too.
    tokio::time::timeout(DEADLINE, receiver.close()).await.unwrap();
    realm.until_sessions("receiver", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hello_after_a_reconnection_comes_at_once() {
    // The scripted registry tells nodes to say hello every twelve seconds.
    let mut net = net::Net::start().await;
    let hellos = net.capture("registry.hello").await;
    let node = net.agent("patient").start().await.unwrap();
    hellos.wait_for(|_| true, DEADLINE).await.unwrap();
    assert_eq!(hellos.messages().len(), 1, "one at start");
    net.nats.kill9();
    net.nats.restart().await.unwrap();
    let raw = RawClient::connect(&net.nats.url()).await.unwrap();
    let hellos = Capture::subscribe(&raw, "registry.hello").await.unwrap();
    let inbox = format!("account.{}.receipts", node.account_id().unwrap());
    eventually_true(DEADLINE, "the node is back", async || {
        net::somebody_listens(&raw, &inbox).await
    })
    .await
    .unwrap();
    let again = hellos.wait_for(|_| true, Duration::from_secs(8)).await;
    assert!(again.is_ok(), "before the next heartbeat would be due");
}

#[tokio::test(flavor = "multi_thread")]
async fn close_without_a_server_ends() {
    let mut realm = Realm::start().await;
    let handled = Handled::default();
    let node = echo(realm.agent("alone"), "alone", &handled).start().await.unwrap();
    realm.nats.kill9();
    tokio::time::timeout(DEADLINE, node.close())
        .await
        .expect("close needs no server");
    assert!(node.session_tag().is_none());
    let error = tokio::time::timeout(DEADLINE, node.start()).await.unwrap().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Cannot connect to NATS at nats://127.0.0.1:"),
        "{error}"
    );
    realm.nats.restart().await.unwrap();
    eventually_true(DEADLINE, "it starts again", async || node.start().await.is_ok())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_registry_learns_the_session_from_the_next_hello() {
    let mut realm = Realm::start().await;
    let node = realm.agent("steady").capabilities(["chat"]).start().await.unwrap();
    let session = node.session_tag().unwrap();
    realm.registry.take().unwrap().shutdown().await;
    realm.start_registry().await;
    realm.until_sessions("steady", 1).await;
    assert_eq!(node.resolve_username("steady").await.ok(), node.account_id());
    // With another store the registry knows nothing at all.
    realm.registry.take().unwrap().shutdown().await;
    realm.store = agentnet_store::open("sqlite::memory:", &OpenOptions::default())
        .await
        .unwrap();
    realm.start_registry().await;
    realm.until_sessions("steady", 1).await;
    assert_eq!(realm.sessions("steady").await, [session]);
}

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
    net::settle(&refusing).await;
    tokio::spawn(async move {
        let mut answers = [r#"{"error":"agent_id is required"}"#, "[]", r#"{"account_id":"a"}"#]
            .iter()
            .cycle();
        while let Some(request) = requests.next().await {
            let answer = (*answers.next().unwrap()).into();
            refusing.publish(request.reply.unwrap(), answer).await.unwrap();
        }
    });
    for why in [
        "agent_id is required",
        "the registry's reply to registry.register cannot be read: the body must be a JSON object",
        "the registry's reply to registry.register cannot be read: `session_tag` is missing",
    ] {
        let error = failure(agent(&nats.url(), "a")).await;
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
        assert!(net::somebody_listens(&realm.raw, &inbox).await);
        node.close().await;
        eventually_true(DEADLINE, "its connection is gone", async || {
            !net::somebody_listens(&realm.raw, &inbox).await
        })
        .await
        .unwrap();
    }
}
