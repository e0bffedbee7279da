//! Several registries on one network and one database.

mod presence;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_testkit::{Capture, RawClient, eventually, eventually_true};
use futures::StreamExt as _;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::observed::{Line, Observed};
use crate::support::{Backend, DEADLINE, Network, message};

/// Registries, each with a handle of its own on the database.
struct Replica {
    registry: RegistryHandle,
    store: Arc<Observed>,
}

async fn replica(net: &Network, server_id: &str, ttl: Duration) -> Replica {
    let store = Observed::new(net.store().await, Line::Up);
    let config = RegistryConfig {
        server_id: server_id.to_owned(),
        agent_ttl: ttl,
        gc_interval: ttl / 8,
        ..net.config()
    };
    Replica {
        registry: Registry::start(config, store.clone()).await.unwrap(),
        store,
    }
}

async fn replicas(net: &Network, ttl: Duration) -> Vec<Replica> {
    let mut all = Vec::new();
    for server_id in ["r1", "r2", "r3"] {
        all.push(replica(net, server_id, ttl).await);
    }
    all
}

/// Agents that say hello until this is dropped.
struct Agents {
    sessions: Vec<Value>,
    heartbeat: tokio::task::JoinHandle<()>,
}

impl Agents {
    async fn join(net: &Network, count: usize) -> Self {
        let mut sessions = Vec::new();
        for number in 0..count {
            sessions.push(net.register(&format!("agent{number:03}")).await);
        }
        let hellos: Vec<String> = sessions
            .iter()
            .map(|session| {
                let agent_id = format!("{}_agent", session["username"].as_str().unwrap());
                json!({"agent_id": agent_id, "session_tag": session["session_tag"],
                       "account_id": session["account_id"], "username": session["username"]})
                .to_string()
            })
            .collect();
        let client = net.client.clone();
        let heartbeat = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(400));
            loop {
                tick.tick().await;
                for hello in &hellos {
                    client.publish("registry.hello", hello.clone().into()).await.unwrap();
                }
            }
        });
        Self { sessions, heartbeat }
    }

    fn tags(&self) -> BTreeSet<String> {
        self.sessions
            .iter()
            .map(|session| text(&session["session_tag"]))
            .collect()
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Waits until the life of each of these sessions was written by exactly one of the registries, and by that one only.
async fn each_by_one(all: &[Replica], tags: &BTreeSet<String>) {
    eventually(DEADLINE, async || {
        let writes: Vec<_> = all.iter().map(|one| one.store.writes()).collect();
        let mut writers: HashMap<&String, usize> = HashMap::new();
        for (tag, [touches, _, _]) in writes.iter().flatten() {
            *writers.entry(tag).or_default() += usize::from(*touches > 0);
        }
        writers.retain(|_, writers| *writers > 0);
        let twice = writers.values().filter(|writers| **writers > 1).count();
        if twice > 0 {
            for one in all {
                one.store.take_writes();
            }
            return Err(format!("{twice} were written by several"));
        }
        match writers.len() {
            count if count == tags.len() => Ok(()),
            count => Err(format!("{count} of {} were written", tags.len())),
        }
    })
    .await
    .unwrap();
}

async fn online_in_store(net: &Network) -> BTreeSet<String> {
    let online = net.store().await.online_sessions().await.unwrap();
    online.into_iter().map(|session| session.session_tag).collect()
}

#[rstest]
#[tokio::test]
async fn a_thousand_registrations_at_once_give_one_account_a_name(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _all = replicas(&net, Duration::from_secs(40)).await;
    // 500 names of their own, and 500 requests for 20 names.
    let name = |number: usize| match number % 2 {
        0 => format!("own{number:03}"),
        _ => format!("shared{:02}", number % 40 / 2),
    };
    let client = &net.client;
    let replies = futures::future::join_all((0..1000).map(|number| async move {
        let request = json!({"agent_id": format!("a{number}"), "username": name(number)});
        let request = async_nats::Request::new()
            .payload(request.to_string().into())
            .timeout(Some(DEADLINE * 3));
        let reply = client.send_request("registry.register", request).await.unwrap();
        serde_json::from_slice::<Value>(&reply.payload).unwrap()
    }))
    .await;
    let mut accounts: HashMap<String, BTreeSet<String>> = HashMap::new();
    let mut tags = BTreeSet::new();
    for (number, reply) in replies.iter().enumerate() {
        assert_eq!(reply.get("error"), None, "{reply}");
        assert_eq!(text(&reply["username"]), name(number));
        accounts
            .entry(name(number))
            .or_default()
            .insert(text(&reply["account_id"]));
        tags.insert(text(&reply["session_tag"]));
    }
    assert_eq!((accounts.len(), tags.len()), (520, 1000));
    assert!(accounts.values().all(|ids| ids.len() == 1), "one account a name");
    eventually_true(DEADLINE, "every registry knows all sessions", async || {
        for _ in 0..6 {
            if net.online().await.len() != 1000 {
                return false;
            }
        }
        true
    })
    .await
    .unwrap();
}

#[rstest]
#[tokio::test]
async fn a_rolling_restart_loses_no_request(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const REQUESTS: usize = 5000;
    let net = Network::on(backend, true).await;
    let ttl = Duration::from_secs(40);
    let mut all = replicas(&net, ttl).await;
    net.register("alice").await;
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    // No client repeats anything; asking ends when both the requests and the restarts are through.
    let ask = async || {
        let mut failed = Vec::new();
        while asked.fetch_add(1, relaxed) < REQUESTS || !done.load(relaxed) {
            let reply = net
                .client
                .request("registry.resolve_account", r#"{"username":"alice"}"#.into())
                .await;
            match reply {
                Ok(reply) if !reply.payload.starts_with(b"{\"error\"") => {}
                Ok(reply) => failed.push(String::from_utf8_lossy(&reply.payload).into_owned()),
                Err(error) => failed.push(error.to_string()),
            }
        }
        failed
    };
    let restart = async {
        for server_id in ["r1", "r2", "r3"] {
            all.remove(0).registry.shutdown().await;
            all.push(replica(&net, server_id, ttl).await);
        }
        done.store(true, relaxed);
    };
    let asking = futures::future::join_all((0..40).map(|_| ask()));
    let (failed, ()) = futures::join!(asking, restart);
    assert_eq!(failed.concat(), Vec::<String>::new());
    assert!(asked.load(relaxed) >= REQUESTS);
}

#[rstest]
#[tokio::test]
async fn a_used_nonce_is_known_to_all(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let mut registries = Vec::new();
    for server_id in ["r1", "r2", "r3"] {
        let config = RegistryConfig {
            server_id: server_id.into(),
            dev_auth: true,
            ..net.config()
        };
        registries.push(net.registry_with(config).await);
    }
    let key = agentnet_protocol::signature::SigningKey::from_seed(&[1; 32]);
    let announced = Capture::subscribe(&net.client, "agentnet.registry.announce")
        .await
        .unwrap();
    for round in 0..10 {
        let nonce = format!("nonce{round}");
        let now = std::time::SystemTime::now().into();
        let claims = agentnet_protocol::register_auth::claims("a", "N", Some("alice"), None, now, &nonce);
        let auth: Value = serde_json::from_str(key.auth(&claims).get()).unwrap();
        let request = json!({"agent_id": "a", "name": "N", "username": "alice", "auth": auth});
        let reply = net.ask("register", request.clone()).await;
        assert_eq!(reply["username"], "alice", "{reply}");
        announced
            .wait_for(|message| message.text().contains(&nonce), DEADLINE)
            .await
            .unwrap();
        for _ in 0..10 {
            assert_eq!(
                net.ask("register", request.clone()).await,
                json!({"error": "auth_nonce_replayed"})
            );
        }
    }
}

#[rstest]
#[tokio::test]
async fn two_registries_of_one_name_do_each_other_no_harm(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let ttl = Duration::from_secs(8);
    let all = vec![replica(&net, "r", ttl).await, replica(&net, "r", ttl).await];
    let agents = Agents::join(&net, 40).await;
    assert_eq!(agents.tags().len(), 40, "tags differ");
    each_by_one(&all, &agents.tags()).await;
    for _ in 0..20 {
        assert_eq!(net.online().await.len(), 40);
    }
    assert_eq!(online_in_store(&net).await, agents.tags());
}

#[rstest]
#[tokio::test]
async fn a_registry_that_just_started_leaves_the_bounce_to_those_who_know(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let warm = net.registry().await;
    let bob = net.register("bob").await;
    net.publish("registry.goodbye", json!({"session_tag": bob["session_tag"]}))
        .await;
    assert!(net.online().await.is_empty());
    let subject = format!("account.{}.inbox", text(&bob["account_id"]));
    let ask = async |number: usize| {
        let reply = net
            .client
            .request(subject.clone(), message(&format!("r{number}"), "t").to_string().into());
        serde_json::from_slice::<Value>(&reply.await.unwrap().payload).unwrap()
    };
    let ttl = Duration::from_secs(2);
    let cold = replica(&net, "cold", Duration::from_secs(40)).await;
    for number in 0..30 {
        assert_eq!(ask(number).await["payload"]["error"], "recipient_offline");
    }
    // Without the other, a registry that is not sure refuses no request; it is sure once all agents had time to say hello.
    warm.shutdown().await;
    cold.registry.shutdown().await;
    let replies = Capture::subscribe(&net.client, "_INBOX.early").await.unwrap();
    let _alone = replica(&net, "alone", ttl).await;
    net.client
        .publish_with_reply(
            subject.clone(),
            "_INBOX.early",
            message("early", "t").to_string().into(),
        )
        .await
        .unwrap();
    eventually(DEADLINE, async || {
        let asked = tokio::time::timeout(Duration::from_millis(300), ask(99));
        asked
            .await
            .map(|reply| assert_eq!(reply["payload"]["error"], "recipient_offline"))
    })
    .await
    .unwrap();
    assert_eq!(replies.messages(), []);
}

#[rstest]
#[tokio::test]
async fn what_one_cannot_store_another_does(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let ttl = Duration::from_secs(40);
    let cut_off = replica(&net, "r1", ttl).await;
    net.publish("account.acct_b.inbox", message("first", "t")).await;
    net.history("t", 1).await;
    cut_off.store.set(Line::Refused);
    let _other = replica(&net, "r2", ttl).await;
    for number in 0..150 {
        net.publish("account.acct_b.inbox", message(&format!("m{number}"), "t"))
            .await;
    }
    let store = net.store().await;
    eventually_true(DEADLINE, "all messages are stored", async || {
        let thread = store.thread("t", None).await.unwrap();
        thread.is_some_and(|thread| thread.message_count == 151)
    })
    .await
    .unwrap();
    cut_off.registry.shutdown().await;
}

#[rstest]
#[tokio::test]
async fn a_slow_store_gets_no_message_twice(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let one = replica(&net, "r1", Duration::from_secs(40)).await;
    let _other = replica(&net, "r2", Duration::from_secs(40)).await;
    let words = RawClient::connect(&net.nats.url()).await.unwrap();
    let mut words = words.subscribe("$JS.ACK.>").await.unwrap();
    net.ask("list", json!({})).await;
    one.store.set(Line::Slow);
    for number in 0..100 {
        net.publish("account.acct_b.inbox", message(&format!("m{number}"), "t"))
            .await;
    }
    // Longer than the server waits for a word: each message was reminded of three times.
    let mut reminded: HashMap<String, usize> = HashMap::new();
    let wait = async {
        while reminded.values().max().is_none_or(|times| *times < 3) {
            let word = words.next().await.unwrap();
            if word.payload.starts_with(b"+WPI") {
                *reminded.entry(word.subject.to_string()).or_default() += 1;
            }
        }
    };
    tokio::time::timeout(2 * DEADLINE, wait).await.unwrap();
    one.store.set(Line::Up);
    net.history("t", 100).await;
    let mut duplicates: HashMap<String, i64> = HashMap::new();
    eventually_true(DEADLINE, "both have told their counts", async || {
        let metrics = net.ask("metrics", json!({})).await;
        let count = metrics["capture"]["duplicates"].as_i64().unwrap();
        duplicates.insert(text(&metrics["server_id"]), count);
        metrics["capture"]["lag"] == 0 && duplicates.len() == 2
    })
    .await
    .unwrap();
    assert!(duplicates.values().all(|count| *count == 0), "{duplicates:?}");
}
