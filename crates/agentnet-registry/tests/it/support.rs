//! A registry on a real nats-server with a real database: SQLite in a temporary folder, or PostgreSQL.

pub(crate) mod heard;
pub(crate) mod observed;

use std::sync::Arc;
use std::time::Duration;

use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_store::{OpenOptions, Store, open, sqlite_url};
use agentnet_testkit::{NatsServer, Postgres, RawClient, eventually};
use async_nats::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const TOKEN: &str = "s3cret";

/// The names of all RPCs.
pub(crate) const RPCS: [&str; 29] = [
    // These have bounds of their own.
    "register",
    "mailbox_put",
    "task_create",
    "task_heartbeat",
    "task_finish",
    "task_cancel",
    "task_input",
    "task_retry",
    "list",
    "resolve_account",
    "resolve_key",
    "rotate_key",
    "search",
    "profile",
    "thread_status",
    "thread_list",
    "thread_messages",
    "message_search",
    "metrics",
    "mailbox_lease",
    "mailbox_ack",
    "mailbox_extend",
    "mailbox_status",
    "mailbox_list",
    "mailbox_action",
    "task_claim",
    "task_events",
    "task_status",
    "task_list",
];

/// Which database keeps the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A network: a server, a database, and a client that speaks the wire.
pub(crate) struct Network {
    pub(crate) nats: NatsServer,
    pub(crate) folder: TempDir,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) client: Client,
}

impl Network {
    pub(crate) async fn new(jetstream: bool) -> Self {
        Self::on(Backend::Sqlite, jetstream).await
    }

    pub(crate) async fn on(backend: Backend, jetstream: bool) -> Self {
        let nats = NatsServer::builder().token(TOKEN).jetstream(jetstream);
        Self::with(backend, nats.start().await.unwrap()).await
    }

    pub(crate) async fn with(backend: Backend, nats: NatsServer) -> Self {
        let client = RawClient::connect(&nats.url()).await.unwrap();
        Self {
            nats,
            folder: tempfile::tempdir().unwrap(),
            postgres: match backend {
                Backend::Sqlite => None,
                Backend::Postgres => Some(Postgres::launch().await.unwrap()),
            },
            client,
        }
    }

    pub(crate) fn config(&self) -> RegistryConfig {
        RegistryConfig {
            nats_url: self.nats.url(),
            ..RegistryConfig::default()
        }
    }

    pub(crate) fn database_url(&self) -> String {
        match &self.postgres {
            Some(postgres) => postgres.url(),
            None => sqlite_url(&self.folder.path().join("agentnet.db")),
        }
    }

    /// A handle of its own on the database.
    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        open(&self.database_url(), &OpenOptions::default()).await.unwrap()
    }

    /// How the ready line and metrics name the database.
    pub(crate) fn store_name(&self) -> &'static str {
        if self.postgres.is_some() { "postgres" } else { "sqlite" }
    }

    pub(crate) async fn registry(&self) -> RegistryHandle {
        self.registry_with(self.config()).await
    }

    pub(crate) async fn registry_with(&self, config: RegistryConfig) -> RegistryHandle {
        Registry::start(config, self.store().await).await.unwrap()
    }

    /// The reply's text.
    pub(crate) async fn ask_raw(&self, rpc: &str, body: impl Into<Vec<u8>>) -> String {
        let body: Vec<u8> = body.into();
        let reply = self
            .client
            .request(format!("registry.{rpc}"), body.into())
            .await
            .unwrap();
        String::from_utf8(reply.payload.to_vec()).unwrap()
    }

    pub(crate) async fn ask(&self, rpc: &str, request: Value) -> Value {
        serde_json::from_str(&self.ask_raw(rpc, request.to_string()).await).unwrap()
    }

    pub(crate) async fn register(&self, username: &str) -> Value {
        let reply = self
            .ask(
                "register",
                json!({"agent_id": format!("{username}_agent"), "username": username}),
            )
            .await;
        assert_eq!(reply.get("error"), None, "{reply}");
        reply
    }

    pub(crate) async fn publish(&self, subject: &str, body: impl ToString) {
        self.client
            .publish(subject.to_owned(), body.to_string().into())
            .await
            .unwrap();
        self.client.flush().await.unwrap();
    }

    /// The agent ids that are online.
    pub(crate) async fn online(&self) -> Vec<String> {
        let reply = self.ask("list", json!({})).await;
        let agents = reply["agents"].as_array().unwrap();
        agents
            .iter()
            .map(|agent| agent["agent_id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until these agents are online, by agent id. A session that a registry has to look up in the store appears when the
    /// store has answered, which takes its time on a busy machine.
    pub(crate) async fn until_online(&self, expected: &[&str]) {
        eventually(DEADLINE, async || {
            let online = self.online().await;
            if online == expected {
                return Ok(());
            }
            Err(format!("{online:?} are online, not {expected:?}"))
        })
        .await
        .unwrap();
    }

    /// The ids of a thread's messages, once there are so many.
    pub(crate) async fn history(&self, thread_id: &str, count: usize) -> Vec<String> {
        eventually(DEADLINE, async || {
            let reply = self
                .ask("thread_messages", json!({"thread_id": thread_id, "limit": 200}))
                .await;
            let Some(messages) = reply["messages"].as_array() else {
                return Err(reply.to_string());
            };
            let ids: Vec<String> = messages
                .iter()
                .map(|m| m["message_id"].as_str().unwrap().to_owned())
                .collect();
            if ids.len() == count {
                Ok(ids)
            } else {
                Err(format!("{} messages: {ids:?}", ids.len()))
            }
        })
        .await
        .unwrap()
    }
}

/// A message on a thread.
pub(crate) fn message(id: &str, thread_id: &str) -> Value {
    json!({"message_id": id, "thread_id": thread_id, "from_agent": "a", "from_account_id": "acct_a", "to_agent": "acct_b",
           "to_account_id": "acct_b", "payload": {"text": id}, "sent_at": "2026-02-21T08:00:00Z"})
}

/// The registry's page of metrics, with the head of the HTTP reply.
pub(crate) async fn metrics_page(registry: &RegistryHandle) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let address = registry.metrics_addr().unwrap();
    let mut page = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    page.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    page.read_to_string(&mut text).await.unwrap();
    text
}
