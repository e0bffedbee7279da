//! A real server with a real registry, and agents that note what they handle.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::{AgentBuilder, AgentNode, Message};
use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_store::{OpenOptions, Store};
use agentnet_testkit::{NatsServer, TestDatabase, eventually};
use tempfile::TempDir;

use crate::net::{DEADLINE, agent, generous};

/// A server and a registry, both real.
pub(crate) struct Network {
    pub(crate) nats: NatsServer,
    pub(crate) registry: Option<RegistryHandle>,
    store: Arc<dyn Store>,
    dev_auth: bool,
    keys: TempDir,
    _database: TestDatabase,
}

impl Network {
    pub(crate) async fn start() -> Self {
        Self::with_dev_auth(false).await
    }

    pub(crate) async fn with_dev_auth(dev_auth: bool) -> Self {
        let database = TestDatabase::start().await.unwrap();
        let store = agentnet_store::open(&database.url(), &OpenOptions::default())
            .await
            .unwrap();
        let mut network = Self {
            nats: NatsServer::builder().jetstream(true).start().await.unwrap(),
            registry: None,
            store,
            dev_auth,
            keys: tempfile::tempdir().unwrap(),
            _database: database,
        };
        network.start_registry().await;
        network
    }

    pub(crate) async fn start_registry(&mut self) {
        let config = RegistryConfig {
            nats_url: self.nats.url(),
            heartbeat_interval: Duration::from_secs(1),
            dev_auth: self.dev_auth,
            ..RegistryConfig::default()
        };
        self.registry = Some(Registry::start(config, self.store.clone()).await.unwrap());
    }

    pub(crate) async fn stop_registry(&mut self) {
        self.registry.take().unwrap().shutdown().await;
    }

    /// An agent, not yet started. A receipt that comes is waited for; one that does not come costs the test little time.
    pub(crate) fn agent(&self, id: &str) -> AgentBuilder {
        agent(&self.nats.url(), id)
            .dev_auth(self.dev_auth)
            .key_dir(self.keys.path())
            .limits(generous)
            .limits(|limits| {
                limits.receipt_timeout = Duration::from_secs(2);
                limits.max_concurrency = 1;
            })
    }

    /// An agent that notes the texts that it handles.
    pub(crate) fn noting(&self, id: &str, notes: &Notes) -> AgentBuilder {
        let notes = notes.clone();
        self.agent(id).on_message(move |message: Message, _| {
            let notes = notes.clone();
            async move {
                notes.0.lock().unwrap().push(message.text().unwrap_or_default());
                Ok(())
            }
        })
    }

    /// An account that exists, and is offline.
    pub(crate) async fn offline(&self, id: &str) {
        let node = self.agent(id).start().await.unwrap();
        node.close().await;
    }
}

/// What was handled, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(pub(crate) Arc<Mutex<Vec<String>>>);

impl Notes {
    /// Waits until each of these was handled, and returns all in their order, each once: a message may be delivered twice.
    pub(crate) async fn until(&self, expected: &[String]) -> Vec<String> {
        eventually(DEADLINE, async || {
            let mut notes = self.0.lock().unwrap().clone();
            let mut seen = std::collections::HashSet::new();
            notes.retain(|text| seen.insert(text.clone()));
            match notes.len() >= expected.len() {
                true => Ok(notes),
                false => Err(format!("{notes:?}")),
            }
        })
        .await
        .unwrap()
    }
}

/// How many messages wait for a node.
pub(crate) async fn until_empty(node: &AgentNode) {
    eventually(DEADLINE, async || match node.mailbox_status().await {
        Ok(status) if (status.queued, status.leased, status.dead) == (0, 0, 0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .unwrap();
}
