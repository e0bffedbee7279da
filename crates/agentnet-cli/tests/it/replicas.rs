//! Several registries as processes of their own, on one PostgreSQL database: killed, paused, restarted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentnet::protocol::rpc::{
    ListRequest, MetricsRequest, ProfileRequest, ResolveAccountRequest, SearchRequest, ThreadListRequest,
};
use agentnet::{AgentNode, RegistryClient, RegistryError};
use agentnet_store::{OpenOptions, Store, open};
use agentnet_testkit::{NatsServer, Postgres, eventually, eventually_true};
use rustix::process::Signal;

use crate::harness::{Service, WAIT_TIMEOUT, binary};

struct Network {
    nats: NatsServer,
    postgres: Postgres,
}

impl Network {
    async fn start() -> Self {
        Self {
            nats: NatsServer::builder().jetstream(true).start().await.unwrap(),
            postgres: Postgres::launch().await.unwrap(),
        }
    }

    async fn registry(&self, server_id: &str, more: &str) -> Service {
        let mut command = binary();
        command
            .args(["--nats-url", &self.nats.url(), "registry", "--server-id", server_id])
            .args(["--database-url", &self.postgres.url()])
            .args(more.split_whitespace());
        let mut service = Service::spawn(command);
        let ready = service.next_line().await;
        assert!(ready.starts_with("registry ready:"), "{ready}");
        service
    }

    async fn client(&self) -> RegistryClient {
        RegistryClient::connect(&self.nats.url()).await.unwrap()
    }

    async fn agent(&self, name: &str) -> AgentNode {
        AgentNode::builder(name)
            .username(name)
            .nats_url(self.nats.url())
            .start()
            .await
            .unwrap()
    }
}

/// One of several kinds of request.
async fn call(client: &RegistryClient, number: usize) -> Result<(), RegistryError> {
    let username = "alice".to_owned();
    match number % 5 {
        0 => client.call(&ResolveAccountRequest { username }).await.map(drop),
        1 => client.call(&ListRequest::default()).await.map(drop),
        2 => client.call(&SearchRequest::default()).await.map(drop),
        3 => client.call(&ThreadListRequest::default()).await.map(drop),
        _ => {
            let username = Some(username);
            let account_id = None;
            client.call(&ProfileRequest { account_id, username }).await.map(drop)
        }
    }
}

/// 5,000 requests by 40 clients at once, while one of three registries is killed with SIGKILL, started again, and the next
/// one is killed.
#[tokio::test(flavor = "multi_thread")]
async fn killed_registries_lose_no_request() {
    const REQUESTS: usize = 5_000;
    let net = Network::start().await;
    let mut all = Vec::new();
    for server_id in ["r1", "r2", "r3"] {
        all.push(net.registry(server_id, "").await);
    }
    let alice = net.agent("alice").await;
    let client = net.client().await.with_timeout(WAIT_TIMEOUT);
    let done = AtomicUsize::new(0);
    let begun = AtomicUsize::new(0);
    let ask = async || {
        let mut failed = Vec::new();
        loop {
            let number = begun.fetch_add(1, Ordering::Relaxed);
            if number >= REQUESTS {
                return failed;
            }
            if let Err(error) = call(&client, number).await {
                failed.push(format!("{number}: {error}"));
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let reached = async |count: usize| {
        eventually_true(WAIT_TIMEOUT, "enough requests are answered", async || {
            done.load(Ordering::Relaxed) >= count
        })
        .await
        .unwrap();
    };
    let kill = async {
        for (round, server_id) in ["r1", "r2", "r3"].into_iter().enumerate() {
            reached(REQUESTS / 5 * (round + 1)).await;
            let mut victim = all.remove(0);
            victim.signal(Signal::KILL);
            victim.ended().await;
            all.push(net.registry(server_id, "").await);
        }
    };
    let asking = futures::future::join_all((0..40).map(|_| ask()));
    let (failed, ()) = futures::join!(asking, kill);
    assert_eq!(failed.concat(), Vec::<String>::new());
    assert_eq!(done.load(Ordering::Relaxed), REQUESTS);
    alice.close().await;
}

/// The only registry is restarted: clients that knew it wait; a client that has never had an answer fails at once.
#[tokio::test(flavor = "multi_thread")]
async fn clients_wait_for_a_restarted_registry() {
    let net = Network::start().await;
    let mut only = net.registry("r1", "").await;
    let client = net.client().await.with_timeout(WAIT_TIMEOUT);
    client.call(&MetricsRequest).await.unwrap();
    only.signal(Signal::KILL);
    only.ended().await;
    eventually(WAIT_TIMEOUT, async || {
        match net.client().await.call(&MetricsRequest).await {
            Err(RegistryError::NoRegistry { .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    let (answer, _again) = futures::join!(client.call(&MetricsRequest), net.registry("r2", ""));
    assert_eq!(answer.unwrap().server_id, "r2");
}

/// How long sessions live that say hello every second, in seconds: more than a slow machine lets one miss.
const TTL: u64 = 7;

/// A registry continues after it was suspended for longer than the TTL of sessions: it has missed all hellos.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_registry_ends_no_live_session() {
    let net = Network::start().await;
    let settings = format!("--agent-ttl-seconds {TTL} --heartbeat-interval-seconds 1 --gc-interval-seconds 1");
    let mut all = Vec::new();
    for server_id in ["r1", "r2", "r3"] {
        all.push(net.registry(server_id, &settings).await);
    }
    let mut agents = Vec::new();
    for number in 0..20 {
        agents.push(net.agent(&format!("agent{number:02}")).await);
    }
    let store = open(&net.postgres.url(), &OpenOptions::default()).await.unwrap();
    for _ in 0..2 {
        all[1].signal(Signal::STOP);
        seen_for_longer_than_they_live(store.as_ref(), agents.len()).await;
        all[1].signal(Signal::CONT);
        seen_for_longer_than_they_live(store.as_ref(), agents.len()).await;
    }
    let client = net.client().await.with_timeout(WAIT_TIMEOUT);
    eventually(WAIT_TIMEOUT, async || {
        for _ in 0..12 {
            let online = client
                .call(&ListRequest::default())
                .await
                .map_err(|error| error.to_string())?;
            if online.agents.len() != agents.len() {
                return Err(format!("{} are online", online.agents.len()));
            }
        }
        Ok(())
    })
    .await
    .unwrap();
    for session in store.online_sessions().await.unwrap() {
        assert_eq!(session.disconnected_at, None);
    }
    for agent in agents {
        agent.close().await;
    }
    eventually_true(WAIT_TIMEOUT, "no ended session is listed", async || {
        store.online_sessions().await.unwrap().is_empty()
    })
    .await
    .unwrap();
}

/// Waits until the store has had signs of life of all sessions for longer than their time to live, and that none ended.
async fn seen_for_longer_than_they_live(store: &dyn Store, count: usize) {
    let start = agentnet::protocol::Timestamp::from(std::time::SystemTime::now());
    let longer = i64::try_from(Duration::from_secs(TTL + 2).as_micros()).unwrap();
    eventually(WAIT_TIMEOUT, async || {
        let online = store.online_sessions().await.map_err(|error| error.to_string())?;
        assert_eq!(online.len(), count, "none may end");
        let seen = online
            .iter()
            .filter(|session| session.last_seen.micros_since(start) > longer);
        match seen.count() {
            all if all == count => Ok(()),
            some => Err(format!("{some} of {count} were seen")),
        }
    })
    .await
    .unwrap();
}
