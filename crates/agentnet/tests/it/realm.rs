//! A real server with a real registry, and notes of who handled what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::{AgentBuilder, AgentNode, RegistryClient, RegistryError};
use agentnet_registry::{Registry, RegistryConfig, RegistryHandle, StartError};
use agentnet_store::{OpenOptions, Store};
use agentnet_testkit::{Capture, Captured, NatsServer, RawClient, TestDatabase, eventually};
use async_nats::Client;

use crate::net::{DEADLINE, agent, generous, parse};

/// An empty store, and what keeps its database alive.
pub(crate) async fn new_store() -> (Arc<dyn Store>, TestDatabase) {
    let database = TestDatabase::start().await.unwrap();
    let store = agentnet_store::open(&database.url(), &OpenOptions::default())
        .await
        .unwrap();
    (store, database)
}

/// A server and a registry, both real.
pub(crate) struct Realm {
    pub(crate) nats: NatsServer,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) database: TestDatabase,
    pub(crate) registry: Option<RegistryHandle>,
    pub(crate) raw: Client,
}

impl Realm {
    pub(crate) async fn start() -> Self {
        let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
        let (store, database) = new_store().await;
        let raw = RawClient::connect(&nats.url()).await.unwrap();
        let mut realm = Self {
            nats,
            store,
            database,
            registry: None,
            raw,
        };
        realm.start_registry().await;
        realm
    }

    pub(crate) async fn start_registry(&mut self) {
        assert!(self.try_start_registry().await, "the registry starts");
    }

    /// Starts a registry; `false` if its connection is lost while it starts.
    pub(crate) async fn try_start_registry(&mut self) -> bool {
        let config = RegistryConfig {
            nats_url: self.nats.url(),
            heartbeat_interval: Duration::from_secs(1),
            ..RegistryConfig::default()
        };
        match Registry::start(config, self.store.clone()).await {
            Ok(registry) => self.registry = Some(registry),
            Err(StartError::Nats(_) | StartError::Capture(_)) => return false,
            Err(error) => panic!("{error}"),
        }
        true
    }

    pub(crate) fn agent(&self, id: &str) -> AgentBuilder {
        agent(&self.nats.url(), id).limits(generous)
    }

    pub(crate) async fn capture(&self, subject: &str) -> Capture {
        Capture::subscribe(&self.raw, subject).await.unwrap()
    }

    /// Kills the server and starts it again.
    pub(crate) async fn crash_server(&mut self) {
        self.nats.kill9();
        self.nats.restart().await.unwrap();
        self.raw = RawClient::connect(&self.nats.url()).await.unwrap();
    }

    /// Waits until each node says hello (again), by which time it has subscribed everything again.
    pub(crate) async fn until_hello(&self, nodes: &[&AgentNode]) {
        let hello = self.capture("registry.hello").await;
        for node in nodes {
            let tag = node.session_tag().unwrap();
            let said = |seen: &Captured| parse(&seen.payload)["session_tag"] == tag.as_str();
            hello.wait_for(said, DEADLINE).await.unwrap();
        }
    }

    /// The sessions that the registry, which must be there, shows as online for a username.
    pub(crate) async fn sessions(&self, username: &str) -> Vec<String> {
        let registry = RegistryClient::new(self.raw.clone()).with_timeout(DEADLINE);
        sessions(&registry, username).await.unwrap()
    }

    /// Waits until the registry answers, and shows so many.
    pub(crate) async fn until_sessions(&self, username: &str, count: usize) {
        let registry = RegistryClient::new(self.raw.clone());
        eventually(DEADLINE, async || match sessions(&registry, username).await {
            Ok(found) if found.len() == count => Ok(()),
            other => Err(format!("{username} has not {count} sessions: {other:?}")),
        })
        .await
        .unwrap();
    }
}

async fn sessions(registry: &RegistryClient, username: &str) -> Result<Vec<String>, RegistryError> {
    let online = registry.list_online().await?.into_iter();
    let of_name = online.filter(|agent| agent.username.as_deref() == Some(username));
    Ok(of_name.filter_map(|agent| agent.session_tag).collect())
}

/// How often which message was handled, by which node.
#[derive(Clone, Default)]
pub(crate) struct Handled(pub(crate) Arc<Mutex<BTreeMap<String, Vec<&'static str>>>>);

impl Handled {
    pub(crate) fn note(&self, message_id: &str, by: &'static str) {
        self.0
            .lock()
            .unwrap()
            .entry(message_id.to_owned())
            .or_default()
            .push(by);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn by(&self, node: &str) -> usize {
        self.0.lock().unwrap().values().filter(|by| by.contains(&node)).count()
    }

    pub(crate) fn twice(&self) -> Vec<String> {
        let handled = self.0.lock().unwrap();
        handled
            .iter()
            .filter(|(_, by)| by.len() > 1)
            .map(|(id, _)| id.clone())
            .collect()
    }
}

/// A node that notes what it handles and echoes requests.
pub(crate) fn echo(agent: AgentBuilder, name: &'static str, handled: &Handled) -> AgentBuilder {
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
