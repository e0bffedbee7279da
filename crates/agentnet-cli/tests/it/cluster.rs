//! The registry on a NATS cluster of three servers. Whichever server is killed, and whichever clients are connected to it,
//! every message whose send succeeded is in the history.
#![expect(clippy::print_stdout, reason = "shows the numbers in a manual run")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentnet::protocol::rpc::MetricsRequest;
use agentnet::{AgentNode, RegistryClient, json};
use agentnet_testkit::{NatsCluster, RawClient, TestDatabase, eventually};
use async_nats::jetstream;
use rustix::process::Signal;
use tokio::task::JoinHandle;

use crate::harness::{Service, WAIT_TIMEOUT, binary, history};

const STREAM: &str = "AGENTNET_HISTORY";
/// Long enough for messages that were on their way to a registry to be delivered again, which takes 30 s.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(100);

/// Cluster and database, and what all registries are started with.
struct Scene {
    cluster: NatsCluster,
    database: TestDatabase,
    copies: usize,
}

impl Scene {
    async fn start(copies: usize) -> Self {
        Self {
            cluster: NatsCluster::start().await.unwrap_or_else(|error| panic!("{error}")),
            database: TestDatabase::start().await.unwrap(),
            copies,
        }
    }

    /// A registry with these servers in its URL; it discovers the others.
    async fn registry(&self, name: &str, url: &str) -> Service {
        let mut command = binary();
        command
            .args(["--nats-url", url, "registry", "--database-url", &self.database.url()])
            .env("AGENTNET_CAPTURE_REPLICAS", self.copies.to_string())
            .env("REGISTRY_SERVER_ID", name);
        let mut service = Service::spawn(command);
        assert!(service.next_line().await.contains("capture=jetstream"));
        service
    }

    /// Creates the stream, and returns the server that leads it.
    async fn leader(&self) -> usize {
        let first = self.registry("first", &self.cluster.url()).await;
        let context = jetstream::new(RawClient::connect(&self.cluster.url()).await.unwrap());
        let stream = context.get_stream(STREAM).await.unwrap();
        assert_eq!(stream.cached_info().config.num_replicas, self.copies);
        let look = async || {
            let leader = self.cluster.leader_of(STREAM).await?;
            leader.ok_or_else(|| "nobody leads".to_owned())
        };
        let leader = eventually(WAIT_TIMEOUT, look).await.unwrap();
        terminate(first).await;
        leader
    }

    /// Waits until another server leads the stream.
    async fn another_leads(&self, old: usize) {
        let next = async || match self.cluster.leader_of(STREAM).await? {
            Some(next) if next != old => Ok(()),
            other => Err(format!("{other:?} leads")),
        };
        eventually(WAIT_TIMEOUT, next).await.unwrap();
    }

    async fn client(&self) -> RegistryClient {
        let client = RegistryClient::connect(&self.cluster.url()).await.unwrap();
        client.with_timeout(WAIT_TIMEOUT)
    }

    /// A receiver, and two senders that send: one by way of this server, one by way of the next.
    async fn traffic(&self, server: usize) -> (AgentNode, [Sending; 2]) {
        let urls = self.cluster.urls();
        let receiver = agent(&self.cluster.url(), "receiver").await;
        let near = agent(&urls[server], "near").await;
        let far = agent(&urls[(server + 1) % 3], "far").await;
        (receiver, [Sending::start(near, "near"), Sending::start(far, "far")])
    }
}

async fn terminate(mut service: Service) {
    service.signal(Signal::TERM);
    assert!(service.ended().await.success(), "{}", service.stderr());
}

async fn agent(url: &str, name: &str) -> AgentNode {
    AgentNode::builder(name)
        .username(name)
        .nats_url(url)
        .limits(|limits| limits.rate_limit_per_sender_per_sec = 1e6)
        .limits(|limits| limits.rate_limit_burst = 1_000_000)
        .on_message(|_, _| async { Ok(()) })
        .start()
        .await
        .unwrap()
}

/// A message whose send succeeded, and when that was.
type Sent = (String, Instant);

/// Sends one message after the other until it is stopped.
struct Sending {
    thread: &'static str,
    succeeded: Arc<Mutex<Vec<Sent>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<AgentNode>,
}

impl Sending {
    fn start(node: AgentNode, thread: &'static str) -> Self {
        let (succeeded, stop) = (Arc::<Mutex<Vec<Sent>>>::default(), Arc::new(AtomicBool::new(false)));
        let (sent, stopped) = (Arc::clone(&succeeded), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(done) = node.send("@receiver", json!({})).thread(thread).await {
                    sent.lock().unwrap().push((done.message_id, Instant::now()));
                }
            }
            node
        });
        Self {
            thread,
            succeeded,
            stop,
            task,
        }
    }

    /// Waits until so many messages more were sent.
    async fn sends(&self, more: usize) {
        let wanted = self.succeeded.lock().unwrap().len() + more;
        let look = async || match self.succeeded.lock().unwrap().len() {
            found if found >= wanted => Ok(()),
            found => Err(format!("{found} of {wanted} messages")),
        };
        eventually(WAIT_TIMEOUT, look).await.unwrap();
    }

    /// Ends the sending.
    async fn stop(self) -> (&'static str, Vec<Sent>) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap().close().await;
        (self.thread, std::mem::take(&mut *self.succeeded.lock().unwrap()))
    }
}

async fn both_send(sending: &[Sending; 2], more: usize) {
    tokio::join!(sending[0].sends(more), sending[1].sends(more));
}

