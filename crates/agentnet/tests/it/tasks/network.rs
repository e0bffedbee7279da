//! A real server with a real registry, and what tests do with tasks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::{
    AgentBuilder, Message, StreamExt as _, TaskError, TaskEvent, TaskHandle, TaskOutcome, TaskSnapshot, TaskState,
};
use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_store::{OpenOptions, Store};
use agentnet_testkit::{NatsServer, TestDatabase, eventually};
use tempfile::TempDir;

use crate::net::{DEADLINE, agent, generous};

/// A server and a registry, both real.
pub(crate) struct Network {
    pub(crate) nats: NatsServer,
    registry: Option<RegistryHandle>,
    store: Arc<dyn Store>,
    dev_auth: bool,
    keeps_tasks: bool,
    keys: TempDir,
    _database: TestDatabase,
}

impl Network {
    pub(crate) async fn start() -> Self {
        Self::with(false, true).await
    }

    pub(crate) async fn with(dev_auth: bool, keeps_tasks: bool) -> Self {
        let database = TestDatabase::start().await.unwrap();
        let store = agentnet_store::open(&database.url(), &OpenOptions::default())
            .await
            .unwrap();
        let mut network = Self {
            nats: NatsServer::builder().jetstream(true).start().await.unwrap(),
            registry: None,
            store,
            dev_auth,
            keeps_tasks,
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
            tasks: self.keeps_tasks,
            ..RegistryConfig::default()
        };
        self.registry = Some(Registry::start(config, self.store.clone()).await.unwrap());
    }

    pub(crate) async fn stop_registry(&mut self) {
        self.registry.take().unwrap().shutdown().await;
    }

    /// An agent, not yet started. A receipt that does not come costs the test little time.
    pub(crate) fn agent(&self, id: &str) -> AgentBuilder {
        agent(&self.nats.url(), id)
            .dev_auth(self.dev_auth)
            .key_dir(self.keys.path())
            .limits(generous)
            .limits(|limits| limits.receipt_timeout = Duration::from_millis(500))
    }

    /// An agent that notes the messages that it handles.
    pub(crate) fn noting(&self, id: &str, notes: &Messages) -> AgentBuilder {
        let notes = notes.clone();
        self.agent(id).on_message(move |message: Message, _| {
            let notes = notes.clone();
            async move {
                notes.0.lock().unwrap().push(message);
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

/// Messages that were handled, in order.
#[derive(Clone, Default)]
pub(crate) struct Messages(pub(crate) Arc<Mutex<Vec<Message>>>);

impl Messages {
    /// The first messages whose payload has this type, once there are so many.
    pub(crate) async fn of_type(&self, r#type: &str, count: usize) -> Vec<Message> {
        eventually(DEADLINE, async || {
            let mut found = self.0.lock().unwrap().clone();
            found.retain(|message| payload(message)["type"] == r#type);
            match found.len() >= count {
                true => Ok(found),
                false => Err(format!("{:?}", self.0.lock().unwrap())),
            }
        })
        .await
        .unwrap()
    }
}

pub(crate) fn payload(message: &Message) -> serde_json::Value {
    message.json().unwrap()
}

/// What comes of a task, within the deadline of the test.
pub(crate) async fn outcome(task: &TaskHandle) -> TaskOutcome {
    let result = tokio::time::timeout(DEADLINE, task.result()).await;
    result.expect("the task ends").unwrap()
}

/// The task, once it is in this state.
pub(crate) async fn until_state(task: &TaskHandle, state: TaskState) -> TaskSnapshot {
    eventually(DEADLINE, async || match task.status().await {
        Ok(snapshot) if snapshot.state == state.as_str() => Ok(snapshot),
        other => Err(format!("{other:?}")),
    })
    .await
    .unwrap()
}

/// All events of a task that ends.
pub(crate) async fn events(task: &TaskHandle) -> Vec<TaskEvent> {
    let all = task.events().map(|event| event.unwrap()).collect::<Vec<_>>();
    tokio::time::timeout(DEADLINE, all).await.expect("the task ends")
}

pub(crate) fn kinds(events: &[TaskEvent]) -> Vec<&str> {
    events.iter().map(|event| event.r#type.as_str()).collect()
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(refused: Result<T, TaskError>) -> String {
    refused.unwrap_err().code().unwrap_or_default().to_owned()
}