/// Stops the sending, and waits until all that was sent is in the history, each message once.
async fn all_is_recorded(client: &RegistryClient, sending: [Sending; 2], killed: Instant, what: &str) {
    for sending in sending {
        let (thread, sent) = sending.stop().await;
        let missing = |found: &HashMap<String, usize>| -> Vec<f64> {
            let missing = sent.iter().filter(|(id, _)| found.get(id) != Some(&1));
            let after = |at: Instant| match at.checked_duration_since(killed) {
                Some(after) => after.as_secs_f64(),
                None => -killed.duration_since(at).as_secs_f64(),
            };
            missing.map(|(_, at)| after(*at)).collect()
        };
        let look = async || {
            let found = history(client, thread).await;
            match missing(&found) {
                missing if missing.is_empty() => Ok(found.len()),
                missing => Err(format!(
                    "{} of {} messages are missing; they were sent {:?} s to {:?} s after the kill",
                    missing.len(),
                    sent.len(),
                    missing.first(),
                    missing.last()
                )),
            }
        };
        let found = eventually(CATCH_UP_TIMEOUT, look).await;
        let found = found.unwrap_or_else(|error| panic!("{what}, {thread}: {error}"));
        let later = sent.iter().filter(|(_, at)| *at > killed).count();
        println!(
            "{what}, {thread}: {} messages sent, {later} of them after the kill; none is missing; {} more in the history",
            sent.len(),
            found - sent.len()
        );
    }
    let capture = client.call(&MetricsRequest).await.unwrap().capture.unwrap();
    println!("{what}: {capture:?}");
}

/// The server that leads the captured stream is killed with SIGKILL while messages flow, and comes back.
async fn the_leader_is_killed(what: &str, registries: &[usize]) {
    let mut scene = Scene::start(3).await;
    let leader = scene.leader().await;
    let urls = scene.cluster.urls();
    let mut services = Vec::new();
    for beyond in registries {
        let name = format!("registry-{beyond}");
        services.push(scene.registry(&name, &urls[(leader + beyond) % 3]).await);
    }
    let client = scene.client().await;
    let (receiver, sending) = scene.traffic(leader).await;
    both_send(&sending, 300).await;

    let still_leads = async || match scene.cluster.leader_of(STREAM).await? {
        Some(found) if found == leader => Ok(()),
        other => Err(format!("{other:?} leads, not {leader}")),
    };
    eventually(WAIT_TIMEOUT, still_leads).await.unwrap();
    let killed = Instant::now();
    scene.cluster.kill9(leader);
    scene.another_leads(leader).await;
    // Two of three servers go on, and so does the history; then the third comes back.
    both_send(&sending, 200).await;
    scene
        .cluster
        .restart(leader)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    both_send(&sending, 200).await;

    all_is_recorded(&client, sending, killed, what).await;
    receiver.close().await;
    for service in services {
        terminate(service).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_dies_with_the_connection_of_the_registry() {
    the_leader_is_killed("a registry on the leader", &[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_dies_and_the_registry_is_on_another_server() {
    the_leader_is_killed("a registry beside the leader", &[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_dies_with_one_of_two_registries_connections() {
    the_leader_is_killed("two registries", &[0, 1]).await;
}

/// The only registry is stopped while the stream has no leader; the next one starts when there is a leader.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_stopped_in_the_middle_of_an_election() {
    let mut scene = Scene::start(3).await;
    let leader = scene.leader().await;
    let urls = scene.cluster.urls();
    let mut service = scene.registry("registry-a", &urls[(leader + 1) % 3]).await;
    let (receiver, sending) = scene.traffic(leader).await;
    both_send(&sending, 300).await;

    let killed = Instant::now();
    scene.cluster.kill9(leader);
    service.signal(Signal::TERM);
    assert!(service.ended().await.success(), "{}", service.stderr());
    scene.another_leads(leader).await;
    let next = scene.registry("registry-b", &scene.cluster.url()).await;
    both_send(&sending, 200).await;
    all_is_recorded(&scene.client().await, sending, killed, "a registry stopped meanwhile").await;
    receiver.close().await;
    terminate(next).await;
}

/// A stream with one copy is gone with its server, until that comes back; the history is complete.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_server_with_the_stream_dies() {
    let mut scene = Scene::start(1).await;
    let leader = scene.leader().await;
    let service = scene.registry("registry", &scene.cluster.urls()[leader]).await;
    let client = scene.client().await;
    let (receiver, sending) = scene.traffic(leader).await;
    both_send(&sending, 300).await;

    let killed = Instant::now();
    scene.cluster.kill9(leader);
    both_send(&sending, 300).await;
    service.says("stored past it").await;
    both_send(&sending, 300).await;
    // Messages sent now are in the history although the stream has no leader.
    recorded_now(&client, &sending[1]).await;
    scene
        .cluster
        .restart(leader)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    both_send(&sending, 300).await;
    service.says("has a leader").await;
    both_send(&sending, 100).await;
    all_is_recorded(&client, sending, killed, "one copy").await;
    receiver.close().await;
    terminate(service).await;
}

/// Waits until what was sent last is in the history.
async fn recorded_now(client: &RegistryClient, sending: &Sending) {
    let (last, _) = sending.succeeded.lock().unwrap().last().unwrap().clone();
    let look = async || match history(client, sending.thread).await.contains_key(&last) {
        true => Ok(()),
        false => Err("it is not in the history"),
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
}
